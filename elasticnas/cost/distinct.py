"""DistinctCosts: the cost of every architecture of a space, absent layers once; their expectation is exact."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from elasticnas.cost.table import ENTRIES, contracted, wide
from elasticnas.errors import SpaceError

__all__ = ["DistinctCosts", "distinct_costs"]


@dataclass(frozen=True, eq=False)
class DistinctCosts:
    """Costs of all architectures.

    Attributes:
        positions: ``(architectures, choices)`` option indices; one more than the last where a layer is absent.
        values: Float64 ``(architectures,)``.
    """

    space: Any
    positions: Tensor
    values: Tensor

    def expected(self, given: Mapping[str, Tensor]) -> Tensor:
        """As :meth:`CostTable.expected <elasticnas.cost.CostTable.expected>`, for probabilities of all choices."""
        weights = torch.ones(())
        for column, name in enumerate(given):
            p = wide(given[name])
            # an absent layer may have any option
            either = torch.cat([p, p.sum(-1, keepdim=True)], dim=-1)
            weights = weights.to(p) * either[..., self.positions[:, column].to(p.device)]
        return contracted(weights, self.values, tuple(given), self.space)


def distinct_costs(cost: Callable[[Any], float], space: Any) -> DistinctCosts | None:
    """The costs of all architectures; None where there are more than 20,000, or too many to count."""
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
