"""elasticnas: neural architecture search on transformers, with masking, slicing and extraction proven equal."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elasticnas.axes import Axes, Axis
    from elasticnas.elastic import ElasticModel, elastify
    from elasticnas.errors import ElasticNASError
    from elasticnas.extraction import axes_of, check, extract, load, save
    from elasticnas.space import PerLayer, Range, Space, load_space

__version__ = "0.2.0.dev0"

__all__ = [
    "Axes",
    "Axis",
    "ElasticModel",
    "ElasticNASError",
    "PerLayer",
    "Range",
    "Space",
    "axes_of",
    "check",
    "elastify",
    "extract",
    "load",
    "load_space",
    "save",
]

# loaded at first use: the command line can then answer before torch is there
_HOMES = {
    "axes": ("Axes", "Axis"),
    "elastic": ("ElasticModel", "elastify"),
    "errors": ("ElasticNASError",),
    "extraction": ("axes_of", "check", "extract", "load", "save"),
    "space": ("PerLayer", "Range", "Space", "load_space"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"elasticnas.{home}"), name)
    raise AttributeError(f"module 'elasticnas' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
