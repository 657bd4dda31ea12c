"""Validation of a supernet during training, by its largest, smallest and some random architectures."""

import random
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from elasticnas.axes import Axes
from elasticnas.errors import ConfigError, describe_error
from elasticnas.parallel import full_state_dict, size, unwrapped
from elasticnas.runtime import warn
from elasticnas.search.evaluation import evaluate_at
from elasticnas.search.health import exhausted
from elasticnas.search.problem import Problem
from elasticnas.search.settings import TrainerSettings

__all__ = ["Validation"]


class Validation:
    """Evaluates fixed architectures, and stores the weights of the best mean if patience is set.

    Attributes:
        records: One record per validation: step, mean of the metric, and the metric by architecture.
        best_weights: The model's state dict at the best validation.
    """

    def __init__(self, problem: Problem, axes: Axes, settings: TrainerSettings) -> None:
        self._model, self._axes, self._patience = unwrapped(problem.model), axes, settings.patience
        self._evaluate = problem.evaluator("validate_every", settings.seed)
        self.metric, self.direction = problem.ranking
        rng = random.Random(f"validation {settings.seed}")
        drawn = [axes.space.sample(rng) for _ in range(settings.validated_architectures)]
        self._archs = list(dict.fromkeys([axes.space.largest(), axes.space.smallest(), *drawn]))
        self._seed = settings.seed
        self.records: list[dict[str, Any]] = []
        self.best_weights: dict[str, Tensor] = {}
        self._first = 0  # earlier records, whose weights were not stored, do not count for patience

    @property
    def exhausted(self) -> bool:
        """Whether patience is exhausted."""
        return exhausted(self._means(), self._patience, self.direction)

    def look(self, step: int) -> dict[str, float]:
        """Evaluate now and return the mean over all successful evaluations, by the name of the metric."""
        values = {repr(arch): self._value(arch) for arch in self._archs}
        known = [value for value in values.values() if value is not None]
        mean = sum(known) / len(known) if known else None
        before = self._means()
        self.records.append({"step": step, "mean": mean, "architectures": values})
        if mean is None:
            return {}
        best = max if self.direction == "maximise" else min
        if self._patience is not None and (not before or mean == best(mean, *before) != best(before)):
            self.best_weights = {k: v.detach().cpu().clone() for k, v in full_state_dict(self._model).items()}
        return {self.metric: mean}

    def _value(self, arch: Any) -> float | None:
        try:
            return evaluate_at(self._model, self._axes, arch, self._evaluate, self.metric, self._seed)[self.metric]
        except ConfigError:
            raise
        except Exception as error:
            if size() > 1:  # the other ranks would wait for this one
                raise
            # a failed validation must not end a long training
            warn(f"the validation of {arch!r} failed: {describe_error(error)}")
            return None

    def _means(self) -> list[float]:
        return [record["mean"] for record in self.records[self._first :] if record["mean"] is not None]

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain data."""
        return {"records": self.records, "best": self.best_weights, "first": self._first}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state."""
        self.records, self.best_weights = list(state["records"]), dict(state["best"])
        self._first = state["first"] if self.best_weights else len(self.records)
