"""Heads stay whole: a prefix of (heads head_dim) cuts through heads where head_dim changes."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from elasticnas.elastic.layouts import Layout, starred, suggestion
from elasticnas.elastic.probe import Probe
from elasticnas.errors import AxisError

__all__ = ["refuse_cut_heads"]

_COUNT = re.compile(r"(?!.*(dim|size|type|name|layer)).*heads?|nhead")

Factors = Callable[[Layout, Probe], tuple[tuple[int, ...], ...]]


@dataclass(frozen=True)
class _Composite:
    """A dimension that a rule takes apart, such as ``(3 heads head_dim)``.

    Attributes:
        tensor: Its name.
        names: Of its factors, numbers left out.
        sizes: Their products by probe.
        cut: Whether an inner factor shrinks: a prefix would then not hold the first units of each.
    """

    tensor: str
    names: tuple[str, ...]
    sizes: Mapping[int, int]
    cut: bool


def refuse_cut_heads(probes: Sequence[Probe], layouts: Mapping[str, Layout], factors: Factors) -> None:
    """Refuse a tensor without a rule that a prefix would cut through heads.

    In a module whose heads some rule is about, that is every dimension of the size of those heads; in one that only
    counts heads, every dimension that they could make up, if their width changes.

    Args:
        probes: Of the largest architecture first.
        layouts: By tensor name.
        factors: Sizes of the factors of a tensor's dimensions in a probe.

    Raises:
        AxisError: Names the tensors and the rule to write.
    """
    counts = _counts(probes[0])
    composites: dict[str, list[_Composite]] = {}
    for layout in layouts.values():
        for found in _composites(layout, [probe for probe in probes if layout.name in probe.tensors], factors):
            composites.setdefault(_innermost(layout.name, counts) or _holder(layout.name), []).append(found)
    holders = counts.keys() | composites.keys()
    problems: dict[str, list[tuple[Layout, str]]] = {}
    for layout in layouts.values():
        path = _innermost(layout.name, holders)
        if layout.source != "probing" or path is None:
            continue
        moving = [dim for dim, dimension in enumerate(layout.dimensions) if dimension.how != "fixed"]
        if path in composites:
            for composite in composites[path]:
                dims = [dim for dim in moving if composite.cut and _holds(composite, probes, layout.name, dim)]
                if dims:
                    problems.setdefault(path, []).append((layout, _of_rule(layout, dims, composite)))
                    break
        elif not any(_inside(other, path) for other in holders if other != path):
            key = f"{path}.{counts[path]}".lstrip(".")
            dims = [dim for dim in moving if _width_changes(probes, layout.name, dim, key)]
            if dims:
                text = _of_count(layout, dims[0], path, counts[path], probes[0].attributes[key])
                problems.setdefault(path, []).append((layout, text))
    for found_here in problems.values():
        names = dict.fromkeys(starred(layout.name) for layout, _ in found_here)
        # the rule of a linear layer's weight is its bias' as well
        linear = {starred(layout.name) for layout, _ in found_here if len(layout.shape) == 2}
        others = [name for name in list(names)[1:] if f"{name.removesuffix('bias')}weight" not in linear - {name}]
        raise AxisError(f"{found_here[0][1]}{'; likewise for ' + ', '.join(others) if others else ''}")


def _of_rule(layout: Layout, dims: Sequence[int], composite: _Composite) -> str:
    names = f"({' '.join(name.rpartition('.')[2] for name in composite.names)})"
    rule = suggestion(layout.name, len(layout.shape), dims[-1], names)
    return (
        f"{layout.name}, dimension {' and '.join(map(str, dims))}, moves with {layout.dimensions[dims[0]].label} as "
        f"{names} of {composite.tensor} does: a prefix would cut through its heads; say what it holds by a rule, such "
        f"as {rule}, or '_' for every dimension that holds no heads"
    )


def _of_count(layout: Layout, dim: int, path: str, attribute: str, count: int) -> str:
    rule = suggestion(layout.name, len(layout.shape), dim, f"({attribute} head_dim)")
    return (
        f"{layout.name}, dimension {dim}, moves with {layout.dimensions[dim].label} while {path or 'the model'} has "
        f"{attribute}={count}: a prefix would cut through its heads; declare the layouts of its projections, such as "
        f"{rule}, or '_' for every dimension that holds no heads"
    )


def _composites(layout: Layout, here: Sequence[Probe], factors: Factors) -> Iterator[_Composite]:
    for dim, dimension in enumerate(layout.dimensions):
        places = [place for place, name in enumerate(dimension.factors) if not name.isdigit()]
        if len(places) > 1:
            sizes = [[factors(layout, probe)[dim][place] for place in places] for probe in here]
            cut = any(len(set(values)) > 1 for values in list(zip(*sizes, strict=True))[1:])
            products = {id(probe): prod(values) for probe, values in zip(here, sizes, strict=True)}
            yield _Composite(layout.name, tuple(dimension.factors[place] for place in places), products, cut)


def _holds(composite: _Composite, probes: Sequence[Probe], name: str, dim: int) -> bool:
    """Whether a dimension is one or several times the composite in every probe."""
    here = [probe for probe in probes if name in probe.tensors and id(probe) in composite.sizes]
    ratios = {(probe.tensors[name][1][dim], composite.sizes[id(probe)]) for probe in here}
    return all(size % units == 0 for size, units in ratios) and len({size // units for size, units in ratios}) == 1


def _innermost(name: str, paths: Mapping[str, object] | set[str]) -> str | None:
    return max((path for path in paths if _inside(name, path)), key=len, default=None)


def _inside(name: str, path: str) -> bool:
    return not path or name.startswith(f"{path}.")


def _holder(name: str) -> str:
    """Path of the module whose projection a tensor belongs to: its parent, or that of a layer's weight or bias."""
    parts = name.split(".")
    return ".".join(parts[:-2] if parts[-1] in ("weight", "bias") else parts[:-1])


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
