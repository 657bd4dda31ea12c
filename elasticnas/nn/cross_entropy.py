"""Softmax cross entropy against the rows of an embedding, in bounded memory."""

from typing import Any

import torch
from torch import Tensor, nn

from elasticnas.axes import SizeLike, apply_support, is_elastic, is_per_sample, mask, select, without_dead
from elasticnas.errors import AxisError
from elasticnas.nn.cosine import cosine_scores, require_temperature, unit
from elasticnas.nn.embedding import ElasticEmbedding
from elasticnas.nn.linear import check_width

__all__ = ["sampled_cross_entropy", "tied_cross_entropy"]

_IGNORE_INDEX = -100  # as in torch.nn.functional.cross_entropy
_MIN_ROWS = 64
_CHUNK_ELEMENTS = {"cpu": 2**20}  # scores of one chunk, to fit into the cache of a core
_ACCELERATOR_CHUNK_ELEMENTS = 2**27  # on other devices, to keep an accelerator busy


def tied_cross_entropy(
    x: Tensor, embedding: nn.Module, targets: Tensor, cosine_temperature: float | None = None
) -> Tensor:
    """Return the mean of ``-log softmax(x W^T)[target]``, W the embedding's weight: ``F.cross_entropy`` of its scores.

    Scores and their gradients are computed for one chunk of the rows of ``x`` at a time, so that the scores
    ``(n, count)`` are never held in memory. The row ``padding_idx``, if set, is excluded from the softmax. There is no
    second derivative. Only cosine similarities with an architecture per sample hold all scores.

    Args:
        x: ``(n, hidden)``.
        embedding: ``elasticnas.nn.Embedding`` or ``torch.nn.Embedding`` with a fixed ``count``.
        targets: ``(n,)`` int64, rows of the embedding; -100 is ignored.
        cosine_temperature: None for dot products; a number above 0 for cosine similarities of the active units, divided
            by it.

    Returns:
        ``()``, at least float32; 0 if all targets are ignored.

    Raises:
        AxisError: The embedding's count is elastic, or the width of ``x`` is not the active one.
        ConfigError: The temperature is not above 0.
    """
    x, rows = _operands(x, embedding)
    if cosine_temperature is not None:
        require_temperature(cosine_temperature)
        hidden = _hidden(embedding)
        if is_per_sample(hidden):
            assert isinstance(embedding, ElasticEmbedding)
            return _explicit(cosine_scores(x, rows, hidden, cosine_temperature), targets, embedding.padding_idx)
        x, rows = unit(x) / cosine_temperature, unit(rows, mask(hidden, rows))
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
    x: Tensor,
    embedding: nn.Module,
    targets: Tensor,
    sampled: Tensor,
    probability: Tensor | None,
    cosine_temperature: float | None = None,
) -> Tensor:
    """Return :func:`tied_cross_entropy` with the softmax denominator estimated from a sample of rows.

    The estimate of the denominator, ``e^(x w_t) + 1/S sum_j e^(x w_j) / q_j`` over the sampled rows j other than the
    target t, is unbiased; the bias of the loss, which takes its logarithm, vanishes as S grows. Without q, the loss is
    ``-log`` of the target's probability among itself and the sampled rows, ``e^(x w_t) + sum_j e^(x w_j)``: no estimate
    of the full loss, but what HSTU trains with, its rows drawn uniformly.

    Args:
        x: ``(n, hidden)``.
        embedding: As for :func:`tied_cross_entropy`.
        targets: ``(n,)`` int64, rows of the embedding; -100 is ignored.
        sampled: ``(S,)`` int64, drawn with replacement; the same for all rows of ``x``.
        probability: ``(count,)``, q: the probability of drawing each row; 0 for rows that cannot be drawn. None for no
            correction.
        cosine_temperature: As for :func:`tied_cross_entropy`.

    Returns:
        ``()``, at least float32; 0 if all targets are ignored.

    Raises:
        AxisError: The embedding's count is elastic, or the width of ``x`` is not the active one.
        ConfigError: The temperature is not above 0.

    Source: Bengio and Senecal, Adaptive importance sampling, IEEE Transactions on Neural Networks 19(4), 2008; without
    correction, and with cosine similarities over 0.05, the public code of HSTU, arXiv:2402.17152.
    """
    x, rows = _operands(x, embedding)
    weight, targets = _target_weights(targets, torch.promote_types(x.dtype, torch.float32))
    own, others = rows[targets], rows[sampled]
    if cosine_temperature is None:
        own, others = (x * own).sum(-1, keepdim=True), x @ others.T
    else:
        require_temperature(cosine_temperature)
        hidden = _hidden(embedding)
        own = (unit(x) / cosine_temperature * unit(own, mask(hidden, x))).sum(-1, keepdim=True)
        others = cosine_scores(x, others, hidden, cosine_temperature)
    own = own.to(torch.promote_types(own.dtype, torch.float32))
    others = others.to(own)
    if probability is not None:
        others = others - (probability[sampled] * len(sampled)).log().to(own)
    others = others.masked_fill(sampled == targets[:, None], -torch.inf)
    return (weight * (torch.cat([own, others], 1).logsumexp(1) - own.squeeze(1))).sum()


