"""LinRec linear attention: bidirectional, causal in chunks, and recurrent."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["LinRecState", "linrec", "linrec_state", "linrec_step"]

_EPS = 1e-12  # added under the square root, as dead and padded columns have norm 0
_MIN_SQUARE_FLOAT16 = 1e-9  # lower bound of running squares: 1 / norm is at most 3.2e4, within the range of float16
_CHUNK = 64


class LinRecState(NamedTuple):
    """The recurrent state of LinRec, of fixed size, at least float32.

    Attributes:
        squares: ``(B, g, 1, 1, k)``, squares of elu(K) summed over the positions; not used for ``"token"``.
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
    """Compute ``scale A1(elu(Q)) (A2(elu(K))^T V)``, with A1 and A2 the L2 normalisations.

    A1 normalises every row of elu(Q) over the features. A2 normalises every column (feature) of elu(K) over the
    sequence for ``key_norm="column"``, as in the paper, and every row over the features for ``"token"``, as in the
    authors' code. The causal form uses, at position n, the norms and sums of positions up to n; in a single layer,
    its output at n equals the last output of the bidirectional form on the first n positions.

    Args:
        query: ``(B, g, r, N, k)``.
        key: ``(B, g, 1, N, k)``.
        value: ``(B, g, 1, N, k)``.
        causal: Whether position n sees positions up to n only. Time and memory are O(N).
        key_norm: ``"column"`` or ``"token"``.
        padding: ``(B, N)`` bool, True where padded. Applied after elu, since elu of a large negative number is -1.
        feature_mask: Mask over k, ``(..., k)``, 0 at dead features; it is applied to the query.
        scale: Constant factor, or one per sample, ``(B, 1, 1, 1, 1)``.

    Returns:
        ``(B, g, r, N, k)``.

    Source: EASRec, arXiv:2402.00390v1, Eq. 5; LinRec, arXiv:2411.01537.
    """
    # heads are strided views of the projections: copy once here instead of in every product
    query, key, value = (
        _scaled_queries(query, feature_mask, scale).contiguous(),
        F.elu(key).contiguous(),
        value.contiguous(),
    )
    if padding is not None:
        key = key.masked_fill(padding[:, None, None, :, None], 0.0)
    if key_norm == "token":
        key = _scaled(key, _inverse(_sum_squares(key, feature_mask)))
        if padding is not None:
            key = key.masked_fill(padding[:, None, None, :, None], 0.0)
        return _causal(query, key, value) if causal else query @ (key.transpose(-1, -2) @ value)
    if not causal:
        columns = _scaled(key, _inverse(_to_float32(key).square().sum(-2, keepdim=True)))
        return query @ (columns.transpose(-1, -2) @ value)
    # dividing the query by the running norms of the key columns is equivalent, and keeps K^T V a prefix sum
    query = _scaled(query, _inverse_running(_to_float32(key).square().cumsum(-2), query.dtype))
    return _causal(query, key, value)


def linrec_state(
    key: Tensor, value: Tensor, key_norm: str, padding: Tensor | None = None, feature_mask: Tensor | None = None
) -> LinRecState:
    """Return the state after whole sequences; arguments as for :func:`linrec`."""
    key, squares = _keys(key, key_norm, feature_mask)
    if padding is not None:
        padded = padding[:, None, None, :, None]
        key, squares = key.masked_fill(padded, 0.0), squares.masked_fill(padded, 0.0)
    return LinRecState(squares.sum(-2, keepdim=True), _to_float32(key).transpose(-1, -2) @ _to_float32(value))


def linrec_step(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    state: LinRecState,
    key_norm: str,
    feature_mask: Tensor | None = None,
    scale: float | Tensor = 1.0,
) -> tuple[Tensor, LinRecState]:
    """Return the output of causal :func:`linrec` at the next position (N = 1), and the new state, in O(k^2)."""
    key, squares = _keys(key, key_norm, feature_mask)
    # k v^T by broadcasting, which is faster than a matrix product of a column and a row
    sums = torch.addcmul(state.sums, _to_float32(key).transpose(-1, -2), _to_float32(value))
    state = LinRecState(state.squares + squares, sums)
    query = _scaled_queries(query, feature_mask, scale)
    if key_norm == "column":
        query = _scaled(query, _inverse_running(state.squares, query.dtype))
    return (_to_float32(query) @ state.sums).to(query), state


def _inverse_running(squares: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype == torch.float16:
        # before the first unpadded key the running norm is 0; 1 / norm would be inf, and inf * 0 is NaN
        squares = squares.clamp_min(_MIN_SQUARE_FLOAT16)
    return _inverse(squares)


def _inverse(squares: Tensor) -> Tensor:
    """Return 1 / norm from squared norms."""
    return (squares + _EPS).rsqrt_()


def _scaled(x: Tensor, inverse: Tensor) -> Tensor:
    """Return ``x * inverse`` in the dtype of ``x``, computed in float32: 1 / norm of dead columns exceeds float16."""
    return (_to_float32(x) * inverse).to(x)


def _to_float32(x: Tensor) -> Tensor:
    """Return ``x`` as float32 or wider, since half precision is too coarse for squares and running sums."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def _scaled_queries(query: Tensor, feature_mask: Tensor | None, scale: float | Tensor) -> Tensor:
    """Return elu(Q) with rows of norm ``scale``, multiplied by the feature mask."""
    query = F.elu(query)
    inverse = _inverse(_sum_squares(query, feature_mask))
    if isinstance(scale, Tensor) or scale != 1.0:
        inverse = inverse * scale
    return _scaled(query if feature_mask is None else query * feature_mask, inverse)


def _keys(key: Tensor, key_norm: str, feature_mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return elu(K), with rows of unit norm for ``"token"``, and the squares of elu(K)."""
    key = F.elu(key)
    squares = _to_float32(key).square()
    return _scaled(key, _inverse(_sum_squares(key, feature_mask))) if key_norm == "token" else key, squares


def _sum_squares(x: Tensor, feature_mask: Tensor | None) -> Tensor:
    squares = _to_float32(x).square()
    return (squares if feature_mask is None else squares * feature_mask).sum(-1, keepdim=True)


def _causal(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Compute ``out_n = q_n sum_{j <= n} k_j v_j^T``: prefix sums of k^T v over chunks, direct products within one."""
    length, features = query.shape[-2:]
    # equal chunks of at least k / 2 positions, so that the k x k sums take at most twice the memory of the keys
    chunks = -(-length // max(_CHUNK, features))
    if chunks <= 1:
        return (query @ key.transpose(-1, -2)).tril_() @ value
    chunk = -(-length // chunks)
    missing = -length % chunk
    if missing:
        query, key, value = (F.pad(x, (0, 0, 0, missing)) for x in (query, key, value))
    # reshape, since torch.vmap has no rule for unflatten
    q, k, v = (x.reshape(*x.shape[:-2], chunks, chunk, x.shape[-1]) for x in (query, key, value))
    sums = _to_float32(k.transpose(-1, -2) @ v)
    before = (sums.cumsum(-3) - sums).to(q)
    inside = (q @ k.transpose(-1, -2)).tril_() @ v
    out: Tensor = inside.add_(q @ before).flatten(-3, -2)[..., :length, :]
    return out
