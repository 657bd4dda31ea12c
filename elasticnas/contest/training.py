"""ValidatedTraining: training of a plain network that ends with the weights of its best validation."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from elasticnas.run import Batches, PlainState, Stateful
from elasticnas.search import PlainTraining
from elasticnas.search.health import exhausted
from elasticnas.search.problem import Loss
from elasticnas.search.result import Direction
from elasticnas.search.schedule import warm_cosine

__all__ = ["ValidatedTraining"]


class ValidatedTraining(PlainTraining):
    """Trains a network with warm-up and cosine decay, and validates it at intervals and at the end.

    Args:
        network: The network, with its initial weights.
        loss: See :class:`~elasticnas.search.PlainTraining`.
        train: Training batches.
        metric: ``metric(network)`` on validation data, in eval mode without gradients.
        direction: Whether it is maximised or minimised.
        steps: Optimizer steps.
        rate: Highest learning rate.
        clip_norm: Largest norm of the gradients; None for no clipping.
        every: Steps between validations.
        patience: Validations without improvement that end the training; None for all steps.
        seed: Seed of the batches.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        train: Batches,
        metric: Callable[[nn.Module], float],
        direction: Direction,
        *,
        steps: int,
        rate: float,
        clip_norm: float | None,
        every: int,
        patience: int | None,
        seed: int,
    ) -> None:
        super().__init__(
            network,
            loss,
            train,
            steps=steps,
            rate=lambda step: rate * warm_cosine(step, steps, steps // 20),
            clip_norm=clip_norm,
            seed=seed,
            identity={"rate": rate, "every": every, "patience": patience},
        )
        self._metric, self._direction, self._every, self._patience = metric, direction, every, patience
        self._kept = _Best()

    @property
    def validations(self) -> int:
        """Number of validations so far."""
        return len(self._kept["metrics"])

    @property
    def best(self) -> float:
        """The best validation metric."""
        return float(self._kept["metrics"][self._kept["best"]])

    @property
    def best_step(self) -> int:
        """The step of the best validation metric."""
        return int(min(self.steps, (self._kept["best"] + 1) * self._every))

    @property
    def done(self) -> bool:
        """Whether no step is left, or patience is exhausted."""
        return self.step >= self.steps or exhausted(self._kept["metrics"], self._patience, self._direction)

    def advance(self) -> dict[str, Any]:
        """Take one optimizer step, and validate if it is due."""
        figures = super().advance()
        if self.step % self._every and self.step < self.steps:
            return figures
        self.network.eval()
        with torch.no_grad():
            value = self._metric(self.network)
        sign = 1.0 if self._direction == "maximise" else -1.0
        metrics = self._kept["metrics"]
        metrics.append(value)
        ranked = [sign * each if math.isfinite(each) else -math.inf for each in metrics]
        if len(metrics) == 1 or ranked[-1] > ranked[self._kept["best"]]:
            self._kept["best"] = len(metrics) - 1
            self._kept["weights"] = {name: value.clone() for name, value in self.network.state_dict().items()}
        return {**figures, "validation": value}

    def finish(self) -> None:
        """Give the network the weights of the best validation."""
        self.network.load_state_dict(self._kept["weights"])
        self.network.eval()

    def parts(self) -> dict[str, Stateful]:
        """Return the objects whose state a checkpoint saves."""
        return {**super().parts(), "best": self._kept}


class _Best(PlainState):
    """Validation metrics, the position of the best one, and its weights."""

    def __init__(self) -> None:
        super().__init__(metrics=[], best=0, weights={})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state."""
        super().load_state_dict({**state, "metrics": list(state["metrics"])})
