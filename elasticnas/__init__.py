"""elasticnas: neural architecture search on transformers, with masking, slicing and extraction proven equal."""

from elasticnas.axes import Axes, Axis
from elasticnas.errors import ElasticNASError
from elasticnas.extraction import axes_of, check, extract, load, save
from elasticnas.space import PerLayer, Range, Space, load_space

__version__ = "0.1.0"

__all__ = [
    "Axes",
    "Axis",
    "ElasticNASError",
    "PerLayer",
    "Range",
    "Space",
    "axes_of",
    "check",
    "extract",
    "load",
    "load_space",
    "save",
]