def _target_weights(targets: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the weight ``(n,)`` of each target in the mean, 0 if ignored, and the targets, row 0 if ignored."""
    counted = targets != _IGNORE_INDEX
    return counted.to(dtype) / counted.sum().clamp_min(1), targets.masked_fill(~counted, 0)


def _operands(x: Tensor, embedding: nn.Module) -> tuple[Tensor, Tensor]:
    """Return ``x`` and the rows of the embedding, both masked or sliced as the current scope requires."""
    if not isinstance(embedding, ElasticEmbedding):
        assert isinstance(embedding, nn.Embedding)
        return x, embedding.weight
    if is_elastic(embedding.count):
        raise AxisError(f"a cross entropy needs a fixed number of rows, not {embedding.count!r}: use scores")
    check_width(x, embedding.hidden, embedding)
    sizes = (embedding.count, embedding.hidden)
    rows = without_dead(select(embedding.weight, sizes), sizes)
    return apply_support(x, embedding.hidden), rows


def _hidden(embedding: nn.Module) -> SizeLike:
    """Return the width of the embedding."""
    if isinstance(embedding, ElasticEmbedding):
        return embedding.hidden
    assert isinstance(embedding, nn.Embedding)
    return embedding.embedding_dim


def _explicit(scores: Tensor, targets: Tensor, padding: int | None) -> Tensor:
    """Return the cross entropy of scores ``(n, count)``."""
    weight, targets = _target_weights(targets, torch.promote_types(scores.dtype, torch.float32))
    scores = scores.to(weight.dtype)
    own = scores.gather(1, targets[:, None]).squeeze(1)
    if padding is not None:
        scores = scores.index_fill(1, torch.tensor([padding], device=scores.device), -torch.inf)
    return (weight * (scores.logsumexp(1) - own)).sum()


class _TiedCrossEntropy(torch.autograd.Function):
    """Cross entropy in chunks; forward computes the gradients too, while it holds the scores."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, targets: Tensor, padding: int | None) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float32)
        loss = torch.zeros((), dtype=wide, device=x.device)
        x_grad = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        rows_grad = torch.zeros_like(rows, dtype=wide) if ctx.needs_input_grad[1] else None
        weight, targets = _target_weights(targets, wide)
        n, chunk = len(x), max(_MIN_ROWS, _CHUNK_ELEMENTS.get(x.device.type, _ACCELERATOR_CHUNK_ELEMENTS) // len(rows))
        for first in range(0, n, chunk):
            part, target = x[first : first + chunk], targets[first : first + chunk, None]
            counted = weight[first : first + chunk, None]
            scores = (part @ rows.T).to(wide)
            if padding is not None:
                scores[:, padding] = -torch.inf
            own = scores.gather(1, target)
            top = scores.amax(1, keepdim=True)
            total = scores.sub_(top).exp_().sum(1, keepdim=True)
            loss += (counted * (total.log() + top - own).masked_fill(counted == 0, 0.0)).sum()
            if x_grad is None and rows_grad is None:
                continue
            # gradient of the scores, in place: softmax minus one-hot target, times the target's weight
            gradient = scores.mul_(counted / total)
            gradient.scatter_add_(1, target, -counted)
            narrow = gradient.to(x)
            if x_grad is not None:
                torch.mm(narrow, rows, out=x_grad[first : first + chunk])
            if rows_grad is not None:
                rows_grad += narrow.T @ part
        ctx.save_for_backward(x_grad, None if rows_grad is None else rows_grad.to(rows))
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, outer: Tensor) -> Any:
        x_grad, rows_grad = ctx.saved_tensors
        return (*(None if grad is None else grad * outer.to(grad) for grad in (x_grad, rows_grad)), None, None)
