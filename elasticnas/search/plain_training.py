"""PlainTraining: training of a plain network, run by the driver."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from elasticnas.parallel import Whole, prepared
from elasticnas.run import Batches, BatchStream, Stateful
from elasticnas.search.descent import Descent
from elasticnas.search.problem import Loss
from elasticnas.search.shared_loss import SharedLoss

__all__ = ["PlainTraining"]


class PlainTraining:
    """Trains a plain network in place with Adam, one batch per step.

    Args:
        network: The network, with its initial weights.
        loss: ``loss(network, batch) -> ()``.
        train: Training batches.
        steps: Optimizer steps.
        rate: Returns the learning rate of a step, counted from 0.
        clip_norm: Largest norm of the gradients; None for no clipping.
        seed: Seed of the batches.
        identity: Plain data that must match to resume.

    Attributes:
        stream: The batches.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        train: Batches,
        *,
        steps: int,
        rate: Callable[[int], float],
        clip_norm: float | None,
        seed: int,
        identity: Mapping[str, object],
    ) -> None:
        self.network = prepared(network, "PlainTraining")
        self.loss, self.steps, self._rate = SharedLoss(loss), steps, rate
        self.stream = BatchStream(train, "train", seed)
        self._descent = Descent(list(network.parameters()), 1.0, clip_norm)
        self.identity = {**identity, "steps": steps, "clip_norm": clip_norm}
        self.step = 0

    @property
    def done(self) -> bool:
        """Whether no step is left."""
        return self.step >= self.steps

    def advance(self) -> dict[str, Any]:
        """Take one optimizer step."""
        self.network.train()
        rate = self._rate(self.step)
        self._descent.begin(rate)
        loss = self._descent.add(self.loss(self.network, self.stream.next()), 1, "training loss", self.step)
        self._descent.finish(self.step)
        self.step += 1
        return {"loss": loss, "learning_rate": rate}

    def parts(self) -> dict[str, Stateful]:
        """Return the objects whose state a checkpoint saves."""
        return {"network": Whole(self.network), "weights": self._descent, "train": self.stream}
