"""KeptEvaluations: evaluations of a supernet that outlive the process."""

import math
from pathlib import Path
from typing import Any

from torch import nn

from elasticnas.axes import Axes
from elasticnas.checkpoint import load_checkpoint, save_checkpoint
from elasticnas.search.evaluation import Evaluate, checked

__all__ = ["KeptEvaluations"]


class KeptEvaluations:
    """``evaluate`` that asks once for each architecture, and keeps the answers in a file.

    Only complete answers of finite numbers are kept; others are asked for again.

    Args:
        evaluate: ``evaluate(model) -> {"metric": value}`` with an architecture in scope.
        metric: One that must be among them.
        axes: Of the model.
        path: The file; None keeps them in memory.
        identity: What a file that is taken up must agree with; plain data that tells the model's weights apart too.
        resume: Take up the file where there is one; else it is deleted.

    Raises:
        CheckpointError: The file is damaged or belongs to another run.
    """

    def __init__(
        self, evaluate: Evaluate, metric: str, axes: Axes, path: Path | None, identity: dict[str, Any], resume: bool
    ) -> None:
        self._evaluate, self._metric, self._axes, self._path, self._identity = evaluate, metric, axes, path, identity
        self._known: dict[str, dict[str, float]] = {}
        if path is not None and path.exists():
            if resume:
                kept = load_checkpoint(path, identity)["evaluations"]
                self._known = {key: metrics for key, metrics in kept.items() if metric in metrics and _finite(metrics)}
            else:
                path.unlink()

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """The metrics of the architecture in scope.

        Raises:
            ConfigError: ``evaluate`` gives no mapping from names to numbers, or not the metric.
        """
        key = self._axes.current().model_dump_json()
        if key not in self._known:
            metrics = checked(self._evaluate(model), self._metric)
            if not _finite(metrics):
                return metrics  # refused by whoever asked where it is the metric
            self._known[key] = metrics
            if self._path is not None:
                save_checkpoint(self._path, {"evaluations": self._known}, self._identity)
        return dict(self._known[key])


def _finite(metrics: dict[str, float]) -> bool:
    return all(map(math.isfinite, metrics.values()))
