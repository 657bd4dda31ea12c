"""Axes: named sizes that may vary, what is active in a scope, and how tensors follow."""

from elasticnas.axes.known import is_traced
from elasticnas.axes.masks import (
    apply_mask,
    apply_support,
    expected,
    is_masked,
    mask,
    pad_to_full,
    require_batch,
    soft_mask,
)
from elasticnas.axes.probabilities import by_choice
from elasticnas.axes.quantity import Choice, Quantity
from elasticnas.axes.scope import Axes, Frame, Relaxed, open_scopes, reopen
from elasticnas.axes.select import select, take
from elasticnas.axes.size import (
    EXTRACTING,
    Axis,
    Product,
    Size,
    SizeLike,
    Sum,
    Weighted,
    active_size,
    full_size,
    is_elastic,
    known_positive,
    require_sizes,
)

__all__ = [
    "EXTRACTING",
    "Axes",
    "Axis",
    "Choice",
    "Frame",
    "Product",
    "Quantity",
    "Relaxed",
    "Size",
    "SizeLike",
    "Sum",
    "Weighted",
    "active_size",
    "apply_mask",
    "apply_support",
    "by_choice",
    "expected",
    "full_size",
    "is_elastic",
    "is_masked",
    "is_traced",
    "known_positive",
    "mask",
    "open_scopes",
    "pad_to_full",
    "reopen",
    "require_batch",
    "require_sizes",
    "select",
    "soft_mask",
    "take",
]
