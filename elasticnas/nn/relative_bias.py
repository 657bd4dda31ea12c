"""RelativeBias: a bias of attention scores by position and by time."""

import torch
from torch import Tensor, nn

from elasticnas.errors import AxisError, ConfigError
from elasticnas.nn.row import take_row

__all__ = ["RelativeBias", "by_distance", "time_bucket"]

_WIDTH = 0.301  # of a bucket, in the natural logarithm of time


class RelativeBias(nn.Module):
    """Values to add to the scores of attention, by position and by time; all heads share them.

    The score of query i and key j gets ``p_(i-j) + t_b`` with ``b = floor(log(max(1, |T_i - t_j|)) / 0.301)``, at most
    ``buckets - 1``; t_j is the time of the key and T_i that of the query. No value depends on an axis.

    Args:
        length: Maximum sequence length of the bias by position, which has ``length`` distances (causal) or
            ``2 * length - 1``; None for no such bias.
        buckets: Number of buckets of the bias by time, such as HSTU's 128; None for no such bias.
        causal: Whether position n sees positions up to n only; as in the attention that uses it.

    Raises:
        ConfigError: ``length`` or ``buckets`` is below 1, or both are None.

    Source: HSTU, arXiv:2402.17152, Eq. 3; the width of buckets as in its public code, where the time of a query is that
    of the next event.
    """

    def __init__(self, length: int | None = None, buckets: int | None = None, causal: bool = False) -> None:
        super().__init__()
        if length is None and buckets is None:
            raise ConfigError("RelativeBias: give length for a bias by position, buckets for one by time, or both")
        for name, value in (("length", length), ("buckets", buckets)):
            if value is not None and value < 1:
                raise ConfigError(f"RelativeBias: {name}={value}; it must be at least 1, or None for no such bias")
        self.length, self.causal = length, causal
        of_positions = None if length is None else length if causal else 2 * length - 1
        self.positions, self.times = _table(of_positions), _table(buckets)

    def forward(
        self,
        count: int,
        row: Tensor | None = None,
        times: Tensor | None = None,
        query_times: Tensor | None = None,
    ) -> Tensor:
        """Return the bias of every query and key, ``(B or 1, 1, N or 1, N)``; arbitrary for later keys if causal.

        Args:
            count: Sequence length N.
            row: ``(B,)`` int64, one position of every sample whose query is needed; None for all.
            times: ``(B, N)`` integers t in any unit, such as seconds; needed for a bias by time, and by nothing else.
            query_times: ``(B, N)`` integers T; None for t.

        Raises:
            AxisError: The sequence is longer than ``length``, or times have another shape or are no integers.
            ConfigError: Times are missing, or given without a bias by time.
        """
        self._check(count, times, query_times)
        parts = []
        if self.positions is not None:
            assert self.length is not None
            parts.append(by_distance(self.positions, count, row, self.length, self.causal))
        if self.times is not None:
            assert times is not None
            times = times.long()  # differences of smaller integers may wrap around
            asked = take_row((times if query_times is None else query_times.long()).unsqueeze(-1), row)
            parts.append(self.times[time_bucket(asked - times[:, None, :], len(self.times))].unsqueeze(1))
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    def at(self, position: Tensor, times: Tensor, query_time: Tensor | None) -> Tensor:
        """Return the bias of the query at one position of every sample to all keys of a cache, ``(B, 1, 1, N)``.

        Args:
            position: ``(B,)`` int64.
            times: ``(B, N)`` integers.
            query_time: ``(B,)`` integers; None for the time of the key at that position.
        """
        asked = None if query_time is None else query_time[:, None].expand_as(times)
        bias: Tensor = self(times.shape[1], position, None if self.times is None else times, asked)
        return bias

    def _check(self, count: int, times: Tensor | None, query_times: Tensor | None) -> None:
        if self.length is not None and count > self.length:
            raise AxisError(
                f"RelativeBias has values for {self.length} positions, but the sequences have {count}: give it a "
                "larger length"
            )
        if self.times is None:
            if times is not None or query_times is not None:
                raise ConfigError("RelativeBias has no bias by time, but times are given: give it buckets, or no times")
            return
        if times is None:
            raise ConfigError("RelativeBias has a bias by time: give times (B, N), or buckets=None")
        batch = times.shape[0]  # not len(times): torch.export would make a number of it
        for name, given in (("times", times), ("query_times", query_times)):
            if given is not None and (given.shape != (batch, count) or given.is_floating_point()):
                raise AxisError(
                    f"{name} must be integers of the shape {(batch, count)}, got {given.dtype} of the shape "
                    f"{tuple(given.shape)}"
                )

    def example(self, generator: torch.Generator, count: int) -> tuple[None, None, Tensor] | tuple[()]:
        """Return random arguments after the input of an attention: no padding, no row, and times of two sequences."""
        if self.times is None:
            return ()
        times = torch.randint(100_000, (2, count), generator=generator, device="cpu").sort(1).values
        return None, None, times.to(self.times.device)

    def extra_repr(self) -> str:
        """Return the sizes for ``repr``."""
        buckets = None if self.times is None else len(self.times)
        return f"length={self.length}, buckets={buckets}, causal={self.causal}"


def by_distance(table: Tensor, count: int, row: Tensor | None, length: int, causal: bool) -> Tensor:
    """Return the values of i - j, ``(1, 1, N, N)`` or ``(B, 1, 1, N)`` with a row; arbitrary for later j if causal."""
    position = torch.arange(count, device=table.device)
    distance = (position[:, None] if row is None else row[:, None, None, None]) - position
    found = table[distance.clamp_min(0) if causal else distance + length - 1]
    return found[None, None] if row is None else found


def time_bucket(difference: Tensor, buckets: int) -> Tensor:
    """Return ``floor(log(max(1, |difference|)) / 0.301)``, at most ``buckets - 1``, of integers."""
    return (difference.abs().clamp_min(1).float().log() / _WIDTH).long().clamp_max(buckets - 1)


def _table(size: int | None) -> nn.Parameter | None:
    return None if size is None else nn.Parameter(torch.empty(size).normal_(std=0.02))
