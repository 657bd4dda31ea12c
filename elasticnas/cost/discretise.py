"""most_probable: choose one architecture within the budgets from probabilities."""

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from elasticnas.cost.budget import Budget
from elasticnas.cost.cost import Cost
from elasticnas.cost.objective import Objective
from elasticnas.cost.solver import ENUMERATED, Solver
from elasticnas.cost.table import given_probabilities
from elasticnas.errors import ArchitectureError, SearchError
from elasticnas.space.space import A

__all__ = ["most_probable"]


def most_probable(
    space: type[A],
    probabilities: Mapping[str, Tensor],
    budgets: Sequence[Budget[A]] = (),
    cost: Cost[A] | None = None,
) -> A:
    """Return the most probable architecture that meets all budgets.

    Choices are independent; those without probabilities are as in the largest architecture. An absent layer counts
    with the probability of its most probable option, so that architectures with few layers are not preferred for
    having fewer factors.

    The result is exact if the choices have up to 50,000 combinations, or if one of the 500 most probable architectures
    meets the budgets, or if every budget's cost is a sum over the choices given a few of them, as FLOPs and parameters
    of transformers are (see :class:`~elasticnas.cost.solver.Solver`). Otherwise it is found greedily: changes with the
    least loss of log-probability per cost saved (as a fraction of the unmet budgets) until all budgets are met; then
    changes of one or two choices that increase the probability within the budgets. With several budgets, a second
    greedy search starts at the architecture closest to meeting them.

    Args:
        space: A Space class.
        probabilities: Per choice a tensor ``(options,)``; a per-layer field may be one ``(layers, options)``.
        budgets: The budgets; empty allows every architecture.
        cost: Breaks ties between equally probable architectures (up to 256) by the smallest cost; None takes the cost
            of the first budget.

    Raises:
        BudgetError: No architecture within the budgets was found; the message has the smallest reachable cost, or the
            closest architecture.
        ArchitectureError: A probability is negative or not finite.
        SearchError: A choice has more than one vector of probabilities.
    """
    cost = cost or (budgets[0].cost if budgets else None)
    values = {name: _negative_logs(name, value) for name, value in given_probabilities(space, probabilities).items()}
    objective = Objective(space, values, absent={name: min(each) for name, each in values.items()})
    found = Solver(objective, ENUMERATED).best(budgets, cost=cost)
    if not found:
        raise ArchitectureError(f"{space.__name__}: no architecture has any combination of {list(values)}")
    arch: A = found[0]
    return arch


def _negative_logs(name: str, probabilities: Tensor) -> tuple[float, ...]:
    if probabilities.ndim != 1:
        raise SearchError(f"{name}: one vector of probabilities is needed, not the shape {tuple(probabilities.shape)}")
    return tuple(-math.log(max(value, 1e-300)) for value in probabilities.detach().cpu().double().tolist())
