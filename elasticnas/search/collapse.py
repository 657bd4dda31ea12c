"""Detection of choices that collapse early or stay undecided in a gradient-based search, by their entropy."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from elasticnas.search.settings import SearchSettings

__all__ = ["undecided_or_collapsed"]

_COLLAPSED, _UNDECIDED = 0.05, 0.95  # relative entropy


def undecided_or_collapsed(
    history: Sequence[Mapping[str, Any]], entropy: Mapping[str, float], settings: SearchSettings
) -> list[str]:
    """Return a line for every choice that collapsed to one option early, and one for all that are still undecided.

    Early is within the first quarter of the search after the warm-up.

    Args:
        history: Records with the step and the entropy of each choice, from 0 (one option) to 1 (uniform).
        entropy: Entropy of each choice at the end.
        settings: Settings of the search.
    """
    early = settings.warmup_steps + (settings.steps - settings.warmup_steps) / 4
    lines, undecided = [], []
    for name, value in entropy.items():
        collapsed_steps = (record["step"] for record in history if record["entropy"][name] < _COLLAPSED)
        collapsed = next(collapsed_steps, math.inf)
        if collapsed < early:
            lines.append(f"{name} collapsed to one option by step {collapsed}: lower architecture_lr or the penalty")
        elif value > _UNDECIDED:
            undecided.append(f"{name} ({value:.2f})")
    if undecided:
        names = ", ".join(undecided)
        lines.append(f"still undecided, by entropy of at most 1: {names}; raise architecture_lr or steps")
    return lines
