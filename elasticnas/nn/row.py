"""One position of every sample, where the others are not asked for."""

import torch
from torch import Tensor

__all__ = ["take_row", "unseen_from"]


def take_row(x: Tensor, row: Tensor | None) -> Tensor:
    """``(B, N, c)`` at one position of every sample, ``(B, 1, c)``; all of it where ``row`` is None."""
    return x if row is None else x.gather(1, row[:, None, None].expand(-1, 1, x.shape[-1]))


def unseen_from(row: Tensor, length: int, causal: bool, padding: Tensor | None) -> Tensor | None:
    """``(B, N)`` bool, True where position ``row`` of a sample does not look; None where it sees all."""
    if not causal:
        return padding
    later = torch.arange(length, device=row.device) > row[:, None]
    return later if padding is None else later | padding
