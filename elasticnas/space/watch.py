"""Watched architectures: a rule or a property that reads one takes the options of a path, and leaves a trace on it."""

from abc import ABCMeta
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from inspect import getattr_static
from typing import Any

from elasticnas.space.schema import Declared, nested_space, per_layer
from elasticnas.space.tree import Path

__all__ = ["Node", "Watch"]

_STATE = "<watch>"
# what gives all fields at once
_WHOLE = ("__dict__", "model_dump", "model_dump_json", "model_copy", "dict", "json", "copy", "__pydantic_serializer__")


@dataclass
class Node:
    """Where the choices of a space class sit: by field, a choice, the choices of its layers, or a nested node."""

    cls: Any
    prefix: tuple[str, ...]
    fields: dict[str, "Declared | tuple[Declared, ...] | Node"] = field(default_factory=dict)

    @classmethod
    def of(cls, space: Any, items: tuple[Declared, ...], prefix: tuple[str, ...] = ()) -> "Node":
        """The node of a space whose choices are among these."""
        node, deep = cls(space, prefix), len(prefix)
        ours = [item for item in items if item.path[:deep] == prefix]
        for name, info in space.model_fields.items():
            below = tuple(item for item in ours if item.path[deep] == name)
            if (nested := nested_space(info)) is not None:
                node.fields[name] = cls.of(nested, below, (*prefix, name))
            else:
                node.fields[name] = below[0] if per_layer(info) is None else below
        return node

    def at(self, prefix: tuple[str, ...]) -> "Node":
        """The node of a nested space."""
        node = self
        for name in prefix:
            below = node.fields[name]
            assert isinstance(below, Node)
            node = below
        return node


class Watch:
    """Watched instances of a space and of those nested in it, for one path after the other.

    Args:
        root: The space.
        lengths: Options of the choices that say how many layers there are, by name.
    """

    path: Path

    def __init__(self, root: Node, lengths: Mapping[str, tuple[Any, ...]]) -> None:
        self._root, self._lengths = root, lengths
        self._instances: dict[tuple[str, ...], Any] = {}
        self._ready: set[tuple[str, ...]] = set()

    def on(self, path: Path) -> "Watch":
        """The same with a path: what is read takes its options, and nothing is left of what was written before."""
        self.path = path
        for prefix in self._ready:
            self._reset(self._instances[prefix])
        self._ready.clear()
        return self

    def at(self, prefix: tuple[str, ...] = ()) -> Any:
        """The watched instance of the space at a path; always the same one."""
        if prefix not in self._ready:
            self._ready.add(prefix)
            if prefix not in self._instances:
                self._instances[prefix] = self._made(self._root.at(prefix))
            instance = self._instances[prefix]
            if type(instance).__pydantic_post_init__ is not None:
                instance.model_post_init(None)
        return self._instances[prefix]

    def is_untouched(self) -> bool:
        """Whether nothing has been written to a field since the path was set."""
        every = (object.__getattribute__(self._instances[prefix], "__dict__") for prefix in self._ready)
        return all(attributes[_STATE].is_untouched(attributes) for attributes in every)

    def layers(self, items: tuple[Declared, ...]) -> int:
        """How many there are of these layers, which are all of a field."""
        length = items[0].length_of if items else None
        return len(items) if length is None else int(self._lengths[length][self.path.index(length)])

    def unwatched(self, below: Any) -> Any:
        """The value of a field with nothing watched any more: all of it counts as read."""
        if isinstance(below, Node):
            return below.cls.model_construct(**{name: self.unwatched(part) for name, part in below.fields.items()})
        if isinstance(below, Declared):
            return below.choice.options[self.path.index(below.choice.name)]
        return tuple(self.unwatched(item) for item in below[: self.layers(below)])

    def data(self, below: Any) -> Any:
        """The same as plain data, ready for validation."""
        if isinstance(below, Node):
            return {name: self.data(part) for name, part in below.fields.items()}
        return self.unwatched(below)

    def field(self, node: Node, name: str) -> Any:
        """The watched value of a field."""
        below = node.fields[name]
        if isinstance(below, Declared):
            return below.choice.options[self.path.index(below.choice.name)]
        return self.at(below.prefix) if isinstance(below, Node) else _Layers.of(self, below, True)

    def _made(self, node: Node) -> Any:
        instance = object.__new__(_watched_class(node.cls))
        object.__setattr__(instance, "__pydantic_fields_set__", set(node.fields))
        object.__setattr__(instance, "__pydantic_extra__", None)
        object.__setattr__(instance, "__pydantic_private__", None)
        object.__getattribute__(instance, "__dict__")[_STATE] = _State(self, node)
        return instance

    def _reset(self, instance: Any) -> None:
        attributes = object.__getattribute__(instance, "__dict__")
        state = attributes[_STATE]
        if len(attributes) > 1:
            attributes.clear()
            attributes[_STATE] = state
        state.cached.clear()
        vars(state).pop("unwatched", None)
        object.__setattr__(instance, "__pydantic_private__", None)


