"""A problem whose model the processes share, as its Run says."""

from collections.abc import Mapping
from dataclasses import replace

from elasticnas.cost import Cost
from elasticnas.parallel import kind_of, refuse, wrapped_as
from elasticnas.run import Run
from elasticnas.search.problem import Problem
from elasticnas.space.space import A

__all__ = ["refuse_measured", "shared"]


def shared(problem: Problem[A], run: Run) -> Problem[A]:
    """Return the problem with its model wrapped as ``run.parallel`` says; the same problem if nothing is to be done.

    Raises:
        ConfigError: The model is wrapped in another way.
    """
    before = kind_of(problem.model)
    model = wrapped_as(problem.model, run.parallel)
    # FSDP2 shards the same object, and replaces its weights
    return problem if kind_of(model) == before else replace(problem, model=model)


def refuse_measured(user: str, costs: Mapping[str, Cost]) -> None:
    """Refuse costs that would differ between the processes, such as Latency.

    Raises:
        ConfigError: There is one, and there are several processes.
    """
    for name, cost in costs.items():
        if cost.measured:
            refuse(
                f"{user} with the measured cost {name!r} ({type(cost).__name__})",
                "search by Flops, or measure before and give a cost of your own",
            )
