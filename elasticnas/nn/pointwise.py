"""PointwiseAttention: HSTU's attention, with SiLU in place of the softmax and a bias by relative position."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from elasticnas.axes import SizeLike, active_size, apply_soft_mask, require_sizes
from elasticnas.errors import AxisError, ConfigError
from elasticnas.nn.attention_cache import AttentionCache, extended, require_times, started
from elasticnas.nn.in_float32 import in_float32
from elasticnas.nn.linear import Linear, project
from elasticnas.nn.module import ElasticModule, normal
from elasticnas.nn.norm import LayerNorm
from elasticnas.nn.optional_bias import OptionalBias, bias_of, example_of, require_fitting
from elasticnas.nn.relative_bias import RelativeBias, by_distance
from elasticnas.nn.row import take_row, unseen_from

__all__ = ["PointwiseAttention"]

_EPS = 1e-6  # of the norm; small, since its inputs are means of small products


class PointwiseAttention(ElasticModule):
    """Pointwise self-attention, ``(B, N, hidden) -> (B, N, hidden)``; widths are ints or axes.

    ``out(silu(gate x) * norm(1/n sum_j silu(q_i k_j + b_(i-j)) v_j))`` with ``q, k, v = silu(linear x)``; the sum is
    over the n positions that i attends to. Weights are not normalised to sum to 1, so that the number of occurrences
    is preserved. The bias b has one value per distance, shared by all heads. Time and memory are O(N^2).

    Differences from HSTU: a bias by time is optional; the norm before the projections and the residual connection are
    left to the layer around this module. HSTU's code divides by the maximum length instead of n; the norm cancels
    either factor, up to its epsilon, and with n padding has no effect.

    Args:
        hidden: Model width d.
        heads: Heads h.
        head_dim: Width k of a head.
        length: Maximum sequence length; the bias has ``length`` distances (causal) or ``2 * length - 1``.
        causal: Whether position n sees positions up to n only.
        bias: Whether the five projections have biases.
        relative: A bias of the scores by time, in addition to that by distance.

    Raises:
        ConfigError: ``length`` is below 1, or ``relative`` has a bias by position too or does not fit ``causal``.
        AxisError: A size or one of its options is below 1.

    Source: HSTU, arXiv:2402.17152, Eq. 1-3.
    """

    def __init__(
        self,
        hidden: SizeLike,
        heads: SizeLike,
        head_dim: SizeLike,
        length: int,
        causal: bool = False,
        bias: bool = True,
        relative: RelativeBias | OptionalBias | None = None,
    ) -> None:
        super().__init__()
        if length < 1:
            raise ConfigError(f"length={length}: the maximum sequence length must be at least 1")
        require_fitting(relative, causal)
        if relative is not None and relative.length is not None:
            raise ConfigError(
                f"PointwiseAttention has a bias by position of its own: give RelativeBias(buckets=...), not {relative}"
            )
        require_sizes("PointwiseAttention", least=1, hidden=hidden, heads=heads, head_dim=head_dim)
        self.hidden, self.heads, self.head_dim = hidden, heads, head_dim
        self.length, self.causal, self.relative = length, causal, relative
        width = heads * head_dim
        self.query = Linear(hidden, width, bias)
        self.key = Linear(hidden, width, bias)
        self.value = Linear(hidden, width, bias)
        self.gate = Linear(hidden, width, bias)
        self.norm = LayerNorm(width, eps=_EPS)
        self.out = Linear(width, hidden, bias)
        self.distances = nn.Parameter(torch.empty(length if causal else 2 * length - 1).normal_(std=0.02))

    def forward(
        self,
        x: Tensor,
        padding: Tensor | None = None,
        row: Tensor | None = None,
        times: Tensor | None = None,
        query_times: Tensor | None = None,
    ) -> Tensor:
        """Compute attention.

        Args:
            x: ``(B, N, hidden)``, N at most ``length``.
            padding: ``(B, N)`` bool, True where padded, any pattern.
            row: ``(B,)`` int64, one position of every sample to compute; None for all.
            times: ``(B, N)`` integers, the time of each position, for a bias by time; anything where padded.
            query_times: ``(B, N)`` integers, the time at which each position asks; None for ``times``.

        Returns:
            ``(B, N, hidden)``, or ``(B, 1, hidden)`` with ``row``; padded rows are 0, never NaN.

        Raises:
            AxisError: The sequence is longer than ``length``.
            ConfigError: Times are missing, or given without a bias by time.
        """
        if x.shape[1] > self.length:
            raise AxisError(
                f"PointwiseAttention has position biases for {self.length} positions, but the input has the shape "
                f"{tuple(x.shape)}: give it a larger length"
            )
        selected = take_row(x, row)
        bias = by_distance(self.distances, x.shape[1], row, self.length, self.causal)
        by_time = bias_of(self.relative, x.shape[1], row, times, query_times)
        bias = bias if by_time is None else bias + by_time
        out = self._mixed(selected, *self._keys_and_values(x), bias, self._seen(x, padding, row))
        return out if padding is None else out.masked_fill(take_row(padding.unsqueeze(-1), row), 0.0)

    def remember(
        self, x: Tensor, padding: Tensor | None = None, times: Tensor | None = None, length: int | None = None
    ) -> AttentionCache:
        """Compute the state after whole sequences, from which :meth:`step` continues.

        Args:
            x: ``(B, N, hidden)``.
            padding: ``(B, N)`` bool, True where padded. With padding on the right, the next position of a sequence is
                the one after its last.
            times: ``(B, N)`` integers, for a bias by time.
            length: Positions that the state holds, at least N; None for ``length`` of the module, which bounds it.

        Raises:
            ConfigError: The attention is not causal, or times are missing or not used.
            AxisError: The sequences are longer than ``length``.
        """
        self._require_causal()
        require_times(self.relative, times)
        key, value = (each.unsqueeze(2) for each in self._keys_and_values(x))
        return started(key, value, padding, times, min(self.length, length or self.length))

    def step(
        self, x: Tensor, state: AttentionCache, time: Tensor | None = None, query_time: Tensor | None = None
    ) -> tuple[Tensor, AttentionCache]:
        """Compute the next position, equal to that of :meth:`forward`, in time linear in the length of the state.

        Args:
            x: ``(B, 1, hidden)``.
            state: State after all earlier positions, from :meth:`remember` or the previous step.
            time: ``(B,)`` integers, the time of the position, for a bias by time.
            query_time: ``(B,)`` integers, the time at which it asks; None for ``time``.

        Returns:
            ``(B, 1, hidden)`` and the new state.

        Raises:
            ConfigError: The attention is not causal, or times are missing or not used.
            AxisError: The state is full.
        """
        self._require_causal()
        require_times(self.relative, time)
        key, value = self._keys_and_values(x)
        position, state = state.position, extended(state, key.unsqueeze(2), value.unsqueeze(2), time)
        bias = by_distance(self.distances, state.seen.shape[1], position, self.length, self.causal)
        by_time = None if self.relative is None else self.relative.at(position, state.times, query_time)
        bias = bias if by_time is None else bias + by_time
        seen = state.seen[:, None, None, :]
        return self._mixed(x, state.keys.squeeze(2), state.values.squeeze(2), bias, seen), state

    def _require_causal(self) -> None:
        if not self.causal:
            raise ConfigError("a bidirectional pointwise attention cannot continue a sequence: use causal=True")

    def _keys_and_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values, ``(B, h, N, k)``."""
        # silu(0) is 0, so dead units stay 0; as in Attention, only one operand of each product carries soft masks
        return self._heads(self.key, x), apply_soft_mask(self._heads(self.value, x), self.head_dim)

    def _mixed(self, x: Tensor, key: Tensor, value: Tensor, bias: Tensor, seen: Tensor) -> Tensor:
        """Return the output for the queries of ``x``, given the bias of each score and the keys that each sees."""
        query = apply_soft_mask(self._heads(self.query, x), self.head_dim)

        def weighted(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            weights = F.silu(query @ key.transpose(-1, -2) + bias)
            return (weights.masked_fill(~seen, 0.0) @ value) / seen.sum(-1, keepdim=True).clamp_min(1)

        out = in_float32(weighted, query, key, value)
        out = rearrange(apply_soft_mask(out, self.heads, dim=1), "b h n k -> b n (h k)")
        mixed: Tensor = self.out(F.silu(project(self.gate, x)) * self.norm(out))
        return mixed

    def _heads(self, linear: nn.Module, x: Tensor) -> Tensor:
        return F.silu(rearrange(project(linear, x), "b n (h k) -> b h n k", h=active_size(self.heads)))

    def _seen(self, x: Tensor, padding: Tensor | None, row: Tensor | None) -> Tensor:
        """Return ``(1 or B, 1, N or 1, N)`` bool, True where a query (row) may attend to a key (column)."""
        count = x.shape[1]
        seen = torch.ones(1, 1, 1 if row is not None else count, count, dtype=torch.bool, device=x.device)
        if row is not None:
            unseen = unseen_from(row, count, self.causal, padding)
            return seen if unseen is None else ~unseen[:, None, None, :]
        if self.causal:
            seen = seen.tril()
        return seen if padding is None else seen & ~padding[:, None, None, :]

    def example(self, generator: torch.Generator) -> tuple[Tensor | None, ...]:
        """Return a random input ``(2, 5, hidden)``, or shorter if ``length`` is below 5, with times if needed."""
        count = min(5, self.length)
        x = normal(generator, self.distances, 2, count, active_size(self.hidden))
        return (x, *example_of(self.relative, generator, count))

    def extra_repr(self) -> str:
        """Return sizes and form."""
        return f"{self.hidden!r}, {self.heads!r}, {self.head_dim!r}, length={self.length}, causal={self.causal}"
