"""Row: one trained network of a comparison."""

from dataclasses import dataclass
from typing import Any

__all__ = ["SCRATCH", "SEARCHED", "UNIFORM", "Row", "label"]

SEARCHED, SCRATCH, UNIFORM = "searched", "scratch", "uniform"
_LABELS = {
    SEARCHED: "searched, inherits weights",
    SCRATCH: "searched, from scratch",
    UNIFORM: "uniformly scaled, from scratch",
}
_WHOLE = {SEARCHED: "largest, inherits weights", UNIFORM: "largest, from scratch"}


def label(kind: str, share: float) -> str:
    """What a row is called; at the whole of the FLOPs nothing was searched or scaled."""
    return _WHOLE[kind] if share == 1.0 else _LABELS[kind]


@dataclass(frozen=True)
class Row:
    """One network.

    Attributes:
        kind: ``searched``, ``scratch`` or ``uniform``.
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
