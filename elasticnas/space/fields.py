"""Field types of a search space beyond ``Literal``: a range of integers, and one choice per layer."""

from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn, get_args, get_origin

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

from elasticnas.errors import SpaceError

__all__ = ["PerLayer", "Range"]


_MAX_OPTIONS = 10_000


@dataclass(frozen=True)
class Range:
    """Integers from ``low`` to ``high``, both included: ``Annotated[int, Range(32, 128, step=16)]``.

    Raises:
        SpaceError: The range is empty, has more than 10,000 options, or its step does not reach ``high``.
    """

    low: int
    high: int
    step: int = 1

    def __post_init__(self) -> None:
        if self.step < 1 or self.high < self.low or (self.high - self.low) % self.step:
            raise SpaceError(f"{self}: low <= high, step >= 1 and a step that lands on high are needed")
        if (self.high - self.low) // self.step >= _MAX_OPTIONS:
            raise SpaceError(f"{self}: more than {_MAX_OPTIONS:,} options; take a larger step")

    @property
    def options(self) -> tuple[int, ...]:
        """The integers, ascending."""
        return tuple(range(self.low, self.high + 1, self.step))

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Accept only the integers of the range."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, value: int) -> int:
        if value not in self.options:
            raise ValueError(f"must be one of {self.low}, {self.low + self.step}, ..., {self.high}, not {value}")
        return value


@dataclass(frozen=True)
class PerLayer:
    """One choice for each layer: ``Annotated[tuple[Literal[256, 128], ...], PerLayer(4)]`` is a tuple of four choices.

    With ``PerLayer("depth")``, the integer field ``depth`` sets the number of layers. With
    ``PerLayer("depth", unless=("attention", "none"))`` a layer has the choice unless the per-layer field ``attention``
    is ``"none"`` there, where it would have no effect: the layer then has its first option, and any other is refused,
    so that no network is two architectures.
    """

    count: int | str
    unless: tuple[str, Any] | None = None
    # typing makes Annotated[...] once for equal arguments that can be hashed, and Literal[1, 2] == Literal[2, 1]
    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def __class_getitem__(cls, item: Any) -> NoReturn:
        """Raise an error: ``PerLayer`` takes its argument in parentheses."""
        raise SpaceError(
            f"PerLayer[{item!r}]: PerLayer is called, Annotated[tuple[Literal[256, 128], ...], PerLayer(4)]"
        )

    def __repr__(self) -> str:
        unless = "" if self.unless is None else f", unless={self.unless!r}"
        return f"PerLayer(count={self.count!r}{unless})"

    def __post_init__(self) -> None:
        if not isinstance(self.count, (int, str)) or isinstance(self.count, bool):
            raise SpaceError(
                f"PerLayer({self.count!r}): give the number of layers or the name of the field that holds it, such as "
                'Annotated[tuple[Literal[256, 128], ...], PerLayer(4)] or PerLayer("depth")'
            )
        if self.unless is not None and not (
            isinstance(self.unless, tuple) and len(self.unless) == 2 and isinstance(self.unless[0], str)
        ):
            raise SpaceError(
                f"PerLayer(unless={self.unless!r}): give a per-layer field and the option with which the choice has no "
                'effect, such as PerLayer("depth", unless=("attention", "none"))'
            )

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Check a fixed length; a length set by a field is checked with the whole architecture."""
        inner = get_args(source)[0] if get_origin(source) is tuple else source
        length = self.count if isinstance(self.count, int) else None
        return core_schema.tuple_variable_schema(handler.generate_schema(inner), min_length=length, max_length=length)