class _State:
    """What belongs to one watched instance."""

    def __init__(self, watch: Watch, node: Node) -> None:
        self.watch, self.node = watch, node
        self.layers: dict[str, _Layers] = {}
        self.cached: dict[str, Any] = {}

    def read(self, name: str) -> Any:
        if name in self.layers:
            return self.layers[name]
        value = self.watch.field(self.node, name)
        if isinstance(value, _Layers):
            self.layers[name] = value
        return value

    @cached_property
    def unwatched(self) -> Any:
        return self.watch.unwatched(self.node)

    def compute(self, owner: Any, name: str, function: Callable[[Any], Any]) -> Any:
        if name not in self.cached:
            self.cached[name] = function(owner)
        return self.cached[name]

    def is_untouched(self, attributes: dict[str, Any]) -> bool:
        if len(attributes) > 1 and attributes.keys() & self.node.fields.keys():
            return False
        if "unwatched" not in vars(self):
            return True
        fields = self.node.fields.items()
        return all(vars(self.unwatched).get(name) == self.watch.unwatched(below) for name, below in fields)


@cache
def _watched_class(cls: Any) -> Any:
    """A subclass whose instances take what is read from their path. The original is what they say they are."""
    fields = frozenset(cls.model_fields)
    kept = {name: value.func for name in dir(cls) if isinstance(value := getattr_static(cls, name), cached_property)}
    watched = {*fields, *kept, *_WHOLE}

    def read(self: Any, name: str) -> Any:
        if name in watched and (state := object.__getattribute__(self, "__dict__").get(_STATE)) is not None:
            if name in fields:
                return state.read(name)
            return state.compute(self, name, kept[name]) if name in kept else getattr(state.unwatched, name)
        return cls if name == "__class__" else object.__getattribute__(self, name)

    # not by pydantic's metaclass, which would build the schema again
    namespace = {"__getattribute__": read, "__module__": cls.__module__, "__qualname__": cls.__qualname__}
    return ABCMeta.__new__(type(cls), cls.__name__, (cls,), namespace)


class _Layers(tuple[Any, ...]):
    """The values of a per-layer field, each read where it is used.

    What reads a tuple's memory without asking finds placeholders, with which it fails, and no value.
    """

    _watch: Watch
    _items: tuple[Declared, ...]
    _options: tuple[tuple[str, tuple[Any, ...]], ...]
    _counted: bool

    @classmethod
    def of(cls, watch: Watch, items: tuple[Declared, ...], counted: bool) -> "_Layers":
        """The layers, all of them or as many as a choice says."""
        layers = super().__new__(cls, (object() for _ in items))
        layers._watch, layers._items = watch, items
        layers._options = tuple((item.choice.name, item.choice.options) for item in items)
        layers._counted = counted and bool(items) and items[0].length_of is not None
        return layers

    def __len__(self) -> int:
        return self._watch.layers(self._items) if self._counted else len(self._items)

    def __iter__(self) -> Iterator[Any]:
        path = self._watch.path
        for name, options in self._options[: len(self)]:
            yield options[path.index(name)]

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return _Layers.of(self._watch, self._items[: len(self)][key], False)
        name, options = self._options[: len(self)][key]
        return options[self._watch.path.index(name)]

    def __contains__(self, wanted: object) -> bool:
        return any(value is wanted or value == wanted for value in self)

    def __radd__(self, other: Any) -> Any:
        return other + tuple(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return tuple, (tuple(self),)


def _on_all(name: str) -> Callable[..., Any]:
    def method(self: _Layers, *arguments: Any) -> Any:
        plain = (tuple(given) if isinstance(given, _Layers) else given for given in arguments)
        return getattr(tuple(self), name)(*plain)

    return method


for _name in ("eq", "ne", "lt", "le", "gt", "ge", "hash", "add", "mul", "rmul", "repr", "getnewargs"):
    setattr(_Layers, f"__{_name}__", _on_all(f"__{_name}__"))
for _name in ("index", "count"):
    setattr(_Layers, _name, _on_all(_name))
