"""Space: a search space is a pydantic model, an architecture is an instance of it."""

import inspect
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias, cast

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from torch import Tensor
from typing_extensions import Self, TypeVar

from elasticnas.axes import Axes, Axis, Choice, Scope
from elasticnas.calls import usage
from elasticnas.errors import (
    ArchitectureError,
    ConfigError,
    SpaceError,
    UnknownNameError,
    did_you_mean,
    one_line,
    short_repr,
)
from elasticnas.plain_yaml import parse_yaml
from elasticnas.space.info import SpaceInfo
from elasticnas.space.neighbours import neighbours
from elasticnas.space.schema import per_layer, require_effect
from elasticnas.space.space_type import SpaceType

__all__ = ["A", "S", "SizesOf", "Space", "reserved"]

S = TypeVar("S", bound="Space")
A = TypeVar("A", bound="Space", default=Any)
"""Architectures of a space in generic classes with an optional type argument: ``Flops[Encoder]`` or ``Flops``."""

SizesOf: TypeAlias = Annotated[S, "axes of the space, or one of its architectures"]
"""Type of the sizes that a model is built from: axes for a supernet, an architecture for a plain network.

Type checkers treat ``sizes: SizesOf[Encoder]`` as an ``Encoder``, with its fields and properties; axes and
architectures both have these as attributes, and elastic modules accept both.
"""


