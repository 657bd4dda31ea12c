"""Probing: which dimensions of which tensors follow which axis, read off models built with each size changed."""

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
        builder: Builds models.
        axes: Of the space.
        full: Shapes of the largest model.
        rules: For tensors; a caller's come before those of families.
        layers: Rules for stacks of layers.

    Raises:
        AxisError: A dimension moves with two axes, heads would be cut, a rule does not fit.
        ConfigError: The supernet has no weights for some architecture, or ties others.
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
        self._known: dict[tuple[str, int], tuple[tuple[int, ...], ...]] = {}
        self._whole: dict[str, tuple[tuple[int, ...], ...]] = {}  # sizes of the factors in the largest, probed first
        for probe in self.probes[1:]:
            for name, (own, shape) in probe.tensors.items():
                self.require(name, own, shape, probe.arch)
            self.require_same_ties(probe.model, probe.arch)
        self.layouts = {name: self._layout(name, shape) for name, (_, shape) in self.full.tensors.items()}
        refuse_cut_heads(self.probes, self.layouts, self._probed)

    def reached(self) -> set[str]:
        """The choices that change a shape, a count of modules, or an attribute of a module or its config."""
        found: set[str] = set()
        for probe in self.neighbours:
            same = all(
                getattr(probe, what) == getattr(self.full, what) for what in ("tensors", "modules", "attributes")
            )
            found |= frozenset() if same else probe.changed
        return found

    def require(self, source: str, own: str, shape: tuple[int, ...], arch: Any) -> None:
        """Refuse an architecture with a tensor that the largest does not have.

        Raises:
            ConfigError: Names it.
        """
        if source not in self.full.tensors:
            call = self._builder.factory.call(arch)
            raise ConfigError(
                f"{call} has {own} {shape}, which the largest model does not have: a supernet "
                "holds one set of weights, so the largest must have every tensor of the others"
            )

    def require_same_ties(self, model: nn.Module, arch: Any) -> None:
        """Refuse an architecture whose parameters are shared otherwise than the largest model's.

        Raises:
            ConfigError: Names two that are one in either model only.
        """
        full = dict(self.full.model.named_parameters(remove_duplicate=False))
        ours: dict[int, tuple[int, str]] = {}  # the supernet's parameter for each, and a name of it
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
        """The first that matches; without one, the bias of a linear layer is laid out as its weight's outputs are."""
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
        for probe in self._with(name):
            self._probed(layout, probe)
        return layout

    def _dimension(self, name: str, dim: int, rule: Rule | None, declared: tuple[str, ...] | None) -> Dimension:
        if declared is not None:
            label = f"({' '.join(n.rpartition('.')[2] for n in declared)})" if len(declared) > 1 else declared[0]
            return Dimension("rule", label, declared)
        here = self._with(name)
        found = fit(self._axis_values(here), here, name, dim)
        # a caller who writes _ has said that it is a prefix
        told = found.how == "assumed" and rule is not None and rule.owner is None
        return Dimension("rule", found.label) if told else found

    def _with(self, name: str) -> list[Probe]:
        return [probe for probe in self.probes if name in probe.tensors]

    def _axis_values(self, probes: list[Probe]) -> dict[str, list[int]]:
        key = tuple(map(id, probes))
        if key not in self._series:
            self._series[key] = axis_values(self.axes, probes)
        return self._series[key]

    def _probed(self, layout: Layout, probe: Probe) -> tuple[tuple[int, ...], ...]:
        key = (layout.name, id(probe))
        if key not in self._known:
            self._known[key] = self.factors(layout, probe.model, *probe.tensors[layout.name], probe.arch)
        return self._known[key]

    def factors(
        self, layout: Layout, model: nn.Module, own: str, shape: tuple[int, ...], arch: Any
    ) -> tuple[tuple[int, ...], ...]:
        """Sizes of the factors of every dimension of a tensor in a built model.

        Args:
            layout: Of the tensor.
            model: Built for ``arch``.
            own: Name of the tensor in it.
            shape: Shape of the tensor in it.
            arch: The architecture.

        Raises:
            AxisError: The rule does not fit, or a factor is larger than the supernet's.
        """
        axis, path = self._values(arch), _owner_path(layout, own)
        found = tuple(
            factor_sizes(dimension.factors, size, axis, model, path, f"{layout.name}, dimension {dim}")
            if dimension.factors
            else (size,)
            for dim, (dimension, size) in enumerate(zip(layout.dimensions, shape, strict=True))
        )
        for dim, (full, active) in enumerate(zip(self._whole.setdefault(layout.name, found), found, strict=True)):
            for number, (most, units) in enumerate(zip(full, active, strict=True)):
                if units > most:
                    dimension = layout.dimensions[dim]
                    what = dimension.factors[number].rpartition(".")[2] if dimension.factors else dimension.label
                    raise AxisError(
                        f"{layout.name}, dimension {dim}: {arch!r} has {units} of {what}, more than the {most} of the "
                        "largest model: a sub-network can only take what the supernet has; tie the sizes by a rule of "
                        "the space"
                    )
        return found

    def cuts(
        self, name: str, model: nn.Module, own: str, shape: tuple[int, ...], arch: Any
    ) -> tuple[tuple[int, tuple[int, ...], tuple[int, ...]], ...]:
        """What :func:`elasticnas.axes.take` narrows to get a sub-network's tensor: dimension, full and active sizes."""
        layout = self.layouts[name]
        for dim, (dimension, size) in enumerate(zip(layout.dimensions, shape, strict=True)):
            if dimension.how == "fixed" and size != layout.shape[dim]:
                rule = suggestion(name, len(shape), dim, "(units)")
                raise AxisError(
                    f"{name}, dimension {dim}: {arch!r} has {size} there, though it was {layout.shape[dim]} whenever a "
                    f"choice was changed: say that it keeps the first ones by {rule}, or what it holds"
                )
        whole, active = self._whole[name], self.factors(layout, model, own, shape, arch)
        return tuple((dim, w, a) for dim, (w, a) in enumerate(zip(whole, active, strict=True)) if w != a)

    def elastic(self, layout: Layout) -> tuple[tuple[tuple[str | None, int], ...], ...]:
        """For every factor of every dimension: the axis that it is (its own name where it is none), and its full size.

        None stands for what is the same in every architecture, or is no list of units.
        """
        here = self._with(layout.name)
        sizes, series = [self._probed(layout, probe) for probe in here], self._axis_values(here)
        full = self._whole[layout.name]
        found = []
        for dim, dimension in enumerate(layout.dimensions):
            keys: list[tuple[str | None, int]] = []
            for position, units in enumerate(full[dim]):
                values = [each[dim][position] for each in sizes]
                own = dimension.factors[position].rpartition(".")[2] if dimension.factors else None
                axis = next((axis for axis, wanted in series.items() if wanted == values), own)
                moves = dimension.how in ("found", "rule") and len(set(values)) > 1
                keys.append((axis if moves else None, units))
            found.append(tuple(keys))
        return tuple(found)

    def __deepcopy__(self, memo: dict[Any, Any]) -> "Probing":
        return self

    def _values(self, arch: Any) -> Any:
        return lambda name: self._numbers[name].getter(arch) if name in self._numbers else None


def _owner_path(layout: Layout, own: str) -> str:
    """Path of the module where names are looked up, in the model where the tensor is called ``own``."""
    parts = own.split(".")[:-1]
    return ".".join(parts if layout.owner is None else parts[: len(layout.owner.split(".")) if layout.owner else 0])


def _source(rule: Rule) -> str:
    return "your rule" if rule.owner is None else "family"
