"""Embedded: the embedded sequence of one forward pass, for each candidate."""

from collections.abc import Callable

from torch import Tensor, nn

from elasticnas.nn import take_row

__all__ = ["Embedded"]


class Embedded:
    """The embedded sequence of one forward pass; each candidate gets its first units, normalized over its own width.

    Args:
        raw: Returns ``(B, N, width)`` for a width, with positions added; called in the scope of the candidate.
        norm: Norm of the embedding, or None.
        dropout: Dropout after the norm.
        real: ``(B, N, 1)``, 1 at real positions and 0 at padding, if gates get the mean over positions; None if they
            get each position.
        causal: Whether that mean is over the positions so far.
        when: Times ``(B, N)`` of the positions and of their queries, for a bias by time; empty without.
    """

    def __init__(
        self,
        raw: Callable[[int], Tensor],
        norm: nn.Module | None,
        dropout: nn.Module,
        real: Tensor | None,
        causal: bool,
        when: tuple[Tensor, ...] = (),
    ) -> None:
        self.when = when
        self._raw, self._norm, self._dropout, self._real, self._causal = raw, norm, dropout, real, causal
        self._made: dict[int, Tensor] = {}
        self._means: dict[int, Tensor] = {}

    def sequence(self, width: int) -> Tensor:
        """Return ``(B, N, width)``, the input of the first layer; computed once per width, in the caller's scope."""
        if width not in self._made:
            x = self._raw(width)
            self._made[width] = self._dropout(x if self._norm is None else self._norm(x))
        return self._made[width]

    def perceived(self, width: int, row: Tensor | None = None) -> Tensor:
        """Return ``(B, N or 1, width)``, the input of the gates; with ``row`` (B,), at that position only.

        The mean is computed once per width.
        """
        x = self.sequence(width)
        if self._real is None:
            return take_row(x, row)
        if width not in self._means:
            self._means[width] = self._mean(x, self._real)
        return take_row(self._means[width], row) if self._causal else self._means[width]

    def _mean(self, x: Tensor, real: Tensor) -> Tensor:
        """Return the mean over the real positions so far, ``(B, N, width)``, or over all, ``(B, 1, width)``."""
        if self._causal:
            return (x * real).cumsum(1) / real.cumsum(1).clamp_min(1.0)
        return (x * real).sum(1, keepdim=True) / real.sum(1, keepdim=True).clamp_min(1.0)