class Space(BaseModel, metaclass=SpaceType):
    """A search space. Fields are choices; instances are valid, frozen, hashable architectures.

    Fields are ``Literal[...]``, ``bool``, ``Annotated[int, Range(...)]``, ``Annotated[tuple[..., ...], PerLayer(n)]``
    or another Space; integer properties are derived sizes; pydantic validators are rules. Choices are named by dotted
    paths: ``hidden``, ``encoder.hidden`` (nested), ``inner.0`` (per layer).

    Raises:
        SpaceError: A field is not a choice, or has the name of a method of Space.
        ArchitectureError: The arguments of the constructor, which are keywords, are not a valid architecture.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    pickle_factory: ClassVar[tuple[Callable[..., Any], tuple[Any, ...]] | None] = None
    """For a class that is not an attribute of a module: the function and arguments that make it, used by pickle."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        for base in (base for base in cls.__mro__ if not issubclass(Space, base)):
            derived = (n for n, value in vars(base).items() if isinstance(value, (property, cached_property)))
            for name in chain(inspect.get_annotations(base), derived):
                if not name.startswith("_") and (owner := reserved(name)) is not None:
                    raise SpaceError(f"{cls.__name__}.{name}: {name!r} is {owner}; give the field another name")
        super().__init_subclass__(**kwargs)

    if not TYPE_CHECKING:  # type checkers know the fields

        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)
            except AttributeError:
                if name[0] == "_" or inspect.getattr_static(type(self), name, None) is not None:
                    raise  # an error inside a property
                raise UnknownNameError(_unknown(type(self), name)) from None

        def __setattr__(self, name: str, value: Any) -> None:
            try:
                super().__setattr__(name, value)
            except ValidationError:
                raise ArchitectureError(
                    f"{type(self).__name__}.{name} = {short_repr(value)}: an architecture is frozen; make another one, "
                    f"such as {type(self).__name__}(**{{**dict(arch), {name!r}: {short_repr(value)}}})"
                ) from None

    @model_validator(mode="after")
    def _lengths_follow_their_fields(self) -> Self:
        for name, info in type(self).model_fields.items():
            layers = per_layer(info)
            if layers is not None and isinstance(layers.count, str):
                count, given = getattr(self, layers.count), getattr(self, name)
                if len(given) != count:
                    raise ValueError(f"{name} has {len(given)} entries, but {layers.count} is {count}")
            if layers is not None and layers.unless is not None:
                require_effect(self, name, layers.unless)
        return self

    @classmethod
    def info(cls) -> SpaceInfo:
        """Return what is derived from the class: its choices, properties and rules. It is computed once."""
        return _info(cls)

    @classmethod
    def choice_list(cls) -> tuple[Choice, ...]:
        """Return the choices in order of declaration."""
        return cls.info().choices

    @classmethod
    def choices(cls) -> dict[str, tuple[Any, ...]]:
        """Return the options of every choice, as declared, by name."""
        return {choice.name: choice.options for choice in cls.choice_list()}

    @classmethod
    @usage("Space.from_assignment({'hidden': 64, ...}), or the class itself with its fields, Space(hidden=64, ...)")
    def from_assignment(cls, assignment: Mapping[str, object]) -> Self:
        """Return the architecture with these values, by choice name.

        Raises:
            ArchitectureError: A rule rejects it, or a value is not an option.
            SpaceError: A validator changes a value, or raises an error other than ValueError and AssertionError.
        """
        arch: Self = cls.info().membership.make(assignment)
        return arch

    @classmethod
    def assignment(cls, arch: Self) -> dict[str, Any]:
        """Return the value of every choice by name; absent choices have their first option.

        Raises:
            ArchitectureError: ``arch`` is not a valid architecture of the space.
        """
        return cls.info().membership.values(arch)

    @classmethod
    def present(cls, arch: Self) -> frozenset[str]:
        """Return the names of the choices that an architecture has.

        Those of absent layers are missing, and those without effect (``unless`` of PerLayer).

        Raises:
            ArchitectureError: ``arch`` is not a valid architecture of the space.
        """
        values = cls.assignment(arch)
        return frozenset(item.choice.name for item in cls.info().declared if item.active(values))

    @classmethod
    def indices(cls, arch: Self) -> dict[str, int]:
        """Return the option index of every choice by name.

        Raises:
            ArchitectureError: ``arch`` is not a valid architecture of the space.
        """
        values = cls.assignment(arch)
        return {choice.name: choice.index(values[choice.name]) for choice in cls.choice_list()}

    @classmethod
    def size(cls) -> int:
        """Return the exact number of valid architectures.

        Raises:
            SpaceError: Rules connect too many choices to count.
        """
        return cls.info().architectures.size

    @classmethod
    def enumerate(cls) -> Iterator[Self]:
        """Iterate over all valid architectures.

        Raises:
            SpaceError: Rules connect too many choices to count.
        """
        return map(cls.from_assignment, cls.info().architectures)

    @classmethod
    @usage("Space.sample(random.Random(3)): the generator, not the seed, is given")
    def sample(cls, rng: random.Random) -> Self:
        """Draw a valid architecture: every choice is uniform, invalid combinations are drawn again.

        If 10,000 draws are invalid, the architecture is drawn from the list of valid ones, with the same
        probabilities. If they are too many to list, it is the end of a random walk over valid ones: nearly uniform
        over those that the walk can reach.

        Raises:
            ConfigError: ``rng`` is not a ``random.Random``.
            SpaceError: There is no valid architecture, or none was found.
        """
        if not isinstance(rng, random.Random) and rng is not random:
            raise ConfigError(f"{cls.__name__}.sample({short_repr(rng)}): give a generator, such as random.Random(3)")
        return cls.from_assignment(cls.info().architectures.sample(rng))

    @classmethod
    def largest(cls) -> Self:
        """Return the valid architecture nearest to every choice at its maximum (non-numbers: their first option).

        If the rules are too complex to list and no valid one is near: one in which no single choice can get larger.

        Raises:
            SpaceError: There is no valid architecture, or none was found.
        """
        arch: Self = cls.info().largest
        return arch

    @classmethod
    def smallest(cls) -> Self:
        """Return the valid architecture nearest to every choice at its minimum (non-numbers: their first option).

        If the rules are too complex to list and no valid one is near: one in which no single choice can get smaller.

        Raises:
            SpaceError: There is no valid architecture, or none was found.
        """
        arch: Self = cls.info().smallest
        return arch

    @classmethod
    def neighbours(cls, arch: Self) -> list[Self]:
        """Return the valid architectures that differ in one choice; if there are none, in two choices that rules read.

        An added layer has its first option.
        """
        return list(cls.iterate_neighbours(arch))

    @classmethod
    def iterate_neighbours(cls, arch: Self, rng: random.Random | None = None) -> Iterator[Self]:
        """Iterate over the neighbours, in random order if ``rng`` is given."""
        return neighbours(cls.info(), arch, rng)

    @classmethod
    def projections(cls, choices: tuple[Choice, ...]) -> Iterator[tuple[tuple[int, ...], Self]]:
        """Iterate over all combinations of options of these choices that occur in a valid architecture, with one each.

        Yields:
            Option indices, one for each choice, and an architecture that has them.

        Raises:
            SpaceError: None was found for a combination, but there may be one.
        """
        return cls.info().projection(choices)

    @classmethod
    def axes(cls) -> SizesOf[Self]:
        """Make new :class:`~elasticnas.axes.Axes`: one attribute per field and integer property, sharing one scope."""
        # checkers see an architecture, as no type can express "the attributes of the space and the methods of Axes"
        return cast(Self, Axes(cls, cls.info()))

    def at(self, arch: Self) -> Scope:
        """Method of axes, :meth:`elasticnas.axes.Axes.at`; an architecture has fixed sizes and raises.

        Raises:
            ArchitectureError: Always.
        """
        raise self._fixed("at")

    def masked(self, archs: Self | Sequence[Self]) -> Scope:
        """Method of axes, :meth:`elasticnas.axes.Axes.masked`; an architecture has fixed sizes and raises.

        Raises:
            ArchitectureError: Always.
        """
        raise self._fixed("masked")

    def relaxed(self, probabilities: Mapping[str, Tensor | Mapping[str, object]]) -> Scope:
        """Method of axes, :meth:`elasticnas.axes.Axes.relaxed`; an architecture has fixed sizes and raises.

        Raises:
            ArchitectureError: Always.
        """
        raise self._fixed("relaxed")

    def named(self, name: str) -> Axis:
        """Method of axes, :meth:`elasticnas.axes.Axes.named`; an architecture has no axes and raises.

        Raises:
            ArchitectureError: Always.
        """
        raise self._fixed("named")

    def _fixed(self, method: str) -> ArchitectureError:
        space = type(self).__name__
        return ArchitectureError(
            f"{self!r}.{method}: the sizes of an architecture are fixed; make axes, {space}.axes(), build the model "
            f"from them, and call axes.{method}"
        )

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON schema of an architecture."""
        return cls.model_json_schema()

    def to_yaml(self) -> str:
        """Return the architecture as YAML."""
        return yaml.safe_dump(self.model_dump(mode="json", round_trip=True), sort_keys=False)

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """Return the architecture that a YAML (or JSON) text describes.

        Raises:
            ArchitectureError: The text is not a YAML mapping, or not an architecture of this space.
        """
        try:
            data = parse_yaml(text)
        except ValueError as error:
            raise ArchitectureError(f"not YAML: {error}") from None
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise ArchitectureError(one_line(cls, error)) from None


@cache
def _info(space: type[Space]) -> SpaceInfo:
    return SpaceInfo(space)


def _unknown(space: type[Space], name: str) -> str:
    derived = [
        each for each in dir(space) if isinstance(inspect.getattr_static(space, each), (property, cached_property))
    ]
    known = [*space.model_fields, *(each for each in derived if each[0] != "_" and not hasattr(Space, each))]
    return f"an architecture of {space.__name__} has no {name!r}{did_you_mean(name, known)}"


def reserved(name: str) -> str | None:
    """Return what already uses a name that a field would have, as text; None if the name is free."""
    if hasattr(Space, name) and name != "model_config":
        return "a method of Space"
    taken = hasattr(Axes, name) or name in Axes.__annotations__
    return "a name of the axes of a space" if taken else None
