"""PointwiseAttention: HSTU's attention, with SiLU in place of the softmax and a bias by relative position."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from elasticnas.axes import SizeLike, active_size, apply_soft_mask, require_sizes
from elasticnas.errors import AxisError, ConfigError
from elasticnas.nn.linear import Linear, project
from elasticnas.nn.module import ElasticModule, normal
from elasticnas.nn.norm import LayerNorm
from elasticnas.nn.row import take_row, unseen_from

__all__ = ["PointwiseAttention"]

_EPS = 1e-6  # of the norm; small, since its inputs are means of small products


class PointwiseAttention(ElasticModule):
    """Pointwise self-attention, ``(B, N, hidden) -> (B, N, hidden)``; widths are ints or axes.

    ``out(silu(gate x) * norm(1/n sum_j silu(q_i k_j + b_(i-j)) v_j))`` with ``q, k, v = silu(linear x)``; the sum is
    over the n positions that i attends to. Weights are not normalised to sum to 1, so that the number of occurrences
    is preserved. The bias b has one value per distance, shared by all heads. Time and memory are O(N^2).

    Differences from HSTU: there is no bias by time differences; the norm before the projections and the residual
    connection are left to the layer around this module. HSTU's code divides by the maximum length instead of n; the
    norm cancels either factor, up to its epsilon, and with n padding has no effect.

    Args:
        hidden: Model width d.
        heads: Heads h.
        head_dim: Width k of a head.
        length: Maximum sequence length; the bias has ``length`` distances (causal) or ``2 * length - 1``.
        causal: Whether position n sees positions up to n only.
        bias: Whether the five projections have biases.

    Raises:
        ConfigError: ``length`` is below 1.
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
    ) -> None:
        super().__init__()
        if length < 1:
            raise ConfigError(f"length={length}: the maximum sequence length must be at least 1")
        require_sizes("PointwiseAttention", least=1, hidden=hidden, heads=heads, head_dim=head_dim)
        self.hidden, self.heads, self.head_dim = hidden, heads, head_dim
        self.length, self.causal = length, causal
        width = heads * head_dim
        self.query = Linear(hidden, width, bias)
        self.key = Linear(hidden, width, bias)
        self.value = Linear(hidden, width, bias)
        self.gate = Linear(hidden, width, bias)
        self.norm = LayerNorm(width, eps=_EPS)
        self.out = Linear(width, hidden, bias)
        self.distances = nn.Parameter(torch.empty(length if causal else 2 * length - 1).normal_(std=0.02))

    def forward(self, x: Tensor, padding: Tensor | None = None, row: Tensor | None = None) -> Tensor:
        """Compute attention.

        Args:
            x: ``(B, N, hidden)``, N at most ``length``.
            padding: ``(B, N)`` bool, True where padded, any pattern.
            row: ``(B,)`` int64, one position of every sample to compute; None for all.

        Returns:
            ``(B, N, hidden)``, or ``(B, 1, hidden)`` with ``row``; padded rows are 0, never NaN.

        Raises:
            AxisError: The sequence is longer than ``length``.
        """
        if x.shape[1] > self.length:
            raise AxisError(
                f"PointwiseAttention has position biases for {self.length} positions, but the input has the shape "
                f"{tuple(x.shape)}: give it a larger length"
            )
        selected = take_row(x, row)
        # silu(0) is 0, so dead units stay 0; as in Attention, only one operand of each product carries soft masks
        query = apply_soft_mask(self._heads(self.query, selected), self.head_dim)
        key = self._heads(self.key, x)
        value = apply_soft_mask(self._heads(self.value, x), self.head_dim)
        weights = F.silu(query @ key.transpose(-1, -2) + self._biases(x.shape[1], row))
        seen = self._seen(x, padding, row)
        out = (weights.masked_fill(~seen, 0.0) @ value) / seen.sum(-1, keepdim=True).clamp_min(1)
        out = rearrange(apply_soft_mask(out, self.heads, dim=1), "b h n k -> b n (h k)")
        mixed: Tensor = self.out(F.silu(project(self.gate, selected)) * self.norm(out))
        return mixed if padding is None else mixed.masked_fill(take_row(padding.unsqueeze(-1), row), 0.0)

    def _heads(self, linear: nn.Module, x: Tensor) -> Tensor:
        return F.silu(rearrange(project(linear, x), "b n (h k) -> b h n k", h=active_size(self.heads)))

    def _biases(self, count: int, row: Tensor | None) -> Tensor:
        """Return biases of i - j, ``(N, N)`` or ``(B, 1, 1, N)``; arbitrary values for later j if causal."""
        position = torch.arange(count, device=self.distances.device)
        distance = (position[:, None] if row is None else row[:, None, None, None]) - position
        return self.distances[distance.clamp_min(0) if self.causal else distance + self.length - 1]

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

    def example(self, generator: torch.Generator) -> tuple[Tensor]:
        """Return a random input ``(2, 5, hidden)``, or shorter if ``length`` is below 5."""
        return (normal(generator, self.distances, 2, min(5, self.length), active_size(self.hidden)),)

    def extra_repr(self) -> str:
        """Return sizes and form."""
        return f"{self.hidden!r}, {self.heads!r}, {self.head_dim!r}, length={self.length}, causal={self.causal}"
