"""Fitting: find the axis that a dimension depends on, from its sizes in the probes."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from elasticnas.axes import Axes
from elasticnas.elastic.layouts import Dimension
from elasticnas.elastic.probe import Probe

__all__ = ["axis_values", "fit"]


def fit(series: Mapping[str, list[int]], probes: Sequence[Probe], name: str, dim: int) -> Dimension:
    """Find how the size of one dimension of a tensor depends on the axes.

    Args:
        series: Values of the axes in the probes.
        probes: The probes that have the tensor, the largest architecture first.
        name: Name of the tensor in the supernet.
        dim: The dimension.
    """
    sizes = [probe.tensors[name][1][dim] for probe in probes]
    if len(set(sizes)) == 1:
        return Dimension("fixed", str(sizes[0]))
    for axis, values in series.items():
        if values == sizes:
            return Dimension("axis", axis)
    for axis, values in series.items():
        if sizes[0] % values[0] == 0 and _proportional(sizes, values):
            return Dimension("size", f"{sizes[0] // values[0]} {axis}", axes=(axis,))
    if (pair := _pair(series, sizes)) is not None:
        factor = sizes[0] // (series[pair[0]][0] * series[pair[1]][0])
        return Dimension("size", " ".join((*([str(factor)] if factor > 1 else []), *pair)), axes=pair)
    for axis, values in series.items():
        if len({size - value for size, value in zip(sizes, values, strict=True)}) == 1:
            return Dimension("size", f"{axis} + {sizes[0] - values[0]}", axes=(axis,))
    moved = [probe.changed for probe, size in zip(probes, sizes, strict=True) if size != sizes[0]]
    alone = sorted({choice for changed in moved if len(changed) == 1 for choice in changed})
    origins = tuple(alone or sorted({choice for changed in moved for choice in changed}))
    return Dimension("size", f"from {', '.join(origins)}", axes=origins)


def axis_values(axes: Axes, probes: Sequence[Probe]) -> dict[str, list[int]]:
    """Return the values in the probes of every axis that varies."""
    found = {}
    for axis in axes.all():
        if axis.is_number:
            values = [axis.quantity.getter(probe.arch) for probe in probes]
            if len(set(values)) > 1 and all(isinstance(value, int) and value > 0 for value in values):
                found[axis.name] = values
    return found


def _proportional(sizes: Sequence[int], values: Sequence[int]) -> bool:
    return all(size * values[0] == sizes[0] * value for size, value in zip(sizes, values, strict=True))


def _pair(series: Mapping[str, list[int]], sizes: Sequence[int]) -> tuple[str, str] | None:
    """Return two axes whose product is proportional to the sizes, or None."""
    for (a, first), (b, second) in combinations(series.items(), 2):
        products = [x * y for x, y in zip(first, second, strict=True)]
        if sizes[0] % products[0] == 0 and _proportional(sizes, products):
            return a, b
    return None
