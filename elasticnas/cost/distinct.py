"""DistinctCosts: the cost of every architecture of a space, and its exact expectation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from elasticnas.cost.table import ENTRIES, at_least_float32, weighted_mean
from elasticnas.errors import SpaceError

__all__ = ["DistinctCosts", "distinct_costs"]


@dataclass(frozen=True, eq=False)
class DistinctCosts:
    """Costs of all architectures.

    Attributes:
        space: The space.
        positions: Option indices ``(architectures, choices)``; the number of options for an absent layer.
        values: Costs ``(architectures,)``, float64.
    """

    space: Any
    positions: Tensor
    values: Tensor

    def expected(self, given: Mapping[str, Tensor]) -> Tensor:
        """Return the expected cost as :meth:`CostTable.expected <elasticnas.cost.CostTable.expected>` does.

        Args:
            given: Probabilities ``(..., options)`` of all choices.
        """
        weights = torch.ones(())
        for column, name in enumerate(given):
            p = at_least_float32(given[name])
            # an absent layer has the probability of all its options
            extended = torch.cat([p, p.sum(-1, keepdim=True)], dim=-1)
            weights = weights.to(p) * extended[..., self.positions[:, column].to(p.device)]
        return weighted_mean(weights, self.values, tuple(given), self.space)


def distinct_costs(cost: Callable[[Any], float], space: Any) -> DistinctCosts | None:
    """Compute the costs of all architectures; None if there are more than 20,000, or too many to count."""
    try:
        if space.size() > ENTRIES:
            return None
    except SpaceError:
        return None
    choices = space.choice_list()
    positions, values = [], []
    for arch in space.enumerate():
        indices, present = space.indices(arch), space.present(arch)
        positions.append([indices[c.name] if c.name in present else len(c.options) for c in choices])
        values.append(cost(arch))
    return DistinctCosts(space, torch.tensor(positions), torch.tensor(values, dtype=torch.float64))
