"""Expectation: an expected cost and its error."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from elasticnas.cost.sampler import Sampler
from elasticnas.cost.table import wide

__all__ = ["Expectation", "sampled"]


@dataclass(frozen=True, eq=False)
class Expectation:
    """An expected cost.

    Attributes:
        value: ``(...)`` in the cost's unit, with gradients to the probabilities.
        standard_error: ``(...)``, of the value, in the same unit; 0 where it is exact.
        samples: Architectures drawn for it whose cost was worked out; 0 where it is exact.
    """

    value: Tensor
    standard_error: Tensor
    samples: int


def sampled(sampler: Sampler, given: Mapping[str, Tensor], seed: int) -> Expectation:
    """The estimate for probabilities ``(..., options)`` of each choice, every vector of a batch by itself."""
    first = wide(next(iter(given.values())))
    batch = torch.broadcast_shapes(*(p.shape[:-1] for p in given.values()))
    each = [p.expand(*batch, -1).reshape(-1, p.shape[-1]) for p in given.values()]
    values, errors, samples = zip(*(sampler([p[row] for p in each], seed) for row in range(len(each[0]))), strict=True)
    value = torch.stack(values).reshape(batch).to(first)
    error = torch.tensor(errors, dtype=torch.float64).reshape(batch).to(first)
    return Expectation(value, error, sum(samples))
