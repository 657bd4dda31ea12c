"""contribute: add a weighted candidate to a sum."""

import torch
from torch import Tensor

from elasticnas.axes import known_positive, require_batch

__all__ = ["contribute", "fit_share"]


def contribute(share: Tensor, part: Tensor, to: Tensor | None = None) -> Tensor:
    """Return ``to + share * part``; the product is exactly 0 where the share is 0, also if ``part`` is inf or NaN.

    Where the share is 0, the part gets no gradient, but the share does: straight-through estimation needs it.

    Args:
        share: Weight of the candidate, ``()`` or a shape that broadcasts against ``part``.
        part: Output of the candidate.
        to: Sum of the previous candidates; None for the first.
    """
    if not known_positive(share):
        finite = torch.nan_to_num(part.detach(), nan=0.0, posinf=0.0, neginf=0.0)
        part = torch.where(share > 0, part, finite)
    return share * part if to is None else torch.addcmul(to, share, part)


def fit_share(share: Tensor, like: Tensor) -> Tensor:
    """Convert a share, ``()`` or ``(B,)``, to the dtype, device and dimensions of an activation."""
    share = share.to(like)
    if share.ndim == 0:
        return share
    require_batch(share, like)
    return share.reshape(-1, *(1,) * (like.ndim - 1))
