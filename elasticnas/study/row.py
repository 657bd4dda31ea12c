"""Row: one trained network of a comparison."""

from dataclasses import dataclass
from typing import Any

__all__ = ["LABELS", "SCRATCH", "SEARCHED", "UNIFORM", "Row"]

SEARCHED, SCRATCH, UNIFORM = "searched", "scratch", "uniform"
LABELS = {
    SEARCHED: "searched, inherits weights",
    SCRATCH: "searched, from scratch",
    UNIFORM: "uniformly scaled, from scratch",
}


@dataclass(frozen=True)
class Row:
    """One network.

    Attributes:
        kind: A key of ``LABELS``.
        share: Of the largest network's FLOPs, at most; the one that it was chosen or made for.
        sizes: The architecture, or the sizes that ``scaled`` gave.
        flops: Of one pass on the task's example.
        params: Parameters, shared ones once.
        steps: Optimizer steps of its own.
        seconds: That these took.
        inherited: Validation metric with the supernet's weights; None for networks from scratch.
        validation: Metric after training.
        test: Likewise.
    """

    kind: str
    share: float
    sizes: dict[str, Any]
    flops: float
    params: int
    steps: int
    seconds: float
    inherited: float | None
    validation: float
    test: float
