"""Expectation: an expected cost and its standard error."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from elasticnas.cost.sampler import Sampler
from elasticnas.cost.table import at_least_float32

__all__ = ["Expectation", "sampled"]


@dataclass(frozen=True, eq=False)
class Expectation:
    """An expected cost.

    Attributes:
        value: ``(...)`` in the cost's unit, differentiable in the probabilities.
        standard_error: Standard error of the value ``(...)`` in the same unit; 0 if the value is exact.
        samples: Number of architectures drawn to evaluate their cost; 0 if the value is exact.
    """

    value: Tensor
    standard_error: Tensor
    samples: int


def sampled(sampler: Sampler, given: Mapping[str, Tensor], seed: int) -> Expectation:
    """Estimate the expectation for probabilities ``(..., options)`` of each choice, separately for each vector."""
    first = at_least_float32(next(iter(given.values())))
    batch = torch.broadcast_shapes(*(p.shape[:-1] for p in given.values()))
    each = [p.expand(*batch, -1).reshape(-1, p.shape[-1]) for p in given.values()]
    values, errors, samples = zip(*(sampler([p[row] for p in each], seed) for row in range(len(each[0]))), strict=True)
    value = torch.stack(values).reshape(batch).to(first)
    error = torch.tensor(errors, dtype=torch.float64).reshape(batch).to(first)
    return Expectation(value, error, sum(samples))
