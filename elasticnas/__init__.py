"""Neural architecture search on transformers, in which masked, sliced and extracted networks compute the same."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elasticnas import axes as axes
    from elasticnas import contest as contest
    from elasticnas import cost as cost
    from elasticnas import elastic as elastic
    from elasticnas import errors as errors
    from elasticnas import export as export
    from elasticnas import extraction as extraction
    from elasticnas import nn as nn
    from elasticnas import parallel as parallel
    from elasticnas import plugins as plugins
    from elasticnas import report as report
    from elasticnas import run as run
    from elasticnas import search as search
    from elasticnas import space as space
    from elasticnas import study as study
    from elasticnas import testing as testing
    from elasticnas.axes import Axes, Axis
    from elasticnas.elastic import ElasticModel, elastify
    from elasticnas.errors import ElasticNASError
    from elasticnas.extraction import axes_of, bind, check, extract, load, save
    from elasticnas.space import PerLayer, Range, SizesOf, Space, load_space

__version__ = "0.2.0.dev0"

__all__ = [
    "Axes",
    "Axis",
    "ElasticModel",
    "ElasticNASError",
    "PerLayer",
    "Range",
    "SizesOf",
    "Space",
    "axes_of",
    "bind",
    "check",
    "elastify",
    "extract",
    "load",
    "load_space",
    "save",
]

# packages and names are loaded at first use, so that the command line can start without importing torch
_PACKAGES = (
    "axes",
    "contest",
    "cost",
    "elastic",
    "errors",
    "export",
    "extraction",
    "nn",
    "parallel",
    "plugins",
    "report",
    "run",
    "search",
    "space",
    "study",
    "testing",
)
_HOMES = {
    "axes": ("Axes", "Axis"),
    "elastic": ("ElasticModel", "elastify"),
    "errors": ("ElasticNASError",),
    "extraction": ("axes_of", "bind", "check", "extract", "load", "save"),
    "space": ("PerLayer", "Range", "SizesOf", "Space", "load_space"),
}

if not TYPE_CHECKING:  # type checkers would accept any misspelt name

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name in _PACKAGES:
            return import_module(f"elasticnas.{name}")
        for home, names in _HOMES.items():
            if name in names:
                return getattr(import_module(f"elasticnas.{home}"), name)
        raise AttributeError(f"module 'elasticnas' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(["__version__", *__all__, *_PACKAGES])
