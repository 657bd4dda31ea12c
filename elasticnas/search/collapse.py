"""What the entropy of the choices tells about a search by gradients: collapsed early, or never decided."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from elasticnas.search.settings import SearchSettings

__all__ = ["undecided_or_collapsed"]

_COLLAPSED, _OPEN = 0.05, 0.95


def undecided_or_collapsed(
    history: Sequence[Mapping[str, Any]], entropy: Mapping[str, float], settings: SearchSettings
) -> list[str]:
    """One line for every choice that went to one option in the first quarter after the warm-up, or is still open.

    Args:
        history: With the step and the entropy of each choice, from 0 (decided) to 1 (open).
        entropy: At the end.
        settings: For lengths.
    """
    early = settings.warmup_steps + (settings.steps - settings.warmup_steps) / 4
    lines = []
    for name, value in entropy.items():
        steps = (record["step"] for record in history if record["entropy"][name] < _COLLAPSED)
        collapsed = next(steps, math.inf)
        if collapsed < early:
            lines.append(f"{name} collapsed to one option by step {collapsed}: lower architecture_lr or the penalty")
        elif value > _OPEN:
            lines.append(f"{name} is still undecided (entropy {value:.2f} of 1): raise architecture_lr or steps")
    return lines
