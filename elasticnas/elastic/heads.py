"""Heads stay whole: a prefix of (heads head_dim) cuts through heads where head_dim changes."""

import re
from collections.abc import Mapping, Sequence

from elasticnas.elastic.layouts import Layout, suggestion
from elasticnas.elastic.probe import Probe
from elasticnas.errors import AxisError

__all__ = ["refuse_cut_heads"]

_COUNT = re.compile(r"(?!.*(dim|size|type|name|layer)).*heads?|nhead")


def refuse_cut_heads(full: Probe, probes: Sequence[Probe], layouts: Mapping[str, Layout]) -> None:
    """Refuse a module that counts its heads, whose head width changes, and that no rule is about.

    Raises:
        AxisError: Names the tensor and the rule to write.
    """
    for path, attribute in _counts(full).items():
        inside = [layout for name, layout in layouts.items() if not path or name.startswith(f"{path}.")]
        if any(layout.source != "probing" for layout in inside):
            continue
        key = f"{path}.{attribute}".lstrip(".")
        for layout in inside:
            for dim, dimension in enumerate(layout.dimensions):
                if dimension.how != "fixed" and _width_changes([full, *probes], layout.name, dim, key):
                    rule = suggestion(layout.name, len(layout.shape), dim, f"({attribute} head_dim)")
                    raise AxisError(
                        f"{layout.name}, dimension {dim}, moves with {dimension.label} while {path or 'the model'} has "
                        f"{attribute}={full.attributes[key]}: a prefix would cut through its heads; declare the "
                        f"layouts of its projections, such as {rule}, or '_' for every dimension that holds no heads"
                    )


def _counts(full: Probe) -> dict[str, str]:
    """The attribute of every module that counts heads."""
    found: dict[str, str] = {}
    for name, value in full.attributes.items():
        path, _, attribute = name.rpartition(".")
        if type(value) is int and value > 1 and _COUNT.fullmatch(attribute) and path in full.modules:
            found.setdefault(path, attribute)
    return found


def _width_changes(probes: Sequence[Probe], name: str, dim: int, key: str) -> bool:
    """Whether a dimension could hold heads, of different widths in the probes."""
    widths = set()
    for probe in probes:
        if name in probe.tensors and key in probe.attributes:
            size, heads = probe.tensors[name][1][dim], probe.attributes[key]
            if size % heads:
                return False
            widths.add(size // heads)
    return len(widths) > 1
