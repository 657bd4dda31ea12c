"""Pruning: drop options permanently during a search."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from elasticnas.errors import ConfigError
from elasticnas.search.controller import Controller

__all__ = ["Pruning"]


@dataclass(frozen=True)
class Pruning:
    """Drops options whose probability at the current temperature is below ``threshold / remaining options``.

    The logit of a dropped option is set to -inf, so that its probability stays exactly 0 and a checkpoint of the
    logits includes the pruning. The most probable option of a choice is never dropped, nor one without which no
    architecture within the rules and budgets would remain. Afterwards, options that no remaining architecture has are
    dropped too, whatever their probability: otherwise choices could converge to incompatible options. In spaces with
    more than 50,000 combinations that check is a greedy search, and a choice that would lose all options keeps them.

    Args:
        every: Architecture steps between prunings.
        threshold: Threshold relative to the uniform probability, from 0 (nothing is dropped) to below 1.

    Raises:
        ConfigError: An argument is out of its range.
    """

    every: int
    threshold: float

    def __post_init__(self) -> None:
        if self.every < 1 or not 0 <= self.threshold < 1:
            raise ConfigError(f"{self}: every >= 1 and 0 <= threshold < 1 are needed")

    @torch.no_grad()
    def __call__(self, controller: Controller, updates: int, step: int, possible: Callable[[], bool]) -> None:
        """Prune if it is due.

        Args:
            controller: The controller; its logits are changed.
            updates: Number of architecture steps so far.
            step: The search step, for the temperature.
            possible: Returns whether an architecture within rules and budgets remains.
        """
        if updates % self.every:
            return
        dropped = False
        for logits in controller.logits.values():
            p = (logits / controller.relaxation.temperature(step)).softmax(-1)
            least = self.threshold / int(logits.isfinite().sum())
            for index in p.argsort().tolist()[:-1]:
                before = logits.clone()
                if before[index].isfinite() and p[index] < least:
                    logits[index] = float("-inf")
                    if possible():
                        dropped = True
                    else:
                        logits.copy_(before)
        if dropped:
            _drop_impossible(controller, possible)


def _drop_impossible(controller: Controller, possible: Callable[[], bool]) -> None:
    for logits in controller.logits.values():
        before, usable = logits.clone(), torch.zeros_like(logits, dtype=torch.bool)
        for index in logits.isfinite().nonzero().flatten().tolist():
            logits.fill_(float("-inf"))[index] = before[index]
            usable[index] = possible()
        # in large spaces ``possible`` is a greedy search, and may wrongly return False for every option
        logits.copy_(before.masked_fill(~usable, float("-inf")) if usable.any() else before)
