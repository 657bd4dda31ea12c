"""Task: everything that a study knows of the problem, as plain callables."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from elasticnas.search import Epochs

__all__ = ["Task"]


@dataclass(frozen=True)
class Task:
    """A problem to train networks for.

    Attributes:
        name: In titles.
        build: A plain network with new weights, called as :class:`~elasticnas.space.Factory` says, for an architecture
            or for what ``scaled`` gives.
        scaled: ``scaled(factor)``: the sizes of the largest network with every width multiplied by a factor in (0, 1],
            rounded to what can be built, as attributes named like fields and properties; ``scaled(1.0)`` is the largest
            network. The baseline that needs no search.
        loss: ``loss(network, batch) -> ()``.
        train: ``train(epoch)`` gives an iterable of batches, the same for the same number.
        validate: ``validate(network) -> {metric: value}``; the search chooses by it.
        test: Likewise on data that nothing is chosen by.
        metric: The one to compare.
        maximise: Whether more is better.
        example: An input of the network on the CPU: FLOPs are counted on it, extraction is checked on it.
        predict: ``predict(network, batch) -> (..., classes)`` logits for in-place distillation; None for none.
        facts: Of the data, plain, for the record; a resumed run must have the same.
    """

    name: str
    build: Callable[..., nn.Module]
    scaled: Callable[[float], Any]
    loss: Callable[[nn.Module, Any], Tensor]
    train: Epochs
    validate: Callable[[nn.Module], Mapping[str, float]]
    test: Callable[[nn.Module], Mapping[str, float]]
    metric: str
    maximise: bool
    example: Any
    predict: Callable[[nn.Module, Any], Tensor] | None
    facts: dict[str, Any]
