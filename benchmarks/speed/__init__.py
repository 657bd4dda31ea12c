"""Measurements of speed and memory as ratios, one per file."""

from importlib import import_module
from types import ModuleType

__all__ = ["PARTS", "load_part"]

PARTS = (
    "supernet-step",
    "subnetwork",
    "compilation",
    "inference",
    "streaming",
    "long-sequences",
    "catalogues",
    "machine-share",
    "start-up",
    "search-memory",
)


def load_part(name: str) -> ModuleType:
    """Import a part: it has a ``TITLE``, a ``TEXT`` that describes the comparison, and ``measure(scale) -> Measured``.

    Each is imported alone, so that a library that lacks what one part measures can be measured by the others.
    """
    return import_module(f"speed.{name.replace('-', '_')}")
