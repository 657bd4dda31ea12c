"""Probing: find the axes of every dimension of every tensor from models built with each size changed."""

from dataclasses import replace
from typing import Any

from torch import nn

from elasticnas.axes import Axes
from elasticnas.elastic.building import Builder
from elasticnas.elastic.depth import ChosenLayers
from elasticnas.elastic.fitting import axis_values, fit
from elasticnas.elastic.heads import refuse_cut_heads
from elasticnas.elastic.layouts import Dimension, Layout, Rule, factor_sizes, suggestion
from elasticnas.elastic.linear import input_dim
from elasticnas.elastic.probe import Probe, beyond, variants
from elasticnas.errors import AxisError, ConfigError

__all__ = ["Probing"]


class Probing:
    """The layouts of a model's tensors.

    Args:
        builder: Builds the models.
        axes: The axes of the space.
        full: The largest model; only its shapes are used.
        rules: Rules for tensors, those of the caller before those of families.
        layers: Rules for stacks of layers.

    Attributes:
        layouts: The layouts by tensor name.
        full: The probe of the largest architecture.
        neighbours: Probes that differ from it in one choice, or in as few as the rules allow.

    Raises:
        AxisError: A dimension depends on two axes, heads would be split, or a rule does not match.
        ConfigError: Some architecture has a tensor that the largest does not have, or ties other tensors.
    """

    def __init__(self, builder: Builder, axes: Axes, full: nn.Module, rules: list[Rule], layers: ChosenLayers) -> None:
        self.axes, self.layers, self._builder, self._rules = axes, layers, builder, rules
        self.full = Probe(axes.space.largest(), full, layers)
        self.neighbours = [Probe(arch, builder.shapes(arch), layers) for arch in variants(axes.space)]
        archs = [self.full.arch, *(probe.arch for probe in self.neighbours)]
        further = [Probe(arch, builder.shapes(arch), layers) for arch in beyond(axes, archs)]
        self.probes = [self.full, *self.neighbours, *further]
        self._numbers = {axis.name: axis.quantity for axis in axes.all() if axis.is_number}
        self._series: dict[tuple[int, ...], dict[str, list[int]]] = {}
        self._factor_sizes: dict[tuple[str, int], tuple[tuple[int, ...], ...]] = {}
        self._full_factors: dict[str, tuple[tuple[int, ...], ...]] = {}  # in the largest model, which is probed first
        for probe in self.probes[1:]:
            for name, (own, shape) in probe.tensors.items():
                self.require(name, own, shape, probe.arch)
            self.require_same_ties(probe.model, probe.arch)
        self.layouts = {name: self._layout(name, shape) for name, (_, shape) in self.full.tensors.items()}
        refuse_cut_heads(self.probes, self.layouts, self._factors_in)

    def reached(self) -> set[str]:
        """Return the choices that change a shape, the set of modules, or an attribute of a module or its config."""
        found: set[str] = set()
        for probe in self.neighbours:
            same = all(
                getattr(probe, what) == getattr(self.full, what) for what in ("tensors", "modules", "attributes")
            )
            found |= frozenset() if same else probe.changed
        return found

    def require(self, source: str, own: str, shape: tuple[int, ...], arch: Any) -> None:
        """Check that the largest model has a tensor of some architecture's model.

        Raises:
            ConfigError: It does not.
        """
        if source not in self.full.tensors:
            call = self._builder.factory.call(arch)
            raise ConfigError(
                f"{call} has {own} {shape}, which the largest model does not have: a supernet "
                "holds one set of weights, so the largest must have every tensor of the others"
            )

    def require_same_ties(self, model: nn.Module, arch: Any) -> None:
        """Check that the model of an architecture ties the same parameters as the largest model.

        Raises:
            ConfigError: Two parameters are tied in only one of the models.
        """
        full = dict(self.full.model.named_parameters(remove_duplicate=False))
        ours: dict[int, tuple[int, str]] = {}  # id of the supernet's parameter for each, and a name
        theirs: dict[int, tuple[int, str]] = {}
        for name, parameter in model.named_parameters(remove_duplicate=False):
            own, whole = id(parameter), id(full[self.layers.source(name, arch)])
            for tied, other, where, apart in (
                (ours.setdefault(own, (whole, name)), whole, arch, self.full.arch),
                (theirs.setdefault(whole, (own, name)), own, self.full.arch, arch),
            ):
                if tied[0] != other:
                    call = self._builder.factory.call
                    raise ConfigError(
                        f"{call(where)} ties {name} to {tied[1]}, {call(apart)} does not: "
                        "a supernet holds one set of weights; tie them at every size or at none"
                    )

    def _rule(self, name: str) -> Rule | None:
        """Return the first rule that matches; the bias of a linear layer falls back to the rule of its weight."""
        rule = next((rule for rule in self._rules if rule.matches(name)), None)
        own = self.full.tensors[name][0].split(".")
        if rule is None and own[-1] == "bias":
            read = input_dim(self.full.model.get_submodule(".".join(own[:-1])))
            weight = f"{name.removesuffix('bias')}weight"
            rule = next((rule for rule in self._rules if rule.matches(weight)), None) if read is not None else None
            if rule is not None and read is not None:
                rule = replace(rule, dimensions=(rule.dimensions[1 - read],))
        return rule

    def _layout(self, name: str, shape: tuple[int, ...]) -> Layout:
        rule = self._rule(name)
        if rule is not None and len(rule.dimensions) != len(shape):
            raise AxisError(
                f"rule {rule.pattern!r}: {rule.text!r} has {len(rule.dimensions)} dimensions, but {name} has the shape "
                f"{shape}"
            )
        dimensions = [
            self._dimension(name, dim, rule, None if rule is None else rule.dimensions[dim])
            for dim in range(len(shape))
        ]
        owner = None if rule is None else rule.owner
        layout = Layout(name, shape, tuple(dimensions), owner, "probing" if rule is None else _source(rule))
        for probe in self._probes_with(name):
            self._factors_in(layout, probe)
        return layout

    def _dimension(self, name: str, dim: int, rule: Rule | None, declared: tuple[str, ...] | None) -> Dimension:
        if declared is not None:
            label = f"({' '.join(n.rpartition('.')[2] for n in declared)})" if len(declared) > 1 else declared[0]
            return Dimension("rule", label, declared)
        here = self._probes_with(name)
        found = fit(self._axis_values(here), here, name, dim)
        # a caller's rule with _ confirms that the first units are kept
        confirmed = found.how == "assumed" and rule is not None and rule.owner is None
        return Dimension("rule", found.label) if confirmed else found

    def _probes_with(self, name: str) -> list[Probe]:
        return [probe for probe in self.probes if name in probe.tensors]

    def _axis_values(self, probes: list[Probe]) -> dict[str, list[int]]:
        key = tuple(map(id, probes))
        if key not in self._series:
            self._series[key] = axis_values(self.axes, probes)
        return self._series[key]

    def _factors_in(self, layout: Layout, probe: Probe) -> tuple[tuple[int, ...], ...]:
        key = (layout.name, id(probe))
        if key not in self._factor_sizes:
            self._factor_sizes[key] = self.factors(layout, probe.model, *probe.tensors[layout.name], probe.arch)
        return self._factor_sizes[key]

    def factors(
        self, layout: Layout, model: nn.Module, own: str, shape: tuple[int, ...], arch: Any
    ) -> tuple[tuple[int, ...], ...]:
        """Return the sizes of the factors of every dimension of a tensor in a built model.

        Args:
            layout: Layout of the tensor.
            model: The model of ``arch``.
            own: Name of the tensor in this model.
            shape: Shape of the tensor in this model.
            arch: The architecture.

        Raises:
            AxisError: The rule does not match, or a factor is larger than in the largest model.
        """
        axis, path = self._axis_getter(arch), _owner_path(layout, own)
        found = tuple(
            factor_sizes(dimension.factors, size, axis, model, path, f"{layout.name}, dimension {dim}")
            if dimension.factors
            else (size,)
            for dim, (dimension, size) in enumerate(zip(layout.dimensions, shape, strict=True))
        )
        largest = self._full_factors.setdefault(layout.name, found)
        for dim, (full, active) in enumerate(zip(largest, found, strict=True)):
            for number, (most, units) in enumerate(zip(full, active, strict=True)):
                if units > most:
                    dimension = layout.dimensions[dim]
                    what = dimension.factors[number].rpartition(".")[2] if dimension.factors else dimension.label
                    raise AxisError(
                        f"{layout.name}, dimension {dim}: {arch!r} has {units} of {what}, more than the {most} of the "
                        "largest model: a sub-network only has units of the supernet; add a rule to the space that "
                        "relates the sizes"
                    )
        return found

    def cuts(
        self, name: str, model: nn.Module, own: str, shape: tuple[int, ...], arch: Any
    ) -> tuple[tuple[int, tuple[int, ...], tuple[int, ...]], ...]:
        """Return the arguments of :func:`elasticnas.axes.take` for a sub-network's tensor, for each narrowed dimension.

        Raises:
            AxisError: A dimension that was fixed in all probes differs, or as in :meth:`factors`.
        """
        layout = self.layouts[name]
        for dim, (dimension, size) in enumerate(zip(layout.dimensions, shape, strict=True)):
            if dimension.how == "fixed" and size != layout.shape[dim]:
                rule = suggestion(name, len(shape), dim, "(units)")
                raise AxisError(
                    f"{name}, dimension {dim}: {arch!r} has {size} there, though it was {layout.shape[dim]} in all "
                    f"probes: give {rule} if it keeps the first units, or a rule with its layout"
                )
        whole, active = self._full_factors[name], self.factors(layout, model, own, shape, arch)
        return tuple((dim, w, a) for dim, (w, a) in enumerate(zip(whole, active, strict=True)) if w != a)

    def elastic(self, layout: Layout) -> tuple[tuple[tuple[str | None, int], ...], ...]:
        """Return axis and full size of every factor of every dimension.

        A factor that is no axis has its name in the rule instead. None stands for a factor that does not vary, or whose
        layout is only assumed.
        """
        here = self._probes_with(layout.name)
        sizes, series = [self._factors_in(layout, probe) for probe in here], self._axis_values(here)
        full = self._full_factors[layout.name]
        found = []
        for dim, dimension in enumerate(layout.dimensions):
            keys: list[tuple[str | None, int]] = []
            for position, units in enumerate(full[dim]):
                values = [each[dim][position] for each in sizes]
                own = dimension.factors[position].rpartition(".")[2] if dimension.factors else None
                axis = next((axis for axis, axis_sizes in series.items() if axis_sizes == values), own)
                varies = dimension.how in ("found", "rule") and len(set(values)) > 1
                keys.append((axis if varies else None, units))
            found.append(tuple(keys))
        return tuple(found)

    def __deepcopy__(self, memo: dict[Any, Any]) -> "Probing":
        return self

    def _axis_getter(self, arch: Any) -> Any:
        return lambda name: self._numbers[name].getter(arch) if name in self._numbers else None


def _owner_path(layout: Layout, own: str) -> str:
    """Return the path of the module where names are looked up, in the model in which the tensor is named ``own``."""
    parts = own.split(".")[:-1]
    return ".".join(parts if layout.owner is None else parts[: len(layout.owner.split(".")) if layout.owner else 0])


def _source(rule: Rule) -> str:
    return "your rule" if rule.owner is None else "family"
