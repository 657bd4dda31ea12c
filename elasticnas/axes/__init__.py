"""Axes: elastic sizes, the scopes that set their active values, and functions that slice and mask tensors."""

from elasticnas.axes.frames import Frame, Masked, Relaxed
from elasticnas.axes.groups import Group
from elasticnas.axes.masks import (
    apply_mask,
    apply_soft_mask,
    apply_support,
    expected,
    is_cut,
    is_masked,
    is_per_sample,
    is_sliced,
    mask,
    require_batch,
    soft_mask,
    without_dead,
)
from elasticnas.axes.modes import is_traced
from elasticnas.axes.nesting import layout_of, narrow_last, pad_last
from elasticnas.axes.probabilities import by_choice
from elasticnas.axes.quantity import Choice, Quantity
from elasticnas.axes.scope import Axes
from elasticnas.axes.select import factored_view, narrowing, select, take
from elasticnas.axes.size import (
    BORROWED,
    EXTRACTING,
    Axis,
    Product,
    Size,
    SizeLike,
    Sum,
    active_size,
    factors_of,
    full_size,
    is_elastic,
    least_size,
    quantity_of,
    require_sizes,
    terms_of,
)
from elasticnas.axes.stack import Scope, open_scopes, reopen
from elasticnas.axes.weights import OptionWeights, known_positive

__all__ = [
    "BORROWED",
    "EXTRACTING",
    "Axes",
    "Axis",
    "Choice",
    "Frame",
    "Group",
    "Masked",
    "OptionWeights",
    "Product",
    "Quantity",
    "Relaxed",
    "Scope",
    "Size",
    "SizeLike",
    "Sum",
    "active_size",
    "apply_mask",
    "apply_soft_mask",
    "apply_support",
    "by_choice",
    "expected",
    "factored_view",
    "factors_of",
    "full_size",
    "is_cut",
    "is_elastic",
    "is_masked",
    "is_per_sample",
    "is_sliced",
    "is_traced",
    "known_positive",
    "layout_of",
    "least_size",
    "mask",
    "narrow_last",
    "narrowing",
    "open_scopes",
    "pad_last",
    "quantity_of",
    "reopen",
    "require_batch",
    "require_sizes",
    "select",
    "soft_mask",
    "take",
    "terms_of",
    "without_dead",
]
