"""Embedding: a lookup table with elastic sizes, and scores with its rows for a tied output layer."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from elasticnas.axes import (
    Axis,
    Size,
    SizeLike,
    active_size,
    apply_mask,
    apply_support,
    factors_of,
    full_size,
    is_elastic,
    is_masked,
    is_sliced,
    least_size,
    mask,
    require_batch,
    require_sizes,
    select,
    terms_of,
    without_dead,
)
from elasticnas.errors import AxisError
from elasticnas.nn.cosine import cosine_scores, require_temperature
from elasticnas.nn.linear import check_width
from elasticnas.nn.module import ElasticModule, inherit

__all__ = ["ElasticEmbedding", "Embedding", "has_few", "look_up"]


def Embedding(
    count: SizeLike,
    hidden: SizeLike,
    padding_idx: int | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> "nn.Embedding | ElasticEmbedding":
    """Make a lookup table, ``(...) int -> (..., hidden)``; a ``torch.nn.Embedding`` if both sizes are ints.

    Both kinds have ``scores(x, cosine_temperature=None)``: ``(..., hidden) -> (..., count)``, for an output layer tied
    to the embedding: the dot product with every row or, given a temperature, the cosine similarity divided by it.

    Args:
        count: Number of rows.
        hidden: Width.
        padding_idx: Row that is zero and gets no gradient; it may count from the end if the count is fixed.
        device: As in torch.
        dtype: As in torch.

    Raises:
        AxisError: A size is below 1, active rows would not be the first ones for the given ``count``, or some
            architecture has no row ``padding_idx``.
    """
    require_sizes("Embedding", count=count, hidden=hidden)
    if not _are_first_rows(count):
        raise AxisError(
            f"Embedding: count={count!r} has active rows in several places, so that an id would be a different row in "
            "every architecture: give an int or an Axis, such as an integer property of the space"
        )
    padding_idx = _padding_row(count, padding_idx)
    if is_elastic(count, hidden):
        return ElasticEmbedding(count, hidden, padding_idx, device, dtype)
    plain = nn.Embedding(active_size(count), active_size(hidden), padding_idx, device=device, dtype=dtype)
    return _with_scores(plain)


def _are_first_rows(count: SizeLike) -> bool:
    """Return whether every architecture has the first rows of the table, so that an id is the same row in all."""
    *before, last = terms_of(count)
    inner = factors_of(last)[1:]
    return not is_elastic(*before, *inner)


def _padding_row(count: SizeLike, padding_idx: int | None) -> int | None:
    """Return the non-negative index of the padding row, checked for every architecture."""
    if padding_idx is None:
        return None
    rows = least_size(count)
    if is_elastic(count) and padding_idx < 0:
        raise AxisError(
            f"Embedding: padding_idx={padding_idx} counts from the end of {count!r}, which is a different row in every "
            "architecture: count from the front"
        )
    if not -rows <= padding_idx < rows:
        raise AxisError(
            f"Embedding: padding_idx={padding_idx}, but the smallest table has {rows} rows: give one of these"
        )
    return padding_idx % rows if padding_idx < 0 else padding_idx


class TiedScores:
    """The ``scores`` of a plain embedding, which ``torch.nn.Embedding`` does not have."""

    def __init__(self, embedding: nn.Embedding) -> None:
        self.embedding = embedding

    def __call__(self, x: Tensor, cosine_temperature: float | None = None) -> Tensor:
        """Return the dot product with every row or the cosine over a temperature, ``(..., hidden) -> (..., count)``."""
        if cosine_temperature is None:
            return F.linear(x, self.embedding.weight)
        require_temperature(cosine_temperature)
        return cosine_scores(x, self.embedding.weight, x.shape[-1], cosine_temperature)


def _with_scores(embedding: nn.Embedding) -> nn.Embedding:
    embedding.__dict__["scores"] = TiedScores(embedding)
    return embedding


class ElasticEmbedding(ElasticModule):
    """A lookup table with an elastic size, made by :func:`Embedding`."""

    def __init__(
        self,
        count: SizeLike,
        hidden: SizeLike,
        padding_idx: int | None,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.count, self.hidden, self.padding_idx = count, hidden, padding_idx
        full = nn.Embedding(full_size(count), full_size(hidden), padding_idx, device=device, dtype=dtype)
        self.weight = full.weight

    def forward(self, ids: Tensor) -> Tensor:
        """Look up ``(...) int -> (..., hidden)``; inactive rows are an error in a slice scope, 0 in a mask scope."""
        if self._takes_first_units() and has_few(ids, self.weight):
            rows = select(self.weight, (self.count, full_size(self.hidden)))
            return look_up(ids, rows, active_size(self.hidden), self.padding_idx)
        rows = select(self.weight, (self.count, self.hidden))
        if not is_masked(self.count):
            return apply_mask(F.embedding(ids, rows, self.padding_idx), self.hidden)
        rows = without_dead(rows, (self.count, self.hidden))
        out = apply_mask(F.embedding(ids, rows, self.padding_idx), self.hidden)
        # unsqueeze: a per-sample mask needs a batch dimension in front
        alive = mask(self.count, rows.unsqueeze(0), dim=1)
        assert alive is not None
        return out * (alive.flatten()[ids].unsqueeze(-1) if alive.ndim == 2 else _look_up_mask(alive, ids))

    def _takes_first_units(self) -> bool:
        axes = [size for size in (self.count, self.hidden) if isinstance(size, Size)]
        return isinstance(self.hidden, (int, Axis)) and all(is_sliced(axis) for axis in axes)

    def scores(self, x: Tensor, cosine_temperature: float | None = None) -> Tensor:
        """Return the dot product with every row, or the cosine over a temperature, ``(..., hidden) -> (..., count)``.

        Args:
            x: ``(..., hidden)``.
            cosine_temperature: None for dot products; a number above 0 for cosine similarities of the active units,
                divided by it.

        Raises:
            AxisError: The width of ``x`` is not the active one.
            ConfigError: The temperature is not above 0.
        """
        check_width(x, self.hidden, self)
        rows = without_dead(select(self.weight, (self.count, self.hidden)), (self.count, self.hidden))
        x = apply_support(x, self.hidden)
        if cosine_temperature is None:
            return apply_mask(F.linear(x, rows), self.count)
        require_temperature(cosine_temperature)
        return apply_mask(cosine_scores(x, rows, self.hidden, cosine_temperature), self.count)

    def tensor_sizes(self) -> dict[str, list[SizeLike]]:
        """Return the sizes of the weight."""
        return {"weight": [self.count, self.hidden]}

    def example(self, generator: torch.Generator) -> tuple[Tensor]:
        """Return random ids ``(2, 5)``."""
        ids = torch.randint(active_size(self.count), (2, 5), generator=generator, device="cpu")
        return (ids.to(self.weight.device),)

    def plain(self, memo: dict[Any, Any]) -> nn.Embedding:
        """Return a ``torch.nn.Embedding`` of the active sizes."""
        count, hidden = active_size(self.count), active_size(self.hidden)
        # no initial values: torch imports its compiler to draw them on the meta device, which takes seconds
        empty = torch.empty(count, hidden, device="meta")
        plain = nn.Embedding.from_pretrained(empty, freeze=False, padding_idx=self.padding_idx)
        plain.weight = inherit(self.weight, [self.count, self.hidden], memo)
        return _with_scores(plain)

    def extra_repr(self) -> str:
        """Return the sizes for ``repr``."""
        return f"count={self.count!r}, hidden={self.hidden!r}, padding_idx={self.padding_idx}"


def has_few(ids: Tensor, table: Tensor) -> bool:
    """Return whether to look up whole rows in a pass with gradients, since there are fewer ids than rows."""
    few = torch.is_grad_enabled() and table.requires_grad and not torch.compiler.is_compiling()
    return few and ids.numel() < len(table)


def look_up(ids: Tensor, rows: Tensor, width: int, padding_idx: "int | None") -> Tensor:
    """Look up the first units of some rows, ``(...) int -> (..., width)``.

    The gradient of a narrowed table would be one more table, to be copied into that of the full width.

    Args:
        ids: Rows to look up.
        rows: ``(count, full width)``.
        width: Number of units.
        padding_idx: Row without a gradient.
    """
    return F.embedding(ids, rows, padding_idx)[..., :width]


def _look_up_mask(alive: Tensor, ids: Tensor) -> Tensor:
    """Look up a per-sample mask ``(B, count, 1)`` at ids ``(B, ...)``."""
    require_batch(alive, ids)
    flat, ids = alive.reshape(alive.shape[0], -1), ids.expand(alive.shape[0], *ids.shape[1:])
    return flat.gather(1, ids.reshape(ids.shape[0], -1)).reshape(*ids.shape, 1)
