"""Spearman's rank correlation."""

import numpy as np

from elasticnas.cost.combinations import Array

__all__ = ["rank_correlation"]


def rank_correlation(a: Array, b: Array) -> float:
    """Return Spearman's rank correlation of two series; nan if they are shorter than 2, or one is constant."""
    if len(a) < 2:
        return float("nan")
    first, second = _ranks(a), _ranks(b)
    if first.std() == 0 or second.std() == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: Array) -> Array:
    """Return ranks from 0; equal values have their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    shared: Array = (ends - (counts + 1) / 2.0)[inverse.reshape(-1)]
    return shared
