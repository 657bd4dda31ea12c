"""Selection of one position of every sample, if only that is to be computed."""

import torch
from torch import Tensor

__all__ = ["take_row", "unseen_from"]


def take_row(x: Tensor, row: Tensor | None) -> Tensor:
    """Return one position of every sample, ``(B, N, c) -> (B, 1, c)``; ``x`` itself if ``row`` is None."""
    return x if row is None else x.gather(1, row[:, None, None].expand(-1, 1, x.shape[-1]))


def unseen_from(row: Tensor, length: int, causal: bool, padding: Tensor | None) -> Tensor | None:
    """Return ``(B, N)`` bool, True where position ``row`` of a sample must not attend; None if it may attend to all."""
    if not causal:
        return padding
    later = torch.arange(length, device=row.device) > row[:, None]
    return later if padding is None else later | padding
