"""A plug-in of elasticnas: multi-layer perceptrons whose widths decrease."""

from funnel.recipe import recipe
from funnel.space import Funnel

__all__ = ["Funnel", "recipe"]
