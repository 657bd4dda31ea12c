"""OptionalBias: a bias of attention scores that an architecture uses or not."""

from typing import Any, TypeAlias

import torch
from torch import Tensor

from elasticnas.axes import Axis, OptionWeights
from elasticnas.errors import AxisError, ConfigError
from elasticnas.nn.module import ElasticModule, replicate
from elasticnas.nn.relative_bias import RelativeBias
from elasticnas.nn.share import contribute

__all__ = ["AnyBias", "OptionalBias", "bias_of", "example_of", "require_fitting"]


class OptionalBias(ElasticModule):
    """A :class:`RelativeBias` that an architecture adds to its scores or not.

    An architecture without it needs no times, and ignores those that are given: samples of several architectures have
    one input. In a mask scope the bias is multiplied by its weight; times are needed unless all weights are 0.

    Args:
        bias: The bias.
        alive: A bool, or an Axis with the options True and False (or 1 and 0).

    Raises:
        AxisError: ``alive`` has another option.
    """

    def __init__(self, bias: RelativeBias, alive: "bool | Axis") -> None:
        super().__init__()
        options = alive.options if isinstance(alive, Axis) else (alive,)
        if not all(isinstance(option, int) and option in (0, 1) for option in options):
            raise AxisError(
                f"OptionalBias: alive={alive!r} has the options {list(options)}: give a bool, or an axis of bools"
            )
        self.alive = alive
        self.length, self.causal = bias.length, bias.causal
        self.bias = bias if isinstance(alive, Axis) or alive else None

    def forward(
        self,
        count: int,
        row: Tensor | None = None,
        times: Tensor | None = None,
        query_times: Tensor | None = None,
    ) -> Tensor | None:
        """Return the bias of every query and key, see :class:`RelativeBias`; None if there is none."""
        if self.bias is None or not self._runs(times):
            return None
        return self._weighted(self.bias(count, row, times, query_times))

    def at(self, position: Tensor, times: Tensor, query_time: Tensor | None) -> Tensor | None:
        """Return the bias of the query at one position of every sample, see :meth:`RelativeBias.at`, or None."""
        if self.bias is None or not self._runs(times):
            return None
        return self._weighted(self.bias.at(position, times, query_time))

    @property
    def uses_times(self) -> bool:
        """Whether the architecture in scope needs times; in a mask scope, whether some may."""
        return self.bias is not None and self.bias.times is not None and bool(self._active())

    def _active(self) -> Any:
        return self.alive.at() if isinstance(self.alive, Axis) else self.alive

    def _weights(self) -> OptionWeights | None:
        active = self._active()
        return active if isinstance(active, OptionWeights) else None

    def _runs(self, times: Tensor | None) -> bool:
        """Return whether the bias is computed; without the times that it needs, only if some weight is above 0."""
        assert self.bias is not None
        weights = self._weights()
        if weights is None:
            return bool(self._active())
        if times is not None or self.bias.times is None:
            return True
        return bool((weights.expect(float, self.bias.times) > 0).any())

    def _weighted(self, bias: Tensor) -> Tensor:
        """Return a bias ``(B or 1, 1, N or 1, N)`` times its weight in a mask scope, exactly 0 where that is 0."""
        weights = self._weights()
        if weights is None:
            return bias
        on = weights.expect(float, bias)
        return contribute(on.reshape(-1, 1, 1, 1) if on.ndim else on, bias)

    def idle(self) -> list[RelativeBias]:
        """Return the bias if the architecture does not use it."""
        return [] if self._active() or self.bias is None else [self.bias]

    def plain(self, memo: dict[Any, Any]) -> "OptionalBias":
        """Return a copy with a fixed bool, without a bias that is not used."""
        alive = bool(self._active())
        made: OptionalBias = replicate(self, memo, {"alive": alive} if alive else {"alive": alive, "bias": None})
        return made

    def extra_repr(self) -> str:
        """Return the choice for ``repr``."""
        return f"alive={self.alive!r}"


AnyBias: TypeAlias = RelativeBias | OptionalBias


def bias_of(
    relative: AnyBias | None, count: int, row: Tensor | None, times: Tensor | None, query_times: Tensor | None
) -> Tensor | None:
    """Return the bias of an attention's scores; None if it has none.

    Raises:
        ConfigError: It has none, but times are given.
    """
    if relative is not None:
        bias: Tensor | None = relative(count, row, times, query_times)
        return bias
    if times is not None or query_times is not None:
        raise ConfigError("the attention has no bias by time, but times are given: give it relative, or no times")
    return None


def example_of(relative: AnyBias | None, generator: torch.Generator, count: int) -> tuple[Tensor | None, ...]:
    """Return random arguments after the input of an attention that has this bias; none without times."""
    if isinstance(relative, OptionalBias):
        relative = relative.bias if relative.uses_times else None
    return () if relative is None else relative.example(generator, count)


def require_fitting(relative: AnyBias | None, causal: bool) -> None:
    """Check that a bias is made for an attention of the same form.

    Raises:
        ConfigError: One is causal and the other is not.
    """
    if relative is not None and relative.causal != causal:
        raise ConfigError(f"the attention is causal={causal}, but its bias is {relative!r}: give both the same")
