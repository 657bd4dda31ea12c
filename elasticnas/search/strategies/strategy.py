"""Strategy: the one interface behind which every way to search stands."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from elasticnas.search.bilevel import Progress
from elasticnas.search.result import SearchResult
from elasticnas.search.settings import SearchSettings
from elasticnas.search.strategies.problem import Problem

__all__ = ["Strategy", "identified"]


class Strategy(ABC):
    """A way to search a supernet. What is its own is given to its constructor, and every such value has a default.

    ``elasticnas.testing.StrategyContract`` checks what every strategy promises.

    Attributes:
        name: For command lines and checkpoints.
    """

    name: ClassVar[str]

    @abstractmethod
    def search(
        self,
        problem: Problem,
        settings: SearchSettings,
        *,
        checkpoint: Path | None = None,
        resume: bool = False,
        identity: Mapping[str, Any] | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> SearchResult:
        """Search.

        Args:
            problem: What is searched.
            settings: Lengths, rates, seed. ``steps`` are weight steps with every strategy.
            checkpoint: A file; others may come to lie beside it, with its name and an ending.
            resume: Take up the checkpoint where there is one: the result is that of the uninterrupted run.
            identity: Further plain data that a checkpoint must agree with, such as a fingerprint of the data.
            progress: Called after every step, and after every evaluation of a search by evaluations.

        Raises:
            BudgetError: No architecture meets the budget; names the smallest cost that can be reached.
            CheckpointError: The checkpoint is damaged or belongs to another run.
            ConfigError: ``evaluate`` gives no mapping from names to numbers, or not the metric.
            InactiveChoiceError: A choice reaches nothing in the model.
            PluginError: An optional package that the strategy needs is not installed.
            SearchError: A loss, a gradient or a metric is not finite, the loss is no scalar with a gradient, an epoch
                has no batch, the model has no weights to train or is of a kind that the strategy does not search.
        """


def identified(name: str, identity: "Mapping[str, Any] | None") -> dict[str, Any]:
    """A caller's identity with the strategy's name; a ``strategy`` of the caller's stands beside it."""
    given = dict(identity or {})
    return given | {"strategy": [name, given["strategy"]] if "strategy" in given else name}
