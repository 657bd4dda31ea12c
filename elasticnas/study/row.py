"""Row: one trained network of a comparison."""

from typing import Any, Final, Literal, TypeAlias

from elasticnas.record import Record

__all__ = ["KINDS", "SCRATCH", "SEARCHED", "UNIFORM", "Kind", "Row", "label"]

Kind: TypeAlias = Literal["searched", "scratch", "uniform"]

SEARCHED: Final = "searched"
SCRATCH: Final = "scratch"
UNIFORM: Final = "uniform"
KINDS: tuple[Kind, ...] = (SEARCHED, SCRATCH, UNIFORM)
_LABELS: dict[Kind, str] = {
    SEARCHED: "searched, inherits weights",
    SCRATCH: "searched, from scratch",
    UNIFORM: "uniformly scaled, from scratch",
}
# at all of the FLOPs nothing was searched or scaled
_WHOLE: dict[Kind, str] = {SEARCHED: "largest, inherits weights", UNIFORM: "largest, from scratch"}


def label(kind: Kind, share: float) -> str:
    """What a row is called."""
    return _WHOLE[kind] if share == 1.0 else _LABELS[kind]


class Row(Record):
    """One network.

    Attributes:
        kind: Searched and inheriting weights, searched and from scratch, or uniformly scaled.
        share: Of the largest network's FLOPs, at most; the one that it was chosen or made for.
        sizes: The architecture, or the sizes that ``scaled`` gave.
        flops: Of one pass on the task's example.
        params: Parameters, shared ones once.
        steps: Optimizer steps of its own.
        seconds: That these took.
        inherited: Validation metric with the supernet's weights; None for networks from scratch.
        validation: Metric after training.
        test: Likewise.
        interval: 95 % interval of ``test`` over the test examples; None where there is one value alone.
        examples: How many of them; 0 where there is one value alone.
    """

    kind: Kind
    share: float
    sizes: dict[str, Any]
    flops: float
    params: int
    steps: int
    seconds: float
    inherited: float | None
    validation: float
    test: float
    interval: tuple[float, float] | None = None
    examples: int = 0

    @property
    def label(self) -> str:
        """Its name in tables."""
        return label(self.kind, self.share)
