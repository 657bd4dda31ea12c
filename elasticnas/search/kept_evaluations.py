"""KeptEvaluations: evaluations of a supernet that outlive the process."""

import math
from pathlib import Path
from typing import Any

from torch import nn

from elasticnas.axes import Axes
from elasticnas.search.checkpoint import load_checkpoint, save_checkpoint
from elasticnas.search.evaluation import Evaluate

__all__ = ["KeptEvaluations"]


class KeptEvaluations:
    """``evaluate`` that asks once for each architecture, and keeps the answers in a file.

    Args:
        evaluate: ``evaluate(model) -> {"metric": value}`` with an architecture in scope.
        axes: Of the model.
        path: The file; None keeps them in memory.
        identity: What a file that is taken up must agree with; plain data that tells the model's weights apart too.
        resume: Take up the file where there is one; else it is deleted.

    Raises:
        CheckpointError: The file is damaged or belongs to another run.
    """

    def __init__(
        self, evaluate: Evaluate, axes: Axes, path: Path | None, identity: dict[str, Any], resume: bool
    ) -> None:
        self._evaluate, self._axes, self._path, self._identity = evaluate, axes, path, identity
        self._known: dict[str, dict[str, float]] = {}
        if path is not None and path.exists():
            if resume:
                self._known = load_checkpoint(path, identity)["evaluations"]
            else:
                path.unlink()

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """The metrics of the architecture in scope."""
        key = self._axes.current().model_dump_json()
        if key not in self._known:
            metrics = {name: float(value) for name, value in self._evaluate(model).items()}
            if any(math.isnan(value) for value in metrics.values()):
                return metrics  # refused by whoever asked: not kept, so that it is asked again
            self._known[key] = metrics
            if self._path is not None:
                save_checkpoint(self._path, {"evaluations": self._known}, self._identity)
        return dict(self._known[key])
