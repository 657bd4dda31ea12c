"""Measurements of speed and memory as ratios, one per file."""

from types import ModuleType

from speed import (
    catalogues,
    compilation,
    inference,
    long_sequences,
    machine_share,
    search_memory,
    start_up,
    streaming,
    subnetwork,
    supernet_step,
)

__all__ = ["PARTS"]

PARTS: dict[str, ModuleType] = {
    "supernet-step": supernet_step,
    "subnetwork": subnetwork,
    "compilation": compilation,
    "inference": inference,
    "streaming": streaming,
    "long-sequences": long_sequences,
    "catalogues": catalogues,
    "machine-share": machine_share,
    "start-up": start_up,
    "search-memory": search_memory,
}
"""Each has a ``TITLE``, a ``TEXT`` that describes the comparison, and ``measure(scale) -> Measured``."""
