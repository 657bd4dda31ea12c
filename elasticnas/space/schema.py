"""Schema: the choices that a Space class declares, and their positions in an architecture."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from elasticnas.axes import Choice
from elasticnas.errors import ArchitectureError, SpaceError
from elasticnas.space.fields import PerLayer, Range
from elasticnas.space.option_order import require_written_order

__all__ = [
    "Declared",
    "ascending",
    "assemble",
    "declared",
    "lengths",
    "nested_space",
    "per_layer",
    "read",
    "require_effect",
    "spaces_in",
]


@dataclass(frozen=True)
class Declared:
    """A choice as declared in a space.

    Attributes:
        choice: The choice.
        path: Its position in the architecture: field names, and the index of a layer.
        length_of: Name of the choice that sets the number of layers; None if the number is fixed.
        unless: Choice of the same layer and the index of its option with which this choice has no effect; None if it
            always has one.
    """

    choice: Choice
    path: tuple[str | int, ...]
    length_of: str | None = None
    unless: "tuple[Choice, int] | None" = None

    def in_layer(self, assignment: Mapping[str, Any]) -> bool:
        """Return whether the layer of this choice is present in an architecture with these values."""
        return self.length_of is None or int(self.path[-1]) < assignment[self.length_of]

    def active(self, assignment: Mapping[str, Any]) -> bool:
        """Return whether an architecture with these values has this choice: in a present layer, with an effect."""
        if not self.in_layer(assignment):
            return False
        return self.unless is None or not _is_option(self.unless, assignment[self.unless[0].name])


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
    require_written_order(space, name, info)
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
        deciding = None if layers.unless is None else _deciding(space, name, layers)
        if isinstance(count, str):
            length_of = _name((*path[:-1], count))
            count = max(_length_options(space, name, count))
        for layer in range(count):
            unless = None
            if deciding is not None:
                field, others, index = deciding
                unless = Choice(_name((*path[:-1], field, layer)), others), index
            yield Declared(Choice(_name((*path, layer)), options), (*path, layer), length_of, unless)


@cache
def _first_of_layers(space: type[BaseModel], name: str) -> Any:
    """Return the first option of a per-layer field."""
    return _options(space, name, get_args(space.model_fields[name].annotation)[0], [])[0]


def require_effect(arch: BaseModel, name: str, unless: tuple[str, Any]) -> None:
    """Require that the layers in which a field has no effect have its first option.

    Raises:
        ValueError: A layer has another one.
    """
    first = _first_of_layers(type(arch), name)
    for layer, (given, deciding) in enumerate(zip(getattr(arch, name), getattr(arch, unless[0]), strict=False)):
        if type(deciding) is type(unless[1]) and deciding == unless[1] and given != first:
            raise ValueError(
                f"{name}[{layer}] is {given!r}, but it has no effect where {unless[0]} is {unless[1]!r}: give it its "
                f"first option, {first!r}"
            )


def _is_option(unless: tuple[Choice, int], value: Any) -> bool:
    option = unless[0].options[unless[1]]
    return type(option) is type(value) and bool(option == value)


def _deciding(space: type[BaseModel], name: str, layers: PerLayer) -> tuple[str, tuple[Any, ...], int]:
    """Return the field that ``unless`` names, its options, and the index of the option without effect."""
    assert layers.unless is not None
    field, option = layers.unless
    info = space.model_fields.get(field)
    other = None if info is None else per_layer(info)
    if info is None or other is None or other.count != layers.count or other.unless is not None or field == name:
        raise SpaceError(
            f"{space.__name__}.{name}: unless=({field!r}, {option!r}) needs another per-layer field {field!r} with the "
            f"same count, {layers.count!r}, and without an unless of its own"
        )
    options = _options(space, field, get_args(info.annotation)[0], [])
    try:
        index = Choice(field, options).index(option)
    except ArchitectureError as error:
        raise SpaceError(f"{space.__name__}.{name}: unless=({field!r}, {option!r}): {error}") from None
    if len(options) == 1:
        raise SpaceError(
            f"{space.__name__}.{name}: unless=({field!r}, {option!r}): {field} has no other option, so that {name} "
            f"never has an effect; leave {name} out"
        )
    return field, options, index


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
    """Return an assignment as nested data for validation.

    Absent layers are left out; a choice without effect has its first option, whatever its value is.
    """
    data: dict[str, Any] = {}
    for item in choices:
        node: Any = data
        *path, last = item.path
        if isinstance(last, int):
            *path, field = path
            for part in path:
                node = node.setdefault(part, {})
            layers = node.setdefault(field, [])
            if item.in_layer(assignment):
                layers.append(assignment[item.choice.name] if item.active(assignment) else item.choice.options[0])
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
