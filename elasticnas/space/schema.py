"""Schema: the choices that a Space class declares, and their positions in an architecture."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from elasticnas.axes import Choice
from elasticnas.errors import SpaceError
from elasticnas.space.fields import PerLayer, Range

__all__ = [
    "Declared",
    "ascending",
    "assemble",
    "declared",
    "lengths",
    "nested_space",
    "per_layer",
    "read",
    "spaces_in",
]


@dataclass(frozen=True)
class Declared:
    """A choice as declared in a space.

    Attributes:
        choice: The choice.
        path: Its position in the architecture: field names, and the index of a layer.
        length_of: Name of the choice that sets the number of layers; None if the number is fixed.
    """

    choice: Choice
    path: tuple[str | int, ...]
    length_of: str | None = None

    def active(self, assignment: Mapping[str, Any]) -> bool:
        """Return whether an architecture with these values has this choice, that is, its layer is present."""
        return self.length_of is None or int(self.path[-1]) < assignment[self.length_of]


def nested_space(info: FieldInfo) -> Any:
    """Return the class of a nested space; None if the field is a choice."""
    annotation = info.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def per_layer(info: FieldInfo) -> PerLayer | None:
    """Return the PerLayer annotation of a field; None if it has none."""
    return next((item for item in info.metadata if isinstance(item, PerLayer)), None)


def spaces_in(space: Any, prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Iterate over path and class of a space and its nested spaces, inner ones first, as pydantic validates them."""
    for name, info in space.model_fields.items():
        if (nested := nested_space(info)) is not None:
            yield from spaces_in(nested, (*prefix, name))
    yield prefix, space


def declared(space: type[BaseModel], prefix: tuple[str | int, ...] = ()) -> Iterator[Declared]:
    """Iterate over the choices of a space class in order of declaration, those of nested spaces and layers included.

    Raises:
        SpaceError: A field is neither a choice nor a nested space.
    """
    for name, info in space.model_fields.items():
        yield from _of_field(space, name, info, (*prefix, name))


def _of_field(space: type[BaseModel], name: str, info: FieldInfo, path: tuple[str | int, ...]) -> Iterator[Declared]:
    layers = per_layer(info)
    if (nested := nested_space(info)) is not None:
        if not hasattr(nested, "choice_list"):
            raise SpaceError(f"{space.__name__}.{name}: {nested.__name__} is no Space; derive it from elasticnas.Space")
        yield from declared(nested, path)
    elif layers is None:
        options = _options(space, name, info.annotation, info.metadata)
        if not (info.is_required() or info.default_factory or info.default in options):
            raise SpaceError(f"{space.__name__}.{name}: the default {info.default!r} is none of {list(options)}")
        yield Declared(Choice(_name(path), options), path)
    else:
        inner = get_args(info.annotation)
        if get_origin(info.annotation) is not tuple or not inner:
            raise SpaceError(
                f"{space.__name__}.{name}: PerLayer({layers.count!r}) belongs to a tuple of choices; write "
                f"Annotated[tuple[Literal[64, 32], ...], PerLayer({layers.count!r})]"
            )
        options = _options(space, name, inner[0], [])
        count, length_of = layers.count, None
        if isinstance(count, str):
            length_of = _name((*path[:-1], count))
            count = max(_length_options(space, name, count))
        for layer in range(count):
            yield Declared(Choice(_name((*path, layer)), options), (*path, layer), length_of)


def _options(space: type[BaseModel], name: str, annotation: Any, metadata: list[Any]) -> tuple[Any, ...]:
    if get_origin(annotation) is Annotated:
        annotation, *metadata = get_args(annotation)
    given_range = next((item for item in metadata if isinstance(item, Range)), None)
    if given_range is not None and annotation is int:
        return given_range.options
    if annotation is bool:
        return (True, False)
    if get_origin(annotation) is Literal:
        options = get_args(annotation)
        if len(set(map(repr, options))) != len(options):
            raise SpaceError(f"{space.__name__}.{name}: the options {list(options)} repeat; name each once")
        _require_distinguishable(f"{space.__name__}.{name}", annotation, options)
        return options
    raise SpaceError(
        f"{space.__name__}.{name}: {annotation!r} is no choice; use Literal[...], Annotated[int, Range(...)], bool, "
        "Annotated[tuple[..., ...], PerLayer(n)] or another Space, and a plain attribute (ClassVar) for what is fixed"
    )


def _require_distinguishable(where: str, annotation: Any, options: tuple[Any, ...]) -> None:
    """Require plain options that validation returns unchanged: of 1 and 1.0 it can return only one."""
    for option in options:
        if not isinstance(option, (int, float, str, bytes, Enum, type(None))):
            parts = f"; write Literal[{', '.join(map(repr, option))}]" if isinstance(option, Iterable) else ""
            raise SpaceError(f"{where}: the option {option!r} is no plain value such as 64 or 'relu'{parts}")
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    for option in options:
        given = adapter.validate_python(option)
        if type(given) is not type(option) or given != option:
            raise SpaceError(f"{where}: the option {option!r} is read as {given!r}; leave one of the two out")


def _length_options(space: type[BaseModel], name: str, count: str) -> tuple[int, ...]:
    info = space.model_fields.get(count)
    options = _options(space, count, info.annotation, info.metadata) if info is not None else ()
    if not options or not all(isinstance(option, int) and not isinstance(option, bool) for option in options):
        raise SpaceError(f"{space.__name__}.{name}: PerLayer({count!r}) needs an integer choice named {count!r}")
    return options


def _name(path: tuple[str | int, ...]) -> str:
    return ".".join(map(str, path))


def assemble(choices: tuple[Declared, ...], assignment: Mapping[str, Any]) -> dict[str, Any]:
    """Return an assignment as nested data for validation; absent layers are left out."""
    data: dict[str, Any] = {}
    for item in choices:
        node: Any = data
        *path, last = item.path
        if isinstance(last, int):
            *path, field = path
            for part in path:
                node = node.setdefault(part, {})
            layers = node.setdefault(field, [])
            if item.active(assignment):
                layers.append(assignment[item.choice.name])
            continue
        for part in path:
            node = node.setdefault(part, {})
        node[last] = assignment[item.choice.name]
    return data


def lengths(items: tuple[Declared, ...]) -> dict[str, tuple[Any, ...]]:
    """Return the options of the choices that set a number of layers, by name."""
    names = {item.length_of for item in items}
    return {item.choice.name: item.choice.options for item in items if item.choice.name in names}


def read(arch: Any, path: tuple[str | int, ...], absent: Any = None) -> Any:
    """Return the value at a path of an architecture; ``absent`` for an absent layer."""
    for part in path:
        if isinstance(part, int):
            if part >= len(arch):
                return absent
            arch = arch[part]
        else:
            arch = getattr(arch, part)
    return arch


def ascending(options: tuple[Any, ...], largest_first: bool = False) -> list[int]:
    """Return the indices of options in ascending or descending order; options that are not numbers keep their order."""
    if not all(isinstance(option, (int, float)) for option in options):
        return list(range(len(options)))
    return sorted(range(len(options)), key=lambda index: options[index], reverse=largest_first)
