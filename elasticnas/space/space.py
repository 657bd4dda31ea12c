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
    shown,
)
from elasticnas.space.info import SpaceInfo
from elasticnas.space.neighbours import neighbours
from elasticnas.space.schema import per_layer
from elasticnas.space.space_type import SpaceType

__all__ = ["A", "S", "SizesOf", "Space", "reserved"]

S = TypeVar("S", bound="Space")
A = TypeVar("A", bound="Space", default=Any)
"""The architectures of a space, where a class can be used without saying which: ``Flops[Encoder]``, ``Flops``."""

SizesOf: TypeAlias = Annotated[S, "axes of the space, or one of its architectures"]
"""What a model is built from: ``sizes: SizesOf[Encoder]`` are axes in a supernet, an architecture in a plain network.

Checkers take it as the space itself, whose fields and properties are ints and bools: both kinds have all of these by
name, and elastic parts take both.
"""


class Space(BaseModel, metaclass=SpaceType):
    """A search space. Fields are choices, instances are valid, frozen, hashable architectures.

    Fields are ``Literal[...]``, ``bool``, ``Annotated[int, Range(...)]``, ``Annotated[tuple[..., ...], PerLayer(n)]``
    or another Space; integer properties are derived sizes; pydantic validators are rules. Choices are named by dotted
    paths: ``hidden``, ``encoder.hidden`` (nested), ``inner.0`` (per layer).

    Raises:
        SpaceError: A field is no choice, or bears the name of one of Space's methods.
        ArchitectureError: An instance is no valid architecture; its fields are given by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    made_by: ClassVar[tuple[Callable[..., Any], tuple[Any, ...]] | None] = None
    """Function and arguments that make the class, where it is no module's attribute: pickles find it by them."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        for base in (base for base in cls.__mro__ if not issubclass(Space, base)):
            derived = (n for n, value in vars(base).items() if isinstance(value, (property, cached_property)))
            for name in chain(inspect.get_annotations(base), derived):
                if not name.startswith("_") and (owner := reserved(name)) is not None:
                    raise SpaceError(f"{cls.__name__}.{name}: {name!r} is {owner}; give the field another name")
        super().__init_subclass__(**kwargs)

    if not TYPE_CHECKING:  # checkers know the fields

        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)
            except AttributeError:
                if name[0] == "_" or inspect.getattr_static(type(self), name, None) is not None:
                    raise  # of a property, which says itself what it lacks
                raise UnknownNameError(_unknown(type(self), name)) from None

        def __setattr__(self, name: str, value: Any) -> None:
            try:
                super().__setattr__(name, value)
            except ValidationError:
                raise ArchitectureError(
                    f"{type(self).__name__}.{name} = {shown(value)}: an architecture is frozen; make another one, "
                    f"such as {type(self).__name__}(**{{**dict(arch), {name!r}: {shown(value)}}})"
                ) from None

    @model_validator(mode="after")
    def _lengths_follow_their_fields(self) -> Self:
        for name, info in type(self).model_fields.items():
            layers = per_layer(info)
            if layers is not None and isinstance(layers.count, str):
                wanted, given = getattr(self, layers.count), getattr(self, name)
                if len(given) != wanted:
                    raise ValueError(f"{name} has {len(given)} entries, but {layers.count} is {wanted}")
        return self

    @classmethod
    def info(cls) -> SpaceInfo:
        """What follows from the class: its choices, properties and rules, worked out once."""
        return _info(cls)

    @classmethod
    def choice_list(cls) -> tuple[Choice, ...]:
        """The choices in order of declaration."""
        return cls.info().choices

    @classmethod
    def choices(cls) -> dict[str, tuple[Any, ...]]:
        """Name of every choice, and its options as declared."""
        return {choice.name: choice.options for choice in cls.choice_list()}

    @classmethod
    @usage("Space.from_assignment({'hidden': 64, ...}), or the class itself with its fields, Space(hidden=64, ...)")
    def from_assignment(cls, assignment: Mapping[str, object]) -> Self:
        """The architecture with a value for each choice name.

        Raises:
            ArchitectureError: A rule forbids it, or a value is no option.
            SpaceError: A validator changes a value, or fails by another error than ValueError and AssertionError.
        """
        arch: Self = cls.info().membership.make(assignment)
        return arch

    @classmethod
    def assignment(cls, arch: Self) -> dict[str, Any]:
        """The value of every choice; a layer the architecture does not have gives its first option.

        Raises:
            ArchitectureError: ``arch`` is no valid architecture of the space.
        """
        return cls.info().membership.values(arch)

    @classmethod
    def present(cls, arch: Self) -> frozenset[str]:
        """Names of the choices that an architecture has: all but those of layers beyond its depth.

        Raises:
            ArchitectureError: ``arch`` is no valid architecture of the space.
        """
        values = cls.assignment(arch)
        return frozenset(item.choice.name for item in cls.info().declared if item.active(values))

    @classmethod
    def indices(cls, arch: Self) -> dict[str, int]:
        """The option index of every choice.

        Raises:
            ArchitectureError: ``arch`` is no valid architecture of the space.
        """
        values = cls.assignment(arch)
        return {choice.name: choice.index(values[choice.name]) for choice in cls.choice_list()}

    @classmethod
    def size(cls) -> int:
        """Number of valid architectures, exact.

        Raises:
            SpaceError: Rules tie too many choices together to count.
        """
        return cls.info().architectures.size

    @classmethod
    def enumerate(cls) -> Iterator[Self]:
        """Every valid architecture once.

        Raises:
            SpaceError: Rules tie too many choices together to count.
        """
        return map(cls.from_assignment, cls.info().architectures)

    @classmethod
    @usage("Space.sample(random.Random(3)): the generator, not the seed, is given")
    def sample(cls, rng: random.Random) -> Self:
        """A valid architecture, every choice uniform, impossible combinations drawn again.

        Where 10,000 draws give none, it is drawn from the list of those that the rules leave, with the same
        probabilities. Where they are too many to list too, it is the end of a random walk over valid ones: nearly
        uniform over those that the walk can reach.

        Raises:
            ConfigError: ``rng`` is no ``random.Random``.
            SpaceError: There is no valid architecture, or none was found.
        """
        if not isinstance(rng, random.Random) and rng is not random:
            raise ConfigError(f"{cls.__name__}.sample({shown(rng)}): give a generator, such as random.Random(3)")
        return cls.from_assignment(cls.info().architectures.sample(rng))

    @classmethod
    def largest(cls) -> Self:
        """The valid architecture nearest to every choice at its maximum (branches at their first option).

        Where rules leave too many to list, and none is near: one in which no choice by itself can get a larger option.

        Raises:
            SpaceError: There is no valid architecture, or none was found.
        """
        arch: Self = cls.info().largest
        return arch

    @classmethod
    def smallest(cls) -> Self:
        """The valid architecture nearest to every choice at its minimum (branches at their first option).

        Where rules leave too many to list, and none is near: one in which no choice by itself can get a smaller option.

        Raises:
            SpaceError: There is no valid architecture, or none was found.
        """
        arch: Self = cls.info().smallest
        return arch

    @classmethod
    def neighbours(cls, arch: Self) -> list[Self]:
        """Valid architectures that differ in one choice; where rules allow none such, in two ruled choices.

        A layer that a larger layer count adds starts at its first option.
        """
        return list(cls.iterate_neighbours(arch))

    @classmethod
    def iterate_neighbours(cls, arch: Self, rng: random.Random | None = None) -> Iterator[Self]:
        """The neighbours one by one, each made when it is asked for: in random order where a generator is given."""
        return neighbours(cls.info(), arch, rng)

    @classmethod
    def projections(cls, choices: tuple[Choice, ...]) -> Iterator[tuple[tuple[int, ...], Self]]:
        """One architecture for every combination of these choices' options that some valid architecture has.

        Raises:
            SpaceError: None was found for a combination, and it is not certain that there is none.
        """
        return cls.info().projection(choices)

    @classmethod
    def axes(cls) -> SizesOf[Self]:
        """Fresh :class:`~elasticnas.axes.Axes`: one attribute per field and per integer property, sharing one scope."""
        # no type has the attributes of another and methods beside: checkers see an architecture, whose class says both
        return cast(Self, Axes(cls, cls.info()))

    def at(self, arch: Self) -> Scope:
        """Of axes, :meth:`elasticnas.axes.Axes.at`; the sizes of an architecture are fixed.

        Raises:
            ArchitectureError: Always.
        """
        raise self._fixed("at")

    def masked(self, archs: Self | Sequence[Self]) -> Scope:
        """Of axes, :meth:`elasticnas.axes.Axes.masked`; the sizes of an architecture are fixed.

        Raises:
            ArchitectureError: Always.
        """
        raise self._fixed("masked")

    def relaxed(self, probabilities: Mapping[str, Tensor | Mapping[str, object]]) -> Scope:
        """Of axes, :meth:`elasticnas.axes.Axes.relaxed`; the sizes of an architecture are fixed.

        Raises:
            ArchitectureError: Always.
        """
        raise self._fixed("relaxed")

    def named(self, name: str) -> Axis:
        """Of axes, :meth:`elasticnas.axes.Axes.named`; an architecture has no axis.

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
        """JSON schema of an architecture."""
        return cls.model_json_schema()

    def to_yaml(self) -> str:
        """The architecture as YAML."""
        return yaml.safe_dump(self.model_dump(mode="json", round_trip=True), sort_keys=False)

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """The architecture in a YAML (or JSON) text.

        Raises:
            ArchitectureError: The text is no YAML mapping, or no architecture of this space.
        """
        try:
            data = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ArchitectureError(f"not YAML: {' '.join(str(error).split())}") from None
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
    """Whose name a field would take, in words; None where it is free."""
    if hasattr(Space, name) and name != "model_config":
        return "a method of Space"
    taken = hasattr(Axes, name) or name in Axes.__annotations__
    return "a name of the axes of a space" if taken else None
