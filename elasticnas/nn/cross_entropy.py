"""Softmax cross entropy against the rows of an embedding, in bounded memory."""

from typing import Any

import torch
from torch import Tensor, nn

from elasticnas.axes import apply_support, is_elastic, select
from elasticnas.errors import AxisError
from elasticnas.nn.embedding import ElasticEmbedding
from elasticnas.nn.linear import check_width

__all__ = ["tied_cross_entropy"]

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
        targets: ``(n,)`` int64, rows of the embedding.

    Returns:
        ``()``, at least float32; 0 where n is 0.

    Raises:
        AxisError: The embedding's count is elastic, or the width is not the active one.
    """
    if isinstance(embedding, ElasticEmbedding):
        if is_elastic(embedding.count):
            raise AxisError(f"tied_cross_entropy needs a fixed number of rows, not {embedding.count!r}: use scores")
        check_width(x, embedding.hidden, embedding)
        x = apply_support(x, embedding.hidden)
        rows = select(embedding.weight, [embedding.count, embedding.hidden])
    else:
        assert isinstance(embedding, nn.Embedding)
        rows = embedding.weight
    kind = x.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        x, rows = x.to(dtype), rows.to(dtype)
    with torch.autocast(kind, enabled=False):
        loss: Tensor = _TiedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            x, rows, targets, embedding.padding_idx
        )
    return loss


class _TiedCrossEntropy(torch.autograd.Function):
    """The gradients are worked out with the loss, while the scores are there."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, targets: Tensor, padding: int | None) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float32)
        loss = torch.zeros((), dtype=wide, device=x.device)
        of_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        of_rows = torch.zeros_like(rows, dtype=wide) if ctx.needs_input_grad[1] else None
        n, chunk = len(x), max(_LEAST_ROWS, _ELEMENTS.get(x.device.type, _MANY) // len(rows))
        for first in range(0, n, chunk):
            part, target = x[first : first + chunk], targets[first : first + chunk, None]
            scores = (part @ rows.T).to(wide)
            if padding is not None:
                scores[:, padding] = -torch.inf
            loss -= scores.gather(1, target).sum()
            top = scores.amax(1, keepdim=True)
            total = scores.sub_(top).exp_().sum(1, keepdim=True)
            loss += (total.log() + top).sum()
            if of_x is None and of_rows is None:
                continue
            # in place, softmax minus one at the target, over n: the gradient of the scores
            gradient = scores.div_(total * n)
            gradient.scatter_add_(1, target, gradient.new_full((), -1.0 / n).expand_as(target))
            narrow = gradient.to(x)
            if of_x is not None:
                torch.mm(narrow, rows, out=of_x[first : first + chunk])
            if of_rows is not None:
                of_rows += narrow.T @ part
        ctx.save_for_backward(of_x, None if of_rows is None else of_rows.to(rows))
        return loss / max(1, n)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, outer: Tensor) -> Any:
        of_x, of_rows = ctx.saved_tensors
        return (*(None if of is None else of * outer.to(of) for of in (of_x, of_rows)), None, None)
