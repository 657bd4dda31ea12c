"""Problem: what a strategy searches."""

from dataclasses import dataclass

from torch import nn

from elasticnas.cost import Cost
from elasticnas.search.evaluation import Evaluate, Loss
from elasticnas.search.stream import Epochs

__all__ = ["Problem"]


@dataclass(frozen=True)
class Problem:
    """A supernet, its data and its limit, as plain callables: no strategy knows a task, and none sees test data.

    Attributes:
        model: The supernet. Its weights are trained in place.
        loss: ``loss(model, batch) -> ()`` tensor; batches are handed on as they are.
        train: ``train(epoch)`` gives an iterable of training batches, the same ones for the same number.
        held_out: ``held_out(epoch)`` likewise, of data that ``train`` does not hold.
        cost: What architectures cost.
        evaluate: ``evaluate(model) -> {"metric": value}`` with an architecture in scope. None: mean held-out loss.
        metric: Which of them ranks architectures.
        maximise: Whether more is better.
        budget: ``"50%"`` of the largest architecture's cost, an absolute number, or None.
    """

    model: nn.Module
    loss: Loss
    train: Epochs
    held_out: Epochs
    cost: Cost
    evaluate: Evaluate | None = None
    metric: str = "loss"
    maximise: bool = False
    budget: str | float | None = None
