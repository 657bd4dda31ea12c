"""Entrant: one trained network of a contest, with the work that it took."""

from typing import Any

from elasticnas.record import Record

__all__ = ["Entrant", "Work"]


class Work(Record):
    """Work in training steps of the largest network.

    Attributes:
        supernet: Training of the supernet; what is shared counts for every strategy.
        evaluations: Evaluations of architectures during the search.
        training: Training of the network, with its validations.
    """

    supernet: float = 0.0
    evaluations: float = 0.0
    training: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return self.supernet + self.evaluations + self.training


class Entrant(Record):
    """One network of one seed.

    Attributes:
        name: Name of the strategy, or of the baseline.
        seed: Random seed.
        sizes: The architecture, or the sizes that ``scaled`` returned.
        flops: FLOPs of one pass on the example.
        params: Number of parameters.
        inherited: Validation metric with the supernet's weights; None for a network from random weights.
        validation: Best validation metric of the training.
        test: Mean test metric of the weights with this validation metric.
        examples: Number of test examples; 0 if ``test`` returns one number.
        work: Work by part.
        planned: Work that the plan allows; less is used if patience ends the training.
        steps: Training steps of the network.
        best_step: The step of its best validation.
        evaluated: Architectures that were evaluated.
        seconds: Wall-clock time by part.
        device: Name of the device that trained it; empty in files that are older than this field.
        warnings: Warnings of the search.
    """

    name: str
    seed: int
    sizes: dict[str, Any]
    flops: float
    params: int
    inherited: float | None = None
    validation: float
    test: float
    examples: int = 0
    work: Work
    planned: float
    steps: int
    best_step: int
    evaluated: int = 0
    seconds: dict[str, float]
    device: str = ""
    warnings: tuple[str, ...] = ()
