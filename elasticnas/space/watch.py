"""Watched architectures: instances that take their values from a path and record on it which choices are read."""

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
# attributes that read all fields at once
_WHOLE = ("__dict__", "model_dump", "model_dump_json", "model_copy", "dict", "json", "copy", "__pydantic_serializer__")


@dataclass
class Node:
    """The choices of a space class by field.

    Attributes:
        cls: The space class.
        prefix: Its path in the outermost space.
        fields: By field name: a choice, a tuple of choices (per layer), or the node of a nested space.
    """

    cls: Any
    prefix: tuple[str, ...]
    fields: dict[str, "Declared | tuple[Declared, ...] | Node"] = field(default_factory=dict)

    @classmethod
    def of(cls, space: Any, items: tuple[Declared, ...], prefix: tuple[str, ...] = ()) -> "Node":
        """Make the node of a space from the choices of the outermost space."""
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
        """Return the node of a nested space."""
        node = self
        for name in prefix:
            below = node.fields[name]
            assert isinstance(below, Node)
            node = below
        return node


class Watch:
    """Watched instances of a space and its nested spaces, reused from path to path.

    Args:
        root: The node of the space.
        lengths: Options of the choices that set a number of layers, by name.
    """

    path: Path

    def __init__(self, root: Node, lengths: Mapping[str, tuple[Any, ...]]) -> None:
        self._root, self._lengths = root, lengths
        self._instances: dict[tuple[str, ...], Any] = {}
        self._ready: set[tuple[str, ...]] = set()

    def on(self, path: Path) -> "Watch":
        """Set the path and reset all instances; return self."""
        self.path = path
        for prefix in self._ready:
            self._reset(self._instances[prefix])
        self._ready.clear()
        return self

    def at(self, prefix: tuple[str, ...] = ()) -> Any:
        """Return the watched instance of a nested space, always the same object."""
        if prefix not in self._ready:
            self._ready.add(prefix)
            if prefix not in self._instances:
                self._instances[prefix] = self._new_instance(self._root.at(prefix))
            instance = self._instances[prefix]
            if type(instance).__pydantic_post_init__ is not None:
                instance.model_post_init(None)
        return self._instances[prefix]

    def is_untouched(self) -> bool:
        """Return whether no field has been written to since the path was set."""
        every = (object.__getattribute__(self._instances[prefix], "__dict__") for prefix in self._ready)
        return all(attributes[_STATE].is_untouched(attributes) for attributes in every)

    def layers(self, items: tuple[Declared, ...]) -> int:
        """Return the number of present layers; ``items`` are all layers of a field."""
        length = items[0].length_of if items else None
        return len(items) if length is None else int(self._lengths[length][self.path.index(length)])

    def has(self, item: Declared) -> bool:
        """Return whether the layer of a choice is present."""
        name = item.length_of
        return name is None or int(item.path[-1]) < int(self._lengths[name][self.path.index(name)])

    def option(self, item: Declared) -> Any:
        """Read a choice; one without effect has its first option, whatever the path gives it."""
        if item.unless is not None and self.path.index(item.unless[0].name) == item.unless[1]:
            return item.choice.options[0]
        return item.choice.options[self.path.index(item.choice.name)]

    def unwatched(self, below: Any) -> Any:
        """Return the plain value of a field or node, which reads all its choices."""
        if isinstance(below, Node):
            return below.cls.model_construct(**{name: self.unwatched(part) for name, part in below.fields.items()})
        if isinstance(below, Declared):
            return self.option(below)
        return tuple(self.unwatched(item) for item in below[: self.layers(below)])

    def data(self, below: Any) -> Any:
        """Return the value of a field or node as data for validation, which reads all its choices."""
        if isinstance(below, Node):
            return {name: self.data(part) for name, part in below.fields.items()}
        return self.unwatched(below)

    def field(self, node: Node, name: str) -> Any:
        """Return the watched value of a field."""
        below = node.fields[name]
        if isinstance(below, Declared):
            return self.option(below)
        return self.at(below.prefix) if isinstance(below, Node) else _Layers.of(self, below, True)

    def _new_instance(self, node: Node) -> Any:
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
    """The state of one watched instance."""

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
    """Make a subclass whose instances read their fields from the path; their ``__class__`` is the original class."""
    fields = frozenset(cls.model_fields)
    cached = {name: value.func for name in dir(cls) if isinstance(value := getattr_static(cls, name), cached_property)}
    watched = {*fields, *cached, *_WHOLE}

    def read(self: Any, name: str) -> Any:
        if name in watched and (state := object.__getattribute__(self, "__dict__").get(_STATE)) is not None:
            if name in fields:
                return state.read(name)
            return state.compute(self, name, cached[name]) if name in cached else getattr(state.unwatched, name)
        return cls if name == "__class__" else object.__getattribute__(self, name)

    # pydantic's metaclass would build the schema again
    namespace = {"__getattribute__": read, "__module__": cls.__module__, "__qualname__": cls.__qualname__}
    return ABCMeta.__new__(type(cls), cls.__name__, (cls,), namespace)


class _Layers(tuple[Any, ...]):
    """The values of a per-layer field; a layer counts as read when its value is accessed.

    C code that reads the tuple's memory directly gets placeholders, with which it fails.
    """

    _watch: Watch
    _items: tuple[Declared, ...]
    _counted: bool

    @classmethod
    def of(cls, watch: Watch, items: tuple[Declared, ...], counted: bool) -> "_Layers":
        """Make the tuple of all layers, or with ``counted`` of the present ones."""
        layers = super().__new__(cls, (object() for _ in items))
        layers._watch, layers._items = watch, items
        layers._counted = counted and bool(items) and items[0].length_of is not None
        return layers

    def __len__(self) -> int:
        return self._watch.layers(self._items) if self._counted else len(self._items)

    def __iter__(self) -> Iterator[Any]:
        for item in self._items[: len(self)]:
            yield self._watch.option(item)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return _Layers.of(self._watch, self._items[: len(self)][key], False)
        return self._watch.option(self._items[: len(self)][key])

    def __contains__(self, item: object) -> bool:
        return any(value is item or value == item for value in self)

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
