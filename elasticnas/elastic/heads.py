"""Check that no head is split: if head_dim changes, a prefix of (heads head_dim) does not keep units of each head."""

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
    """A dimension that a rule declares as a product, such as ``(3 heads head_dim)``.

    Attributes:
        tensor: Name of the tensor.
        names: Names of the factors, without numbers.
        sizes: Product of these factors, by the id of the probe.
        cut: Whether an inner factor varies, so that a prefix does not hold the first units of every factor.
    """

    tensor: str
    names: tuple[str, ...]
    sizes: Mapping[int, int]
    cut: bool


def refuse_cut_heads(probes: Sequence[Probe], layouts: Mapping[str, Layout], factors: Factors) -> None:
    """Refuse a tensor without a rule if taking a prefix would split heads.

    In a module with a rule for composite dimensions, these are the dimensions whose size is a multiple of such a
    composite. In a module that only has an attribute with its number of heads, these are the dimensions that could
    consist of heads of varying width.

    Args:
        probes: The probes, the largest architecture first.
        layouts: The layouts by tensor name.
        factors: Returns the sizes of the factors of a tensor's dimensions in a probe.

    Raises:
        AxisError: A tensor needs a rule; the message has the rule to write.
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
        varying = [dim for dim, dimension in enumerate(layout.dimensions) if dimension.how != "fixed"]
        if path in composites:
            for composite in composites[path]:
                dims = [dim for dim in varying if composite.cut and _is_multiple(composite, probes, layout.name, dim)]
                if dims:
                    problems.setdefault(path, []).append((layout, _cut_by_composite(layout, dims, composite)))
                    break
        elif not any(_is_inside(other, path) for other in holders if other != path):
            key = f"{path}.{counts[path]}".lstrip(".")
            dims = [dim for dim in varying if _width_changes(probes, layout.name, dim, key)]
            if dims:
                text = _cut_by_count(layout, dims[0], path, counts[path], probes[0].attributes[key])
                problems.setdefault(path, []).append((layout, text))
    for found_here in problems.values():
        names = dict.fromkeys(starred(layout.name) for layout, _ in found_here)
        # the rule for a linear layer's weight also applies to its bias
        linear = {starred(layout.name) for layout, _ in found_here if len(layout.shape) == 2}
        others = [name for name in list(names)[1:] if f"{name.removesuffix('bias')}weight" not in linear - {name}]
        raise AxisError(f"{found_here[0][1]}{'; the same for ' + ', '.join(others) if others else ''}")


def _cut_by_composite(layout: Layout, dims: Sequence[int], composite: _Composite) -> str:
    names = f"({' '.join(name.rpartition('.')[2] for name in composite.names)})"
    rule = suggestion(layout.name, len(layout.shape), dims[-1], names)
    return (
        f"{layout.name}, dimension {' and '.join(map(str, dims))}, depends on {layout.dimensions[dims[0]].label} like "
        f"{names} of {composite.tensor}, so that taking a prefix would split its heads: give a rule for its layout, "
        f"such as {rule}, with '_' for every dimension without heads"
    )


def _cut_by_count(layout: Layout, dim: int, path: str, attribute: str, count: int) -> str:
    rule = suggestion(layout.name, len(layout.shape), dim, f"({attribute} head_dim)")
    return (
        f"{layout.name}, dimension {dim}, depends on {layout.dimensions[dim].label} while {path or 'the model'} has "
        f"{attribute}={count}, so that taking a prefix would split its heads: give rules for the layouts of its "
        f"projections, such as {rule}, with '_' for every dimension without heads"
    )


def _composites(layout: Layout, here: Sequence[Probe], factors: Factors) -> Iterator[_Composite]:
    for dim, dimension in enumerate(layout.dimensions):
        places = [place for place, name in enumerate(dimension.factors) if not name.isdigit()]
        if len(places) > 1:
            sizes = [[factors(layout, probe)[dim][place] for place in places] for probe in here]
            cut = any(len(set(values)) > 1 for values in list(zip(*sizes, strict=True))[1:])
            products = {id(probe): prod(values) for probe, values in zip(here, sizes, strict=True)}
            yield _Composite(layout.name, tuple(dimension.factors[place] for place in places), products, cut)


def _is_multiple(composite: _Composite, probes: Sequence[Probe], name: str, dim: int) -> bool:
    """Return whether a dimension is the same multiple of the composite in every probe."""
    here = [probe for probe in probes if name in probe.tensors and id(probe) in composite.sizes]
    ratios = {(probe.tensors[name][1][dim], composite.sizes[id(probe)]) for probe in here}
    return all(size % units == 0 for size, units in ratios) and len({size // units for size, units in ratios}) == 1


def _innermost(name: str, paths: Mapping[str, object] | set[str]) -> str | None:
    return max((path for path in paths if _is_inside(name, path)), key=len, default=None)


def _is_inside(name: str, path: str) -> bool:
    return not path or name.startswith(f"{path}.")


def _holder(name: str) -> str:
    """Return the path of the module that holds a tensor, or, for a weight or bias, of the module around its layer."""
    parts = name.split(".")
    return ".".join(parts[:-2] if parts[-1] in ("weight", "bias") else parts[:-1])


def _counts(full: Probe) -> dict[str, str]:
    """Return the attribute with the number of heads, by the path of each module that has one."""
    found: dict[str, str] = {}
    for name, value in full.attributes.items():
        path, _, attribute = name.rpartition(".")
        if type(value) is int and value > 1 and _COUNT.fullmatch(attribute) and path in full.modules:
            found.setdefault(path, attribute)
    return found


def _width_changes(probes: Sequence[Probe], name: str, dim: int, key: str) -> bool:
    """Return whether a dimension could hold heads whose width differs between the probes."""
    widths = set()
    for probe in probes:
        if name in probe.tensors and key in probe.attributes:
            size, heads = probe.tensors[name][1][dim], probe.attributes[key]
            if size % heads:
                return False
            widths.add(size // heads)
    return len(widths) > 1
