"""Row: one trained network of a study."""

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
# the networks with all of the FLOPs are neither searched nor scaled
_LARGEST_LABELS: dict[Kind, str] = {SEARCHED: "largest, inherits weights", UNIFORM: "largest, from scratch"}


def label(kind: Kind, share: float) -> str:
    """Return the name of a kind of network, for tables and plots."""
    return _LARGEST_LABELS[kind] if share == 1.0 else _LABELS[kind]


class Row(Record):
    """One trained network.

    Attributes:
        kind: Searched and inheriting weights, searched and from scratch, or uniformly scaled.
        share: The share of the largest network's FLOPs that it was chosen or scaled for.
        sizes: The architecture, or the sizes that ``scaled`` returned.
        flops: FLOPs of one pass on the example.
        params: Number of parameters; shared ones count once.
        steps: Optimizer steps of the network itself.
        seconds: Time of these steps.
        inherited: Validation metric with the supernet's weights, before training; None for networks from scratch.
        validation: Validation metric after training.
        test: Test metric after training.
        interval: 95% confidence interval of ``test`` over the test examples; None if there is only one value.
        examples: Number of test examples; 0 if there is only one value.
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
        """Name in tables."""
        return label(self.kind, self.share)
