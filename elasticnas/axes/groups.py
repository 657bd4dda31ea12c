"""Groups: the axes of a nested space, and the tree of groups built from dotted names."""

from collections.abc import Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any

from elasticnas.axes.size import EXTRACTING
from elasticnas.errors import UnknownNameError, did_you_mean

if TYPE_CHECKING:
    from elasticnas.axes.scope import Axes
    from elasticnas.axes.size import Axis

__all__ = ["Group", "tree"]


class Group:
    """The axes of a nested space, one attribute each; a property is evaluated when it is first used."""

    _location: "tuple[Axes, str]"

    def __init__(self, axes: "Axes", prefix: str, children: dict[str, Any]) -> None:
        self.__dict__.update(children)
        self.__dict__["_location"] = (axes, prefix)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            axes, prefix = self._location
            if (found := axes.of_property(f"{prefix}.{name}")) is None:
                raise UnknownNameError(
                    f"{axes.space.__name__}.{prefix} has no size {name!r}{did_you_mean(name, dir(self))}"
                )
            return found

    def all(self) -> "list[Axis]":
        """Return the axes in this group and its subgroups."""
        axes, prefix = self._location
        return [axis for axis in axes.all() if axis.name.startswith(f"{prefix}.")]

    def __copy__(self) -> "Group":
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> Any:
        if EXTRACTING not in memo:
            return self
        axes, prefix = self._location
        return reduce(getattr, prefix.split("."), axes.current())

    def __reduce__(self) -> Any:
        axes, prefix = self._location
        return _restore, (axes, prefix)

    def __dir__(self) -> list[str]:
        axes, prefix = self._location
        named = [name.removeprefix(f"{prefix}.") for name in axes.properties() if name.startswith(f"{prefix}.")]
        return sorted({*(set(vars(self)) - {"_location"}), *(name for name in named if "." not in name)})


def _restore(axes: "Axes", prefix: str) -> Any:
    return reduce(getattr, prefix.split("."), axes)


def tree(axes: "Axes", named: "Mapping[str, Axis]") -> dict[str, Any]:
    """Build nested groups and tuples from dotted names; numbers are positions in a tuple."""
    root: dict[str, Any] = {}
    for name, axis in named.items():
        *path, last = name.split(".")
        node = root
        for part in path:
            node = node.setdefault(part, {})
        node[last] = axis
    return {key: _make_node(axes, value, key) for key, value in root.items()}


def _make_node(axes: "Axes", node: Any, prefix: str) -> Any:
    if not isinstance(node, dict):
        return node
    if all(key.isdigit() for key in node):
        return tuple(node[key] for key in sorted(node, key=int))
    return Group(axes, prefix, {key: _make_node(axes, value, f"{prefix}.{key}") for key, value in node.items()})
