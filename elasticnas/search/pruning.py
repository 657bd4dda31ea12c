"""Pruning: options that a search drops for good while it runs."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from elasticnas.errors import ConfigError
from elasticnas.search.controller import Controller

__all__ = ["Pruning"]


@dataclass(frozen=True)
class Pruning:
    """Drops options whose probability at the current temperature is under ``threshold / options left``.

    The logit of a dropped option is -inf: its probability is exactly 0 from then on, whatever the optimizer does, and
    a checkpoint of the logits is one of the pruning. The most probable option of a choice stays, and so does one
    without which no architecture within the rules and the budget would be left. Then those go that no such
    architecture has any more, however probable: else choices could settle on options that do not go together. In spaces
    beyond 50,000 combinations, where this is a greedy search, a choice that would lose all its options keeps them.

    Args:
        every: Architecture steps between prunings.
        threshold: Relative to uniform probability, from 0 (nothing is dropped) to below 1.

    Raises:
        ConfigError: One of the two is out of its range.
    """

    every: int
    threshold: float

    def __post_init__(self) -> None:
        if self.every < 1 or not 0 <= self.threshold < 1:
            raise ConfigError(f"{self}: every >= 1 and 0 <= threshold < 1 are needed")

    @torch.no_grad()
    def __call__(self, controller: Controller, updates: int, step: int, possible: Callable[[], bool]) -> None:
        """Prune where it is time.

        Args:
            controller: Whose logits are changed.
            updates: Architecture steps done.
            step: The search step, for the temperature.
            possible: Whether any allowed architecture is left.
        """
        if updates % self.every:
            return
        dropped = False
        for logits in controller.logits.values():
            p = (logits / controller.relaxation.temperature(step)).softmax(-1)
            least = self.threshold / int(logits.isfinite().sum())
            for index in p.argsort().tolist()[:-1]:
                kept = logits.clone()
                if kept[index].isfinite() and p[index] < least:
                    logits[index] = float("-inf")
                    if possible():
                        dropped = True
                    else:
                        logits.copy_(kept)
        if dropped:
            _drop_impossible(controller, possible)


def _drop_impossible(controller: Controller, possible: Callable[[], bool]) -> None:
    for logits in controller.logits.values():
        kept, useful = logits.clone(), torch.zeros_like(logits, dtype=torch.bool)
        for index in logits.isfinite().nonzero().flatten().tolist():
            logits.fill_(float("-inf"))[index] = kept[index]
            useful[index] = possible()
        # in large spaces ``possible`` is a greedy answer, and may be no for each option
        logits.copy_(kept.masked_fill(~useful, float("-inf")) if useful.any() else kept)
