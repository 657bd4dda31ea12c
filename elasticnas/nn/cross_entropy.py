"""Softmax cross entropy against the rows of an embedding, in bounded memory."""

from typing import Any

import torch
from torch import Tensor, nn

from elasticnas.axes import apply_support, is_elastic, select, without_dead
from elasticnas.errors import AxisError
from elasticnas.nn.embedding import ElasticEmbedding
from elasticnas.nn.linear import check_width

__all__ = ["sampled_cross_entropy", "tied_cross_entropy"]

_IGNORED = -100  # as in torch.nn.functional.cross_entropy
_LEAST_ROWS = 64
_ELEMENTS = {"cpu": 2**19}  # scores of one chunk: what a core's cache holds
_MANY = 2**27  # elsewhere: enough to fill an accelerator


def tied_cross_entropy(x: Tensor, embedding: nn.Module, targets: Tensor) -> Tensor:
    """Mean of ``-log softmax(x W^T)[target]``, W the rows of an embedding, as ``F.cross_entropy`` of its scores.

    Scores are made for a chunk of the rows of ``x`` at a time, with their gradients, so that ``(n, count)`` never
    exists. The row ``padding_idx``, where there is one, is no candidate. It can be differentiated once.

    Args:
        x: ``(n, hidden)``.
        embedding: ``elasticnas.nn.Embedding`` or ``torch.nn.Embedding``; its ``count`` is fixed.
        targets: ``(n,)`` int64, rows of the embedding; -100 is left out of the mean.

    Returns:
        ``()``, at least float32; 0 where there is no target.

    Raises:
        AxisError: The embedding's count is elastic, or the width is not the active one.
    """
    x, rows = _operands(x, embedding)
    kind = x.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        x, rows = x.to(dtype), rows.to(dtype)
    with torch.autocast(kind, enabled=False):
        loss: Tensor = _TiedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            x, rows, targets, embedding.padding_idx
        )
    return loss


def sampled_cross_entropy(
    x: Tensor, embedding: nn.Module, targets: Tensor, sampled: Tensor, probability: Tensor
) -> Tensor:
    """:func:`tied_cross_entropy` with the sum over all rows estimated from a sample of them.

    The estimate of the sum, ``e^(x w_t) + 1/S sum_j e^(x w_j) / q_j`` over the sampled rows j other than the target t,
    is unbiased; the loss, its logarithm, is nearly so for many samples.

    Args:
        x: ``(n, hidden)``.
        embedding: As for :func:`tied_cross_entropy`.
        targets: ``(n,)`` int64, rows of the embedding; -100 is left out of the mean.
        sampled: ``(S,)`` int64, drawn with replacement; the same for all of ``x``.
        probability: ``(count,)``, q: how likely a draw is each row; 0 for those that are no candidates.

    Returns:
        ``()``, at least float32; 0 where there is no target.

    Raises:
        AxisError: The embedding's count is elastic, or the width is not the active one.

    Source: Bengio and Senecal, Adaptive importance sampling, IEEE Transactions on Neural Networks 19(4), 2008.
    """
    x, rows = _operands(x, embedding)
    share, targets = _shares(targets, torch.promote_types(x.dtype, torch.float32))
    own = (x * rows[targets]).sum(-1, keepdim=True)
    own = own.to(torch.promote_types(own.dtype, torch.float32))
    others = (x @ rows[sampled].T).to(own) - (probability[sampled] * len(sampled)).log().to(own)
    others = others.masked_fill(sampled == targets[:, None], -torch.inf)
    return (share * (torch.cat([own, others], 1).logsumexp(1) - own.squeeze(1))).sum()


def _shares(targets: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Share ``(n,)`` of each target in the mean, 0 for those left out, which then point at any row."""
    counted = targets != _IGNORED
    return counted.to(dtype) / counted.sum().clamp_min(1), targets.masked_fill(~counted, 0)


def _operands(x: Tensor, embedding: nn.Module) -> tuple[Tensor, Tensor]:
    """``x`` and the rows that it meets, both as wide as the scope makes them."""
    if not isinstance(embedding, ElasticEmbedding):
        assert isinstance(embedding, nn.Embedding)
        return x, embedding.weight
    if is_elastic(embedding.count):
        raise AxisError(f"a cross entropy needs a fixed number of rows, not {embedding.count!r}: use scores")
    check_width(x, embedding.hidden, embedding)
    sizes = (embedding.count, embedding.hidden)
    rows = without_dead(select(embedding.weight, sizes), sizes)
    return apply_support(x, embedding.hidden), rows


class _TiedCrossEntropy(torch.autograd.Function):
    """The gradients are worked out with the loss, while the scores are there."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, targets: Tensor, padding: int | None) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float32)
        loss = torch.zeros((), dtype=wide, device=x.device)
        of_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        of_rows = torch.zeros_like(rows, dtype=wide) if ctx.needs_input_grad[1] else None
        share, targets = _shares(targets, wide)
        n, chunk = len(x), max(_LEAST_ROWS, _ELEMENTS.get(x.device.type, _MANY) // len(rows))
        for first in range(0, n, chunk):
            part, target = x[first : first + chunk], targets[first : first + chunk, None]
            counted = share[first : first + chunk, None]
            scores = (part @ rows.T).to(wide)
            if padding is not None:
                scores[:, padding] = -torch.inf
            own = scores.gather(1, target)
            top = scores.amax(1, keepdim=True)
            total = scores.sub_(top).exp_().sum(1, keepdim=True)
            loss += (counted * (total.log() + top - own).masked_fill(counted == 0, 0.0)).sum()
            if of_x is None and of_rows is None:
                continue
            # in place, softmax minus one at the target, times its share: the gradient of the scores
            gradient = scores.mul_(counted / total)
            gradient.scatter_add_(1, target, -counted)
            narrow = gradient.to(x)
            if of_x is not None:
                torch.mm(narrow, rows, out=of_x[first : first + chunk])
            if of_rows is not None:
                of_rows += narrow.T @ part
        ctx.save_for_backward(of_x, None if of_rows is None else of_rows.to(rows))
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, outer: Tensor) -> Any:
        of_x, of_rows = ctx.saved_tensors
        return (*(None if of is None else of * outer.to(of) for of in (of_x, of_rows)), None, None)
