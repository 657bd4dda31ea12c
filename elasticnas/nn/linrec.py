"""LinRec linear attention: bidirectional, causal in chunks, and one position after the other."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["LinRecState", "linrec", "linrec_state", "linrec_step"]

_EPS = 1e-12  # under the square root: dead and padded columns have the norm 0
_LEAST_FLOAT16 = 1e-9  # of a running square: 1 / norm is then at most 3.2e4, and float16 ends at 6.5e4
_CHUNK = 64


class LinRecState(NamedTuple):
    """What LinRec remembers of a sequence, however long: at least float32.

    Attributes:
        squares: ``(B, g, 1, 1, k)``, of elu(K), summed over the positions; not used for ``"token"``.
        sums: ``(B, g, 1, k, k)``, K^T V.
    """

    squares: Tensor
    sums: Tensor


def linrec(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    causal: bool,
    key_norm: str,
    padding: Tensor | None = None,
    feature_mask: Tensor | None = None,
    scale: float | Tensor = 1.0,
) -> Tensor:
    """``scale A1(elu(Q)) (A2(elu(K))^T V)``.

    Rows of elu(Q) have unit L2 norm over the features. ``key_norm="column"`` gives every column (feature) of elu(K)
    unit norm over the sequence, as the paper writes; ``"token"`` gives every row unit norm over the features, as
    the authors' code does. The causal form uses, at position n, the norms and sums of positions up to n; for one
    layer it equals the bidirectional form of every prefix at its last position.

    Args:
        query: ``(B, g, r, N, k)``.
        key: ``(B, g, 1, N, k)``.
        value: ``(B, g, 1, N, k)``.
        causal: Whether position n sees positions up to n only. Time and memory are O(N).
        key_norm: ``"column"`` or ``"token"``.
        padding: ``(B, N)`` bool, True where padded. Applied after elu: elu of a large negative number is -1, not 0.
        feature_mask: Mask over k, ``(..., k)``, 0 at dead features; the query then carries it.
        scale: The constant factor, or one for every sample, ``(B, 1, 1, 1, 1)``.

    Returns:
        ``(B, g, r, N, k)``.

    Source: EASRec, arXiv:2402.00390v1, Eq. 5; LinRec, arXiv:2411.01537.
    """
    # heads are strided views of the projections: one copy here instead of one in every product
    query, key, value = _queries(query, feature_mask, scale).contiguous(), F.elu(key).contiguous(), value.contiguous()
    if padding is not None:
        key = key.masked_fill(padding[:, None, None, :, None], 0.0)
    if key_norm == "token":
        key = _scaled(key, _inverse(_sum_squares(key, feature_mask)))
        if padding is not None:
            key = key.masked_fill(padding[:, None, None, :, None], 0.0)
        return _causal(query, key, value) if causal else query @ (key.transpose(-1, -2) @ value)
    if not causal:
        columns = _scaled(key, _inverse(_wide(key).square().sum(-2, keepdim=True)))
        return query @ (columns.transpose(-1, -2) @ value)
    # the running norm belongs to the key columns; on the query it does the same and keeps the sums prefix sums
    query = _scaled(query, _inverse_running(_wide(key).square().cumsum(-2), query.dtype))
    return _causal(query, key, value)


def linrec_state(
    key: Tensor, value: Tensor, key_norm: str, padding: Tensor | None = None, feature_mask: Tensor | None = None
) -> LinRecState:
    """The state after whole sequences; arguments as for :func:`linrec`."""
    key, squares = _keys(key, key_norm, feature_mask)
    if padding is not None:
        padded = padding[:, None, None, :, None]
        key, squares = key.masked_fill(padded, 0.0), squares.masked_fill(padded, 0.0)
    return LinRecState(squares.sum(-2, keepdim=True), _wide(key).transpose(-1, -2) @ _wide(value))


def linrec_step(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    state: LinRecState,
    key_norm: str,
    feature_mask: Tensor | None = None,
    scale: float | Tensor = 1.0,
) -> tuple[Tensor, LinRecState]:
    """One more position, N = 1: what :func:`linrec` (causal) gives there, and the state after it. O(k^2)."""
    key, squares = _keys(key, key_norm, feature_mask)
    # k v^T by broadcasting: a product of matrices with one column and one row is slower
    sums = torch.addcmul(state.sums, _wide(key).transpose(-1, -2), _wide(value))
    state = LinRecState(state.squares + squares, sums)
    query = _queries(query, feature_mask, scale)
    if key_norm == "column":
        query = _scaled(query, _inverse_running(state.squares, query.dtype))
    return (_wide(query) @ state.sums).to(query), state


def _inverse_running(squares: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype == torch.float16:
        # before the first real key the running norm is 0, and inf times these keys, also 0, would be NaN
        squares = squares.clamp_min(_LEAST_FLOAT16)
    return _inverse(squares)


def _inverse(squares: Tensor) -> Tensor:
    """1 / norm."""
    return (squares + _EPS).rsqrt_()


def _scaled(x: Tensor, inverse: Tensor) -> Tensor:
    """``x / norm``; multiplied before it is narrowed, as 1 / norm is beyond float16 for dead columns."""
    return (_wide(x) * inverse).to(x)


def _wide(x: Tensor) -> Tensor:
    """At least float32: squares and running sums lose too much in half precision."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def _queries(query: Tensor, feature_mask: Tensor | None, scale: float | Tensor) -> Tensor:
    """Rows of elu(Q) with the norm ``scale``, which carry the mask."""
    query = F.elu(query)
    inverse = _inverse(_sum_squares(query, feature_mask))
    if isinstance(scale, Tensor) or scale != 1.0:
        inverse = inverse * scale
    return _scaled(query if feature_mask is None else query * feature_mask, inverse)


def _keys(key: Tensor, key_norm: str, feature_mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """elu(K), with rows of unit norm for ``"token"``, and the squares of elu(K)."""
    key = F.elu(key)
    squares = _wide(key).square()
    return _scaled(key, _inverse(_sum_squares(key, feature_mask))) if key_norm == "token" else key, squares


def _sum_squares(x: Tensor, feature_mask: Tensor | None) -> Tensor:
    squares = _wide(x).square()
    return (squares if feature_mask is None else squares * feature_mask).sum(-1, keepdim=True)


def _causal(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """``out_n = q_n sum_{j <= n} k_j v_j^T``: whole chunks by prefix sums of k^T v, inside a chunk directly."""
    length, features = query.shape[-2:]
    # equal chunks of k / 2 positions at least: the k x k sums then take no more than twice the memory of the keys
    chunks = -(-length // max(_CHUNK, features))
    if chunks <= 1:
        return (query @ key.transpose(-1, -2)).tril_() @ value
    chunk = -(-length // chunks)
    short = -length % chunk
    if short:
        query, key, value = (F.pad(x, (0, 0, 0, short)) for x in (query, key, value))
    q, k, v = (x.unflatten(-2, (-1, chunk)) for x in (query, key, value))
    sums = _wide(k.transpose(-1, -2) @ v)
    before = (sums.cumsum(-3) - sums).to(q)
    inside = (q @ k.transpose(-1, -2)).tril_() @ v
    out: Tensor = inside.add_(q @ before).flatten(-3, -2)[..., :length, :]
    return out
