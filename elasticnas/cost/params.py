"""Params: number of parameters of the extracted network."""

from torch import nn

from elasticnas.cost.copies import on_meta
from elasticnas.cost.cost import Cost
from elasticnas.extraction import extract_unverified
from elasticnas.space.space import A

__all__ = ["Params"]


class Params(Cost[A]):
    """Number of parameters of the extracted network; shared parameters count once.

    Args:
        model: A model made of elastic primitives.
        example: Not used.
    """

    unit = "parameters"

    def __init__(self, model: nn.Module, example: object = None) -> None:
        super().__init__(model, example)
        self._on_meta = on_meta(model)

    def compute(self, arch: A) -> float:
        """Count the parameters of an architecture."""
        return float(sum(parameter.numel() for parameter in extract_unverified(self._on_meta, arch).parameters()))
