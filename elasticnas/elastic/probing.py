"""Probing: find the axes of every dimension of every tensor from models built with each size changed."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from elasticnas.axes import Axes
from elasticnas.elastic.building import Builder
from elasticnas.elastic.depth import ChosenLayers
from elasticnas.elastic.fitting import axis_values, fit
from elasticnas.elastic.layouts import AxisValue, Dimension, Layout, Rule, as_rules, layered, sizes_of
from elasticnas.elastic.linear import input_dim
from elasticnas.elastic.parts import Part, Prefix
from elasticnas.elastic.probe import Probe, beyond, variants
from elasticnas.errors import AxisError, ConfigError

__all__ = ["Probing"]


class Probing:
    """The layouts of a model's tensors.

    Args:
        builder: Builds the models.
        axes: The axes of the space.
        full: The largest model; only its shapes are used.
        rules: Rules for tensors.
        layers: Rules for stacks of layers.
        layouts: Known layouts of all tensors; None finds them from the rules and the sizes of the models.

    Attributes:
        layouts: The layouts by tensor name.
        rules: The rules for tensors.
        full: The probe of the largest architecture.
        layered: The name that each tensor shares with those of other layers, by name.
        neighbours: Probes that differ from it in one choice, or in as few as the rules allow.

    Raises:
        AxisError: A rule does not match, or a size is larger than in the largest model.
        ConfigError: Some architecture has a tensor that the largest does not have, or ties other tensors.
    """

    def __init__(
        self,
        builder: Builder,
        axes: Axes,
        full: nn.Module,
        rules: list[Rule],
        layers: ChosenLayers,
        layouts: Sequence[Layout] | None = None,
    ) -> None:
        self.axes, self.layers, self._builder, self.rules = axes, layers, builder, rules
        self.full = Probe(axes.space.largest(), full, layers)
        self.neighbours = [Probe(arch, builder.shapes(arch), layers) for arch in variants(axes.space)]
        archs = [self.full.arch, *(probe.arch for probe in self.neighbours)]
        further = [Probe(arch, builder.shapes(arch), layers) for arch in beyond(axes, archs)]
        self.probes = [self.full, *self.neighbours, *further]
        self._numbers = {axis.name: axis.quantity for axis in axes.all() if axis.is_number}
        self.layered = layered(self.full.tensors)
        self._series: dict[tuple[int, ...], dict[str, list[int]]] = {}
        self._sizes: dict[tuple[str, int], tuple[dict[str, int], ...]] = {}
        self._largest: dict[str, tuple[dict[str, int], ...]] = {}  # in the largest model, which is probed first
        for probe in self.probes[1:]:
            for name, (own, shape) in probe.tensors.items():
                self.require(name, own, shape, probe.arch)
            self.require_same_ties(probe.model, probe.arch)
        if layouts is None:
            layouts = [self._layout(name, shape) for name, (_, shape) in self.full.tensors.items()]
        self.layouts: dict[str, Layout] = {}
        self.adopt(layouts)

    def adopt(self, layouts: Sequence[Layout]) -> None:
        """Use these layouts from now on.

        Raises:
            AxisError: A layout does not match the probes.
        """
        self._sizes.clear()
        self._largest.clear()
        self.layouts = {layout.name: layout for layout in layouts}
        for layout in layouts:
            for probe in self.probes_with(layout.name):
                self.sizes_in(layout, probe)

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

    def rule_for(self, name: str) -> Rule | None:
        """Return the first rule that matches; the bias of a linear layer falls back to the rule of its weight."""
        rule = next((rule for rule in self.rules if rule.matches(name)), None)
        own = self.full.tensors[name][0].split(".")
        if rule is None and own[-1] == "bias":
            read = input_dim(self.full.model.get_submodule(".".join(own[:-1])))
            weight = f"{name.removesuffix('bias')}weight"
            rule = next((rule for rule in self.rules if rule.matches(weight)), None) if read is not None else None
            if rule is not None and read is not None:
                rule = replace(rule, dimensions=(rule.dimensions[1 - read],))
        return rule

    def _layout(self, name: str, shape: tuple[int, ...]) -> Layout:
        rule = self.rule_for(name)
        if rule is not None and len(rule.dimensions) != len(shape):
            raise AxisError(
                f"rule {rule.pattern!r}: {rule.text!r} has {len(rule.dimensions)} dimensions, but {name} has the shape "
                f"{shape}"
            )
        dimensions = [self._dimension(name, dim, rule) for dim in range(len(shape))]
        return Layout(name, shape, tuple(dimensions), "probing" if rule is None else "your rule")

    def _dimension(self, name: str, dim: int, rule: Rule | None) -> Dimension:
        here = self.probes_with(name)
        found = fit(self.axis_values(here), here, name, dim)
        if rule is None:
            return found
        declared = rule.dimensions[dim]
        if declared is None:
            return replace(found, how="rule", note="first units")
        text = declared.text()
        return Dimension("rule", f"({text})" if " " in text else text, declared)

    def probes_with(self, name: str) -> list[Probe]:
        """Return the probes whose model has a tensor, that of the largest architecture first."""
        return [probe for probe in self.probes if name in probe.tensors]

    def axis_values(self, probes: list[Probe]) -> dict[str, list[int]]:
        """Return the values in the probes of every axis that varies."""
        key = tuple(map(id, probes))
        if key not in self._series:
            self._series[key] = axis_values(self.axes, probes)
        return self._series[key]

    def sizes_in(self, layout: Layout, probe: Probe) -> tuple[dict[str, int], ...]:
        """Return the sizes of the names of every dimension of a tensor in a probe."""
        key = (layout.name, id(probe))
        if key not in self._sizes:
            self._sizes[key] = self.sizes(layout, probe.model, *probe.tensors[layout.name], probe.arch)
        return self._sizes[key]

    def sizes(
        self, layout: Layout, model: nn.Module, own: str, shape: tuple[int, ...], arch: Any
    ) -> tuple[dict[str, int], ...]:
        """Return the sizes of the names of every dimension of a tensor in a built model.

        A dimension without an expression has one size under its label.

        Args:
            layout: Layout of the tensor.
            model: The model of ``arch``.
            own: Name of the tensor in this model.
            shape: Shape of the tensor in this model.
            arch: The architecture.

        Raises:
            AxisError: The rule does not match, or a size is larger than in the largest model.
        """
        axis, path = self.axis_getter(arch), own.rpartition(".")[0]
        found = tuple(
            {dimension.label: size}
            if dimension.expression is None
            else sizes_of(dimension.expression, size, axis, model, path, f"{layout.name}, dimension {dim}")
            for dim, (dimension, size) in enumerate(zip(layout.dimensions, shape, strict=True))
        )
        largest = self._largest.setdefault(layout.name, found)
        for dim, (full, active) in enumerate(zip(largest, found, strict=True)):
            for name, units in active.items():
                if units > full[name]:
                    raise AxisError(
                        f"{layout.name}, dimension {dim}: {arch!r} has {units} of {name.rpartition('.')[2]}, more than "
                        f"the {full[name]} of the largest model: a sub-network only has units of the supernet; add a "
                        "rule to the space that relates the sizes"
                    )
        return found

    def cuts(
        self, name: str, model: nn.Module, own: str, shape: tuple[int, ...], arch: Any
    ) -> tuple[tuple[int, Part], ...]:
        """Return the units of a sub-network's tensor, for each narrowed dimension.

        Raises:
            AxisError: A dimension that was fixed in all probes differs, or as in :meth:`sizes`.
        """
        layout = self.layouts[name]
        for dim, (dimension, size) in enumerate(zip(layout.dimensions, shape, strict=True)):
            if dimension.how == "fixed" and size != layout.shape[dim]:
                text = " ".join("(units)" if place == dim else "_" for place in range(len(shape)))
                raise AxisError(
                    f"{name}, dimension {dim}: {arch!r} has {size} there, though it was {layout.shape[dim]} in all "
                    f"probes: give {as_rules({name: text})} if it keeps the first units, or a rule with its layout"
                )
        parts = self.parts(layout, model, own, shape, arch)
        return tuple((dim, part) for dim, part in enumerate(parts) if not part.is_whole)

    def parts(self, layout: Layout, model: nn.Module, own: str, shape: tuple[int, ...], arch: Any) -> tuple[Part, ...]:
        """Return the units of every dimension of a sub-network's tensor; raises as :meth:`sizes` does."""
        active, full = self.sizes(layout, model, own, shape, arch), self._largest[layout.name]
        return tuple(
            Prefix(layout.shape[dim], size)
            if dimension.expression is None
            else dimension.expression.part(full[dim], active[dim])
            for dim, (dimension, size) in enumerate(zip(layout.dimensions, shape, strict=True))
        )

    def __deepcopy__(self, memo: dict[Any, Any]) -> "Probing":
        return self

    def axis_getter(self, arch: Any) -> AxisValue:
        """Return a function from the name of an axis to its value in an architecture, None for other names."""

        def value(name: str) -> int | None:
            found = self._numbers[name].getter(arch) if name in self._numbers else None
            return found if isinstance(found, int) else None

        return value
