"""Space: a search space is a pydantic model, an architecture is an instance of it."""

import heapq
import inspect
import random
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import product
from math import prod
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from elasticnas.axes import Axes, Choice
from elasticnas.errors import ArchitectureError, SpaceError
from elasticnas.space.completing import Completing
from elasticnas.space.fields import PerLayer
from elasticnas.space.quantities import quantities
from elasticnas.space.rules import choices_in_rules
from elasticnas.space.schema import Declared, assemble, declared, read

__all__ = ["Space"]

Self = TypeVar("Self", bound="Space")
_COUNT_LIMIT = 1_000_000  # combinations of ruled choices gone through one by one
_TRIES = 10_000


class Space(BaseModel):
    """A search space. Fields are choices, instances are valid, frozen, hashable architectures.

    Fields are ``Literal[...]``, ``bool``, ``Annotated[int, Range(...)]``, ``PerLayer[...]`` or another Space; integer
    properties are derived sizes; pydantic validators are rules. Choices are named by dotted paths: ``hidden``,
    ``encoder.hidden`` (nested), ``inner.0`` (per layer).

    Raises:
        SpaceError: A field is no choice, or bears the name of one of Space's methods.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    made_by: ClassVar[tuple[Callable[..., Any], tuple[Any, ...]] | None] = None
    """Function and arguments that make the class, where it is no module's attribute: pickles find it by them."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        for name in inspect.get_annotations(cls):
            if hasattr(Space, name) and not name.startswith("_") and name not in ("model_config",):
                raise SpaceError(f"{cls.__name__}.{name}: {name!r} is a method of Space; give the field another name")
        super().__init_subclass__(**kwargs)

    @model_validator(mode="after")
    def _lengths_follow_their_fields(self) -> Any:
        for name, info in type(self).model_fields.items():
            per_layer = next((item for item in info.metadata if isinstance(item, PerLayer)), None)
            if per_layer is not None and isinstance(per_layer.count, str):
                wanted, given = getattr(self, per_layer.count), getattr(self, name)
                if len(given) != wanted:
                    raise ValueError(f"{name} has {len(given)} entries, but {per_layer.count} is {wanted}")
        return self

    @classmethod
    @cache
    def _declared(cls) -> tuple[Declared, ...]:
        found = tuple(declared(cls))
        if not found:
            raise SpaceError(f"{cls.__name__} declares no choice: add a field such as hidden: Literal[128, 64]")
        return found

    @classmethod
    def choice_list(cls) -> tuple[Choice, ...]:
        """The choices in order of declaration."""
        return tuple(item.choice for item in cls._declared())

    @classmethod
    def choices(cls) -> dict[str, tuple[Any, ...]]:
        """Name of every choice, and its options as declared."""
        return {choice.name: choice.options for choice in cls.choice_list()}

    @classmethod
    def build(cls: type[Self], assignment: Mapping[str, Any]) -> Self:
        """The architecture with a value for each choice name.

        Raises:
            ArchitectureError: A rule forbids it, or a value is no option.
        """
        try:
            return cls.model_validate(assemble(cls._declared(), assignment))
        except ValidationError as error:
            raise ArchitectureError(one_line(cls, error)) from None

    @classmethod
    def assignment(cls, arch: Any) -> dict[str, Any]:
        """The value of every choice; a layer the architecture does not have gives its first option."""
        return {item.choice.name: read(arch, item.path, item.choice.options[0]) for item in cls._declared()}

    @classmethod
    def present(cls, arch: Any) -> frozenset[str]:
        """Names of the choices that an architecture has: all but those of layers beyond its depth."""
        values = cls.assignment(arch)
        return frozenset(item.choice.name for item in cls._declared() if item.active(values))

    @classmethod
    def indices(cls, arch: Any) -> dict[str, int]:
        """The option index of every choice."""
        values = cls.assignment(arch)
        return {choice.name: choice.index(values[choice.name]) for choice in cls.choice_list()}

    @classmethod
    @cache
    def _ruled(cls) -> tuple[Declared, ...]:
        """Choices that rules or layer counts tie together; all others are free."""
        names = choices_in_rules(cls, cls._declared())
        names |= {item.length_of for item in cls._declared() if item.length_of is not None}
        return tuple(item for item in cls._declared() if item.choice.name in names)

    @classmethod
    def _valid_ruled(cls) -> Iterator[dict[str, Any]]:
        """Every valid combination of the ruled choices, the free ones at their first option, absent layers once."""
        ruled = cls._ruled()
        if prod(len(item.choice.options) for item in ruled) > _COUNT_LIMIT:
            raise SpaceError(
                f"{cls.__name__}: rules tie {len(ruled)} choices with more than {_COUNT_LIMIT:,} combinations; "
                "sample instead"
            )
        base = {choice.name: choice.options[0] for choice in cls.choice_list()}
        for options in product(*(item.choice.options for item in ruled)):
            assignment = base | {item.choice.name: option for item, option in zip(ruled, options, strict=True)}
            if any(
                not item.active(assignment) and assignment[item.choice.name] != item.choice.options[0] for item in ruled
            ):
                continue
            if cls._possible(assignment):
                yield assignment

    @classmethod
    def _possible(cls: type[Self], assignment: Mapping[str, Any]) -> Self | None:
        try:
            return cls.model_validate(assemble(cls._declared(), assignment))
        except ValidationError:
            return None

    @classmethod
    @cache
    def size(cls) -> int:
        """Number of valid architectures, exact.

        Raises:
            SpaceError: Rules tie too many choices together to count.
        """
        free = [item for item in cls._declared() if item not in cls._ruled()]
        return sum(
            prod(len(item.choice.options) for item in free if item.active(assignment))
            for assignment in cls._valid_ruled()
        )

    @classmethod
    def enumerate(cls: type[Self]) -> Iterator[Self]:
        """Every valid architecture once."""
        free = [item for item in cls._declared() if item not in cls._ruled()]
        for assignment in cls._valid_ruled():
            active = [item for item in free if item.active(assignment)]
            for options in product(*(item.choice.options for item in active)):
                yield cls.build(assignment | {i.choice.name: o for i, o in zip(active, options, strict=True)})

    @classmethod
    def sample(cls: type[Self], rng: random.Random) -> Self:
        """A valid architecture, every choice uniform, impossible combinations drawn again.

        Raises:
            SpaceError: No valid architecture in many draws.
        """
        for _ in range(_TRIES):
            arch = cls._possible({choice.name: rng.choice(choice.options) for choice in cls.choice_list()})
            if arch is not None:
                return arch
        raise SpaceError(f"{cls.__name__}: none of {_TRIES:,} draws obeys its rules; loosen the rules or the options")

    @classmethod
    @cache
    def largest(cls: type[Self]) -> Self:
        """The valid architecture nearest to every choice at its maximum (branches at their first option)."""
        return cls._nearest(largest=True)

    @classmethod
    @cache
    def smallest(cls: type[Self]) -> Self:
        """The valid architecture nearest to every choice at its minimum (branches at their first option)."""
        return cls._nearest(largest=False)

    @classmethod
    def _nearest(cls: type[Self], largest: bool) -> Self:
        ranked = [_ranked(item.choice.options, largest) for item in cls._declared()]
        names = [item.choice.name for item in cls._declared()]
        # best-first by the number of steps away from the extreme
        start = (0,) * len(names)
        queue, seen = [(0, start)], {start}
        for _ in range(_TRIES * 10):
            if not queue:
                break
            steps, ranks = heapq.heappop(queue)
            arch = cls._possible({n: options[r] for n, options, r in zip(names, ranked, ranks, strict=True)})
            if arch is not None:
                return arch
            for position, options in enumerate(ranked):
                following = (*ranks[:position], ranks[position] + 1, *ranks[position + 1 :])
                if following[position] < len(options) and following not in seen:
                    seen.add(following)
                    heapq.heappush(queue, (steps + 1, following))
        raise SpaceError(f"{cls.__name__} has no valid architecture near its extremes; loosen its rules")

    @classmethod
    def neighbours(cls: type[Self], arch: Self) -> list[Self]:
        """Valid architectures that differ in one choice; where rules allow none such, in two ruled choices.

        A layer that a larger layer count adds starts at its first option.
        """
        return list(cls.iterate_neighbours(arch))

    @classmethod
    def iterate_neighbours(cls: type[Self], arch: Self, rng: random.Random | None = None) -> Iterator[Self]:
        """The neighbours one by one, each made when it is asked for: in random order where a generator is given."""
        values = cls.assignment(arch)
        singles = [{c.name: option} for c in cls.choice_list() for option in c.options]
        found = False
        for found_one in cls._distinct(arch, values, singles, rng):
            found = True
            yield found_one
        if not found:
            ruled = [item.choice for item in cls._ruled()]
            both = [(a, b) for a in ruled for b in ruled if a is not b]
            pairs = [{a.name: x, b.name: y} for a, b in both for x in a.options for y in b.options]
            yield from cls._distinct(arch, values, pairs, rng)

    @classmethod
    def _distinct(
        cls: type[Self], arch: Self, values: dict[str, Any], changes: list[dict[str, Any]], rng: random.Random | None
    ) -> Iterator[Self]:
        if rng is not None:
            rng.shuffle(changes)
        seen = {arch}
        for change in changes:
            other = cls._possible(values | change)
            if other is not None and other not in seen:
                seen.add(other)
                yield other

    @classmethod
    def projections(cls: type[Self], choices: tuple[Choice, ...]) -> Iterator[tuple[tuple[int, ...], Self]]:
        """One architecture for every combination of these choices' options that some valid architecture has.

        Raises:
            SpaceError: None was found for a combination, and it is not certain that there is none.
        """
        names = [choice.name for choice in choices]
        declared = {item.choice.name: item for item in cls._declared()}
        items = [declared[name] for name in names]
        ruled = cls._ruled()
        tied = any(item in ruled for item in items)
        known = [cls.assignment(cls.largest()), cls.assignment(cls.smallest())]
        # layers whose number is not among the choices must be there
        present = [item for item in items if item.length_of is not None and item.length_of not in names]
        lengths = {item.length_of for item in present}
        free = [item for item in ruled if item not in items and (tied or item.choice.name in lengths)]
        completing = Completing(cls, cls._declared(), free, cls._possible, known)
        for indices in product(*(range(len(choice.options)) for choice in choices)):
            given = {choice.name: choice.options[index] for choice, index in zip(choices, indices, strict=True)}
            arch = completing.around(given, present)
            if arch is not None:
                yield indices, arch

    @classmethod
    def axes(cls) -> Axes:
        """Fresh axes: one attribute per field and per integer property, sharing one scope."""
        return Axes(cls, quantities(cls, cls._declared(), cls.projections), cls.projections)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """JSON schema of an architecture."""
        return cls.model_json_schema()

    def to_yaml(self) -> str:
        """The architecture as YAML."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    @classmethod
    def from_yaml(cls: type[Self], text: str) -> Self:
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


def one_line(model: type[BaseModel], error: ValidationError) -> str:
    """A pydantic error in one line: each field, the rule, the value."""
    parts = []
    for item in error.errors():
        where = ".".join(map(str, item["loc"])) or "rule"
        given = "" if isinstance(item["input"], (dict, BaseModel)) else f" (got {item['input']!r})"
        parts.append(f"{where}: {item['msg'].removeprefix('Value error, ')}{given}")
    return f"{model.__name__}: " + "; ".join(parts)


def _ranked(options: tuple[Any, ...], largest: bool) -> list[Any]:
    if all(isinstance(option, (int, float)) for option in options):
        return sorted(options, reverse=largest)
    return list(options)
