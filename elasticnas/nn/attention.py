"""Attention: softmax (grouped-query too) and LinRec, causal or bidirectional, with padding."""

from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from elasticnas.axes import (
    Axis,
    Size,
    SizeLike,
    active_size,
    apply_soft_mask,
    expected,
    full_size,
    is_elastic,
    is_masked,
    least_size,
    mask,
    quantity_of,
    require_sizes,
)
from elasticnas.axes.shares import shares
from elasticnas.errors import AxisError, ConfigError
from elasticnas.nn.attention_cache import AttentionCache, extended, require_times, started
from elasticnas.nn.in_float32 import in_float32
from elasticnas.nn.linear import Linear, project
from elasticnas.nn.linrec import LinRecState, linrec, linrec_state, linrec_step
from elasticnas.nn.module import ElasticModule, normal
from elasticnas.nn.optional_bias import OptionalBias, bias_of, example_of, require_fitting
from elasticnas.nn.relative_bias import RelativeBias
from elasticnas.nn.row import take_row, unseen_from

__all__ = ["Attention"]


class Attention(ElasticModule):
    """Multi-head self-attention, ``(B, N, hidden) -> (B, N, hidden)``, every size an int or an Axis.

    Query head h attends to key and value head ``h // (heads / kv_heads)``. The layout of the rows of ``query``, and of
    the inputs of ``out``, depends on which numbers of heads vary:

    * ``heads`` does not vary: ``(heads head_dim)``. All query heads are in every architecture, whatever ``kv_heads``
      is. Soft masks mix keys and values: each query head attends to their sum over the options of ``kv_heads``,
      weighted by the options' weights.
    * ``heads`` varies: ``(kv_heads group head_dim)`` with ``group = heads // kv_heads``. Fewer heads make the group
      smaller, and each query head keeps its key and value head. If ``kv_heads`` varies too, the supernet holds the
      largest ``kv_heads`` times the largest group, which can be more query heads than any architecture has.

    Args:
        hidden: Model width d.
        heads: Query heads h.
        head_dim: Width k of a head.
        kind: ``"softmax"``, scaled by the active ``head_dim ** -0.5``, or ``"linrec"``.
        causal: Whether position n sees positions up to n only.
        kv_heads: Key and value heads; None means ``heads``.
        key_norm: LinRec only. ``"column"``: the norm of the paper, with the factor ``1 / sqrt(k)`` on queries and on
            keys. ``"token"``: the norm of the authors' code, with one factor ``1 / sqrt(k)``.
        dropout: Dropout probability of the softmax weights.
        bias: Whether the four projections have biases.
        relative: Softmax only. Bias of the scores by position, by time, or both; one module may serve several layers.

    Raises:
        ConfigError: ``kind`` or ``key_norm`` is unknown, or ``relative`` does not fit them or ``causal``.
        AxisError: A size or one of its options is below 1, or ``heads`` is not a multiple of ``kv_heads``.

    Source: EASRec, arXiv:2402.00390v1, Eq. 5 and 9; grouped queries, arXiv:2305.13245.
    """

    def __init__(
        self,
        hidden: SizeLike,
        heads: SizeLike,
        head_dim: SizeLike,
        kind: Literal["softmax", "linrec"] = "softmax",
        causal: bool = False,
        kv_heads: SizeLike | None = None,
        key_norm: Literal["column", "token"] = "column",
        dropout: float = 0.0,
        bias: bool = True,
        relative: RelativeBias | OptionalBias | None = None,
    ) -> None:
        super().__init__()
        if kind not in ("softmax", "linrec"):
            raise ConfigError(f"kind={kind!r}: choose 'softmax' or 'linrec'")
        if key_norm not in ("column", "token"):
            raise ConfigError(f"key_norm={key_norm!r}: choose 'column' or 'token'")
        if relative is not None and kind == "linrec":
            raise ConfigError(
                "kind='linrec' never computes the scores of queries and keys, which relative adds to: choose 'softmax' "
                "or PointwiseAttention"
            )
        require_fitting(relative, causal)
        kv = heads if kv_heads is None else kv_heads
        require_sizes("Attention", least=1, hidden=hidden, heads=heads, head_dim=head_dim, kv_heads=kv)
        self.hidden, self.heads, self.head_dim = hidden, heads, head_dim
        self.kind, self.causal, self.key_norm, self.dropout = kind, causal, key_norm, dropout
        self.kv_heads, self.relative = kv, relative
        if isinstance(head_dim, Size):
            _ = quantity_of(head_dim).options  # computed now, since the scale needs it while a graph is traced
        self.group = 1 if kv_heads is None else _quotient(heads, kv_heads)
        # whether each query head is in every architecture, and changes its key and value head with kv_heads
        self._regroups = _varies(kv) and not _varies(heads)
        queries = full_size(heads) * head_dim if self._regroups else self.kv_heads * self.group * head_dim
        self.query = Linear(hidden, queries, bias)
        self.key = Linear(hidden, self.kv_heads * head_dim, bias)
        self.value = Linear(hidden, self.kv_heads * head_dim, bias)
        self.out = Linear(queries, hidden, bias)

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
            x: ``(B, N, hidden)``.
            padding: ``(B, N)`` bool, True where padded, any pattern.
            row: ``(B,)`` int64, one position of every sample to compute; None for all. One position costs O(N), since
                only keys and values are computed for the others.
            times: ``(B, N)`` integers, the time of each position, for a bias by time; anything where padded.
            query_times: ``(B, N)`` integers, the time at which each position asks; None for ``times``.

        Returns:
            ``(B, N, hidden)``, or ``(B, 1, hidden)`` with ``row``; padded rows are 0, never NaN.

        Raises:
            AxisError: ``relative`` has fewer positions than the sequences.
            ConfigError: Times are missing, or given without a bias by time.
        """
        bias = bias_of(self.relative, x.shape[1], row, times, query_times)
        query, key, value = self._queries(take_row(x, row)), *self._keys_and_values(x)
        causal, unseen = self.causal, padding
        if row is not None:
            # for a single query, later positions can be treated as padding
            causal, unseen = False, unseen_from(row, x.shape[1], self.causal, padding)
        if self.kind == "softmax":
            if unseen is None and causal and bias is not None:
                unseen = torch.zeros(1, x.shape[1], dtype=torch.bool, device=x.device)
            allowed = None if unseen is None else _allowed(unseen, causal, row)
            out = self._softmax(query, key, value, _added(bias, allowed), causal)
        else:
            out = in_float32(partial(self._linrec, causal, unseen), query, key, value)
        mixed = self._merge_heads(out)
        return mixed if padding is None else mixed.masked_fill(take_row(padding.unsqueeze(-1), row), 0.0)

    def remember(
        self, x: Tensor, padding: Tensor | None = None, times: Tensor | None = None, length: int | None = None
    ) -> LinRecState | AttentionCache:
        """Compute the state after whole sequences, from which :meth:`step` continues.

        Args:
            x: ``(B, N, hidden)``.
            padding: ``(B, N)`` bool, True where padded.
            times: ``(B, N)`` integers, for a bias by time.
            length: Softmax only: the positions that the state holds, at least N; None for those of ``relative``.

        Returns:
            LinRec: a state of fixed size. Softmax: a cache of keys, values and times. With padding on the right, the
            next position of a sequence is the one after its last.

        Raises:
            ConfigError: The attention is not causal, ``length`` is unknown, or times are missing or not used.
            AxisError: The sequences are longer than ``length``.
        """
        self._require_causal()
        require_times(self.relative, times)
        key, value = self._keys_and_values(x)
        if self.kind == "linrec":
            return linrec_state(key, value, self.key_norm, padding, mask(self.head_dim, key))
        length = length or (None if self.relative is None else self.relative.length)
        if length is None:
            raise ConfigError("a softmax attention remembers a bounded number of positions: give remember(length=...)")
        return started(key, value, padding, times, length)

    def step(
        self, x: Tensor, state: Any, time: Tensor | None = None, query_time: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """Compute the next position, equal to that of :meth:`forward`; LinRec in time independent of the length.

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
        query, key, value = self._queries(x), *self._keys_and_values(x)
        if self.kind == "linrec":
            feature_mask = mask(self.head_dim, query)
            out, state = linrec_step(query, key, value, state, self.key_norm, feature_mask, self._scale(query))
            return self._merge_heads(out), state
        position, state = state.position, extended(state, key, value, time)
        bias = None if self.relative is None else self.relative.at(position, state.times, query_time)
        added = _added(bias, state.seen[:, None, None, :])
        return self._merge_heads(self._softmax(query, state.keys, state.values, added, causal=False)), state

    def _require_causal(self) -> None:
        if not self.causal:
            raise ConfigError(f"a bidirectional {self.kind} attention cannot continue a sequence: use causal=True")

    def _queries(self, x: Tensor) -> Tensor:
        g, r = self._grouping()
        return rearrange(project(self.query, x), "b n (g r k) -> b g r n k", g=g, r=r)

    def _grouping(self) -> tuple[int, int]:
        """Return the number g of key heads that the queries are split by, and the queries r of each."""
        if not self._regroups:
            return active_size(self.kv_heads), active_size(self.group)
        heads = full_size(self.heads)
        g = heads if is_masked(self.kv_heads) else active_size(self.kv_heads)
        return g, heads // g

    def _keys_and_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values, ``(B, g, 1, N, k)``."""
        key, value = (
            rearrange(project(linear, x), "b n (g k) -> b g 1 n k", g=active_size(self.kv_heads))
            for linear in (self.key, self.value)
        )
        if self._regroups and (table := shares(self.kv_heads, full_size(self.heads), key)) is not None:
            # one key and one value for each query head, as they differ between samples or are mixed
            key, value = ((table @ each.flatten(2)).unflatten(-1, each.shape[2:]) for each in (key, value))
        # soft masks: in q k only q carries the mask of head_dim, and the masks of heads apply to the output only
        return key, apply_soft_mask(value, self.head_dim)

    def _scale(self, like: Tensor) -> float | Tensor:
        """Return the constant factor of LinRec."""
        return expected(self.head_dim, -1.0 if self.key_norm == "column" else -0.5, like)

    def _merge_heads(self, out: Tensor) -> Tensor:
        """Merge heads ``(B, g, r, N, k)`` and project them to ``(B, N, hidden)``."""
        if not self._regroups:
            out = apply_soft_mask(apply_soft_mask(out, self.kv_heads, dim=1), self.group, dim=2)
        mixed: Tensor = self.out(rearrange(out, "b g r n k -> b n (g r k)"))
        return mixed

    def _linrec(self, causal: bool, unseen: Tensor | None, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        feature_mask = mask(self.head_dim, query)
        return linrec(query, key, value, causal, self.key_norm, unseen, feature_mask, self._scale(query))

    def _softmax(self, query: Tensor, key: Tensor, value: Tensor, added: Tensor | None, causal: bool) -> Tensor:
        g, r = query.shape[1:3]
        scale, m = expected(self.head_dim, -0.5, query), mask(self.head_dim, query)
        if isinstance(scale, Tensor):
            assert m is not None
            query, scale = query * (m * scale), 1.0

        def fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(
                query.flatten(1, 2),
                key.expand(-1, -1, r, -1, -1).flatten(1, 2),
                value.expand(-1, -1, r, -1, -1).flatten(1, 2),
                attn_mask=added if added is None or added.dtype == torch.bool else added.to(query),
                dropout_p=self.dropout if self.training else 0.0,
                is_causal=causal and added is None,
                scale=scale,
            )

        grouped: Tensor = in_float32(fused, query, key, value).unflatten(1, (g, r))
        return grouped

    def example(self, generator: torch.Generator) -> tuple[Tensor | None, ...]:
        """Return a random input ``(2, 5, hidden)``, or shorter if ``relative`` is, with times if it needs them."""
        count = 5 if self.relative is None else min(5, self.relative.length or 5)
        x = normal(generator, self.out.weight, 2, count, active_size(self.hidden))
        return (x, *example_of(self.relative, generator, count))

    def extra_repr(self) -> str:
        """Return sizes and kind."""
        return f"{self.hidden!r}, {self.heads!r}, {self.head_dim!r}, kind={self.kind}, causal={self.causal}"


def _added(bias: Tensor | None, allowed: Tensor | None) -> Tensor | None:
    """Return what is added to scores: a bias, minus infinity where not allowed; or a bool mask without a bias."""
    if bias is None:
        return allowed
    return bias if allowed is None else bias.masked_fill(~allowed, float("-inf"))


def _allowed(unseen: Tensor, causal: bool, row: Tensor | None) -> Tensor:
    """Return ``(B, 1, N or 1, N)`` bool, True where a query (row) may attend to a key (column).

    Every position attends to itself, padded ones too: a softmax over no key would be NaN in forward and backward. The
    outputs of padded positions are set to 0 later.
    """
    length = unseen.shape[-1]
    allowed = ~unseen[:, None, None, :]
    if row is not None:
        own = torch.arange(length, device=row.device) == row[:, None]
        return allowed | own[:, None, None, :]
    if causal:
        allowed = allowed & torch.ones(length, length, dtype=torch.bool, device=unseen.device).tril()
    return allowed | torch.eye(length, dtype=torch.bool, device=unseen.device)


def _varies(size: SizeLike) -> bool:
    return full_size(size) != least_size(size)


def _quotient(heads: SizeLike, kv_heads: SizeLike) -> SizeLike:
    if isinstance(heads, (int, Axis)) and isinstance(kv_heads, (int, Axis)):
        if is_elastic(heads, kv_heads):
            return heads // kv_heads
        if full_size(heads) % full_size(kv_heads) == 0:
            return full_size(heads) // full_size(kv_heads)
    raise AxisError(f"heads={heads!r} is not a multiple of kv_heads={kv_heads!r}; each must be an int or an Axis")
