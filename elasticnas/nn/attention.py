"""Attention: softmax (grouped-query too) and LinRec, causal or bidirectional, with padding."""

from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from elasticnas.axes import (
    Axis,
    SizeLike,
    active_size,
    apply_mask,
    expected,
    full_size,
    is_elastic,
    mask,
    require_sizes,
)
from elasticnas.errors import AxisError, ConfigError
from elasticnas.nn.linear import Linear, project
from elasticnas.nn.linrec import linrec

__all__ = ["Attention"]


class Attention(nn.Module):
    """Multi-head self-attention, ``(B, N, hidden) -> (B, N, hidden)``, every size an int or an Axis.

    Query rows are laid out ``(kv_heads group head_dim)`` with ``group = heads // kv_heads``: fewer heads means a
    smaller group, so that every query keeps the keys it had.

    Args:
        hidden: Model width d.
        heads: Query heads h.
        head_dim: Width k of a head.
        kind: ``"softmax"``, scaled by the active ``head_dim ** -0.5``, or ``"linrec"``.
        causal: Whether position n sees positions up to n only.
        kv_heads: Key and value heads; None takes ``heads``.
        key_norm: LinRec only. ``"column"``: the paper's norm, with its factor ``1 / sqrt(k)`` on queries and on
            keys. ``"token"``: the authors' code, with one ``1 / sqrt(k)``.
        dropout: On the softmax weights.
        bias: Whether the four projections have biases.

    Raises:
        ConfigError: Unknown ``kind`` or ``key_norm``.
        AxisError: A size below 1, or ``heads`` is no multiple of ``kv_heads``.

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
    ) -> None:
        super().__init__()
        if kind not in ("softmax", "linrec"):
            raise ConfigError(f"kind={kind!r}: choose 'softmax' or 'linrec'")
        if key_norm not in ("column", "token"):
            raise ConfigError(f"key_norm={key_norm!r}: choose 'column' or 'token'")
        require_sizes(
            "Attention", hidden=hidden, heads=heads, head_dim=head_dim, kv_heads=heads if kv_heads is None else kv_heads
        )
        self.hidden, self.heads, self.head_dim = hidden, heads, head_dim
        self.kind, self.causal, self.key_norm, self.dropout = kind, causal, key_norm, dropout
        self.kv_heads = heads if kv_heads is None else kv_heads
        self.group = 1 if kv_heads is None else _divide(heads, kv_heads)
        queries = self.kv_heads * self.group * head_dim
        self.query = Linear(hidden, queries, bias)
        self.key = Linear(hidden, self.kv_heads * head_dim, bias)
        self.value = Linear(hidden, self.kv_heads * head_dim, bias)
        self.out = Linear(queries, hidden, bias)

    def forward(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
        """Attend.

        Args:
            x: ``(B, N, hidden)``.
            padding: ``(B, N)`` bool, True where padded, any pattern.

        Returns:
            ``(B, N, hidden)``; padded rows are 0, never NaN.
        """
        g, r = active_size(self.kv_heads), active_size(self.group)
        query = rearrange(project(self.query, x), "b n (g r k) -> b g r n k", g=g, r=r)
        key = rearrange(project(self.key, x), "b n (g k) -> b g 1 n k", g=g)
        value = rearrange(project(self.value, x), "b n (g k) -> b g 1 n k", g=g)
        # soft masks: in q k one operand carries the mask of head_dim, and the masks of heads act on the output only
        value = apply_mask(value, self.head_dim)
        if self.kind == "softmax":
            out = self._softmax(apply_mask(query, self.head_dim), key, value, padding)
        else:
            power = -1.0 if self.key_norm == "column" else -0.5
            feature_mask = mask(self.head_dim, query)
            out = linrec(query, key, value, self.causal, self.key_norm, padding, feature_mask)
            out = out * expected(self.head_dim, power, out)
        out = apply_mask(apply_mask(out, self.kv_heads, dim=1), self.group, dim=2)
        mixed: Tensor = self.out(rearrange(out, "b g r n k -> b n (g r k)"))
        return mixed if padding is None else mixed.masked_fill(padding.unsqueeze(-1), 0.0)

    def _softmax(self, query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None) -> Tensor:
        g, r = query.shape[1:3]
        scale = expected(self.head_dim, -0.5, query)
        if isinstance(scale, Tensor):
            query, scale = query * scale, 1.0
        allowed = None if padding is None else _allowed(padding, self.causal)
        out = F.scaled_dot_product_attention(
            query.flatten(1, 2),
            key.expand(-1, -1, r, -1, -1).flatten(1, 2),
            value.expand(-1, -1, r, -1, -1).flatten(1, 2),
            attn_mask=allowed,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=self.causal and allowed is None,
            scale=scale,
        )
        grouped: Tensor = out.unflatten(1, (g, r))
        return grouped

    def extra_repr(self) -> str:
        """Sizes and kind."""
        return f"{self.hidden!r}, {self.heads!r}, {self.head_dim!r}, kind={self.kind}, causal={self.causal}"


def _allowed(padding: Tensor, causal: bool) -> Tensor:
    """``(B, 1, N, N)`` bool, True where query row may see key column.

    Every position sees itself: a softmax over no key would be NaN in forward and backward. For real positions
    that changes nothing; the outputs of padded ones are set to 0 later.
    """
    length = padding.shape[-1]
    allowed = ~padding[:, None, None, :].expand(-1, 1, length, -1)
    if causal:
        allowed = allowed & torch.ones(length, length, dtype=torch.bool, device=padding.device).tril()
    return allowed | torch.eye(length, dtype=torch.bool, device=padding.device)


def _divide(heads: SizeLike, kv_heads: SizeLike) -> SizeLike:
    if isinstance(heads, (int, Axis)) and isinstance(kv_heads, (int, Axis)):
        if is_elastic(heads, kv_heads):
            return heads // kv_heads
        if full_size(heads) % full_size(kv_heads) == 0:
            return full_size(heads) // full_size(kv_heads)
    raise AxisError(f"heads={heads!r} is no multiple of kv_heads={kv_heads!r}; each is an int or an Axis")
