"""Proven layouts: what verdicts say about every dimension, written with the names of axes and attributes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from elasticnas.elastic.behaviour import Dim
from elasticnas.elastic.cases import Case, kind_of
from elasticnas.elastic.expressions import Expression, Name, Product
from elasticnas.elastic.layouts import Dimension, Layout, starred
from elasticnas.elastic.linear import input_dim
from elasticnas.elastic.naming import Unnamed, express
from elasticnas.elastic.parts import Part, Prefix
from elasticnas.elastic.probe import Probe, tensors
from elasticnas.elastic.probing import Probing
from elasticnas.elastic.proof import Verdict
from elasticnas.errors import AxisError

__all__ = ["ProvenLayouts"]


class ProvenLayouts:
    """Writes the units that verdicts found as layouts.

    Args:
        probing: The axes, and what the sizes of models say.
        base: The large model of all cases.
        cases: The cases.
        layouts: The layouts by sizes and rules, by tensor.
    """

    def __init__(self, probing: Probing, base: Probe, cases: Sequence[Case], layouts: Mapping[str, Layout]) -> None:
        self.probing, self.base, self.cases, self._before = probing, base, cases, layouts
        self._probes = [base, *(case.small for case in cases)]
        self._groups = [_by_name(case.groups(probing.layered)) for case in cases]

    def of(self, verdicts: Sequence[Verdict]) -> list[Layout]:
        """Return the layouts of all tensors.

        Args:
            verdicts: The verdict of each case.

        Raises:
            AxisError: The units of a dimension cannot be written with the names of axes and attributes.
        """
        by_kind: dict[Any, tuple[Dimension, ...]] = {}
        first: dict[int, str] = {}
        alias = {name: first.setdefault(id(tensor), name) for name, tensor in tensors(self.base.model)}
        for name, (own, _) in self.base.tensors.items():
            by_kind.setdefault(kind_of(self.probing, name), self._dimensions(name, alias.get(own, own), verdicts))
        found = []
        for name, layout in self._before.items():
            dimensions = by_kind[kind_of(self.probing, name)]
            source = "behaviour" if any(d.how == "proven" for d in dimensions) else layout.source
            found.append(replace(layout, dimensions=dimensions, source=source))
        return [self._with_companion(layout, found) for layout in found]

    def _dimensions(self, name: str, own: str, verdicts: Sequence[Verdict]) -> tuple[Dimension, ...]:
        return tuple(
            self._dimension(name, (own, dim), dimension, verdicts)
            for dim, dimension in enumerate(self._before[name].dimensions)
        )

    def _dimension(self, name: str, dim: Dim, before: Dimension, verdicts: Sequence[Verdict]) -> Dimension:
        reps = [_stand_in(groups, verdict, dim) for groups, verdict in zip(self._groups, verdicts, strict=True)]
        if before.how == "rule":
            agrees = any(rep in verdict.proven for verdict, rep in zip(verdicts, reps, strict=True))
            return replace(before, note="" if agrees else before.note)
        if before.how == "fixed":
            return before
        found = [verdict.parts.get(rep) for verdict, rep in zip(verdicts, reps, strict=True)]
        size = self.base.tensors[name][1][dim[1]]
        parts = [part if part is not None else Prefix(size, size) for part in found]
        varying = [
            (verdict, rep) for verdict, rep, part in zip(verdicts, reps, parts, strict=True) if not part.is_whole
        ]
        expression = self._expression(name, dim, parts)
        if expression is None and any(rep in verdict.proven for verdict, rep in varying):
            expression = self._blocks(before, size)
        label = before.label if expression is None else f"({expression.text()})"
        if any(rep in verdict.proven for verdict, rep in varying):
            note = "queries regrouped" if any(rep in verdict.regrouped for verdict, rep in varying) else ""
            return Dimension("proven", label, expression, before.axes, note)
        if varying and all(rep in verdict.without_effect for verdict, rep in varying):
            return Dimension("no effect", label, expression, before.axes)
        return replace(before, label=label, expression=expression)

    def _blocks(self, dimension: Dimension, size: int) -> Expression | None:
        """Return the factors of a dimension of several units for each of an axis that no layer reads, such as heads."""
        if dimension.how != "size" or len(dimension.axes) != 1 or dimension.axes[0] in self._read:
            return None
        (axis,) = dimension.axes
        each = self.probing.axis_getter(self.base.arch)(axis)
        if each is None or size % each or dimension.label != f"{size // each} {axis}":
            return None
        return Product((Name(axis), Name(str(size // each))))

    @cached_property
    def _read(self) -> set[str]:
        """Axes that are the number of inputs of a linear layer."""
        found = set()
        for name, (own, shape) in self.base.tensors.items():
            read = input_dim(self.base.model.get_submodule(own.rpartition(".")[0])) if len(shape) > 1 else None
            if read is not None:
                found.add(self._before[name].dimensions[read].label)
        return found

    def _expression(self, name: str, dim: Dim, parts: Sequence[Part]) -> Expression | None:
        probes = self._probes
        before = self._before[name].dimensions[dim[1]]
        own = {before.label, *before.axes}
        # the entries of a per-layer choice change together here, and sizes in all probes tell which one it is
        siblings = {starred(f"{axis}.") for axis in own}
        axes = {
            axis.name: [axis.quantity.getter(probe.arch) for probe in probes]
            for axis in self.probing.axes.all()
            if axis.is_number and (axis.name in own or starred(f"{axis.name}.") not in siblings)
        }
        attributes = self._attributes(dim[0], probes)
        taken = frozenset((*axes, *attributes))
        try:
            return express(parts, axes, taken)
        except Unnamed:
            try:
                return express(parts, {**axes, **attributes}, taken)
            except Unnamed as problem:
                raise AxisError(
                    f"{name}, dimension {dim[1]}, depends on several sizes, and {problem}: give a rule with its layout"
                ) from None

    def _attributes(self, own: str, probes: Sequence[Probe]) -> dict[str, list[int]]:
        """Return the integer attributes of the module of a tensor and of those around it, in every model."""
        found: dict[str, list[int]] = {}
        parts = own.split(".")[:-1]
        for count in range(len(parts), -1, -1):
            path = ".".join(parts[:count])
            try:
                modules = [probe.model.get_submodule(path) for probe in probes]
            except AttributeError:
                continue
            for key, value in vars(modules[0]).items():
                values = [vars(module).get(key) for module in modules]
                if type(value) is int and key not in found and all(type(v) is int and v > 0 for v in values):
                    found[key] = [v for v in values if isinstance(v, int)]
        return found

    def _with_companion(self, layout: Layout, layouts: Sequence[Layout]) -> Layout:
        """Give a vector without effect or of statistics the units of the weight of its module."""
        dimension = layout.dimensions[0] if len(layout.dimensions) == 1 else None
        if dimension is None or dimension.how not in ("no effect", "axis", "size"):
            return layout
        path = layout.name.rpartition(".")[0]
        weight = next((other for other in layouts if other.name == f"{path}.weight".lstrip(".")), None)
        if weight is None or weight is layout:
            return layout
        read = input_dim(
            self.probing.full.model.get_submodule(self.probing.full.tensors[layout.name][0].rpartition(".")[0])
        )
        dim = 0 if read is None or len(weight.shape) < 2 else 1 - read
        other = weight.dimensions[dim]
        if weight.shape[dim] != layout.shape[0] or other.how not in ("proven", "rule"):
            return layout
        return replace(layout, dimensions=(replace(other, note=""),), source=weight.source)


def _by_name(groups: Sequence[list[str]]) -> dict[str, list[str]]:
    return {name: group for group in groups for name in group}


def _stand_in(groups: Mapping[str, list[str]], verdict: Verdict, dim: Dim) -> Dim:
    """Return the dimension that stands for those of the same kind in other layers."""
    name, number = dim
    return next(((other, number) for other in groups.get(name, ()) if (other, number) in verdict.parts), dim)
