"""Learning-rate schedules, as factors of the maximum rate."""

import math

__all__ = ["warm_cosine", "warm_up"]


def warm_up(step: int, warmup_steps: int) -> float:
    """Return the factor of a linear warm-up to 1; ``step`` counts from 0."""
    return min(1.0, (step + 1) / max(1, warmup_steps))


def warm_cosine(step: int, steps: int, warmup_steps: int) -> float:
    """Return the factor of :func:`warm_up` followed by a cosine decay to 0 after the last step.

    Source: arXiv:1608.03983, without restarts.
    """
    done = max(0, step - warmup_steps) / max(1, steps - warmup_steps)
    return warm_up(step, warmup_steps) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
