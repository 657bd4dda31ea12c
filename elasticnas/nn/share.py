"""contribute: the share of a candidate in a mix."""

import torch
from torch import Tensor

from elasticnas.axes import known_positive, require_batch

__all__ = ["contribute", "fit_share"]


def contribute(share: Tensor, part: Tensor, to: Tensor | None = None) -> Tensor:
    """``to + share * part``, the product exactly 0 where the share is 0 whatever the part holds (0 * inf is NaN).

    A share of 0 passes no gradient to the part, but still gets its own: straight-through estimation needs it.

    Args:
        share: ``()`` or a shape that broadcasts against ``part``.
        part: Output of the candidate.
        to: What the other candidates gave so far; None for the first.
    """
    if not known_positive(share):
        finite = torch.nan_to_num(part.detach(), nan=0.0, posinf=0.0, neginf=0.0)
        part = torch.where(share > 0, part, finite)
    return share * part if to is None else torch.addcmul(to, share, part)


def fit_share(share: Tensor, like: Tensor) -> Tensor:
    """``()`` as it is, ``(B,)`` shaped to multiply an activation, in its dtype and device."""
    share = share.to(like)
    if share.ndim == 0:
        return share
    require_batch(share, like)
    return share.reshape(-1, *(1,) * (like.ndim - 1))
