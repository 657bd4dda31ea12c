"""Fitting: find the axis that a dimension depends on, from its sizes in the probes."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from elasticnas.axes import Axes
from elasticnas.elastic.layouts import Dimension, suggestion
from elasticnas.elastic.probe import Probe
from elasticnas.errors import AxisError

__all__ = ["axis_values", "fit"]


def fit(series: Mapping[str, list[int]], probes: Sequence[Probe], name: str, dim: int) -> Dimension:
    """Find how one dimension of a tensor depends on the axes.

    Args:
        series: Values of the axes in the probes.
        probes: The probes that have the tensor, the largest architecture first.
        name: Name of the tensor in the supernet.
        dim: The dimension.

    Raises:
        AxisError: It depends on two axes; the message has the rule to write.
    """
    shape = probes[0].tensors[name][1]
    sizes = [probe.tensors[name][1][dim] for probe in probes]
    if len(set(sizes)) == 1:
        return Dimension("fixed", str(shape[dim]))
    for axis, values in series.items():
        if values == sizes:
            return Dimension("found", axis)
    for axis, values in series.items():
        if sizes[0] % values[0] == 0 and _proportional(sizes, values):
            return Dimension("assumed", f"{sizes[0] // values[0]} {axis}", axes=(axis,))
    moved = [probe.changed for probe, size in zip(probes, sizes, strict=True) if size != sizes[0]]
    alone = sorted({choice for changed in moved if len(changed) == 1 for choice in changed})
    pair = _pair(series, sizes) or (tuple(alone) if len(alone) > 1 else None)
    if pair is not None:
        layout = suggestion(name, len(shape), dim, f"({' '.join(pair)})")
        raise AxisError(
            f"{name}, dimension {dim}, depends on {' and '.join(pair)}: which units a sub-network takes needs a rule, "
            f"such as {layout} (the outermost factor first)"
        )
    for axis, values in series.items():
        if len({size - value for size, value in zip(sizes, values, strict=True)}) == 1:
            return Dimension("assumed", f"{axis} + {sizes[0] - values[0]}", axes=(axis,))
    origins = tuple(alone or sorted({choice for changed in moved for choice in changed}))
    return Dimension("assumed", f"from {', '.join(origins)}", axes=origins)


def axis_values(axes: Axes, probes: Sequence[Probe]) -> dict[str, list[int]]:
    """Return the values in the probes of every axis that varies."""
    found = {}
    for axis in axes.all():
        if axis.is_number:
            values = [int(axis.quantity.getter(probe.arch)) for probe in probes]
            if len(set(values)) > 1 and min(values) > 0:
                found[axis.name] = values
    return found


def _proportional(sizes: Sequence[int], values: Sequence[int]) -> bool:
    return all(size * values[0] == sizes[0] * value for size, value in zip(sizes, values, strict=True))


def _pair(series: Mapping[str, list[int]], sizes: Sequence[int]) -> tuple[str, str] | None:
    """Return two axes whose product is proportional to the sizes, or None."""
    for (a, first), (b, second) in combinations(series.items(), 2):
        if _proportional(sizes, [x * y for x, y in zip(first, second, strict=True)]):
            return a, b
    return None
