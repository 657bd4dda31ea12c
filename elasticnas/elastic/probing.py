"""Probing: which dimensions of which tensors follow which axis, read off models built with each size changed."""

from typing import Any

from torch import nn

from elasticnas.axes import Axes
from elasticnas.elastic.building import Builder
from elasticnas.elastic.depth import ChosenLayers
from elasticnas.elastic.fitting import axis_values, fit
from elasticnas.elastic.heads import refuse_cut_heads
from elasticnas.elastic.layouts import Dimension, Layout, Rule, factor_sizes
from elasticnas.elastic.probe import Probe, variants
from elasticnas.errors import AxisError, ConfigError

__all__ = ["Probing"]


class Probing:
    """The layouts of a model's tensors.

    Args:
        builder: Builds models.
        axes: Of the space.
        rules: For tensors; a caller's come before those of families.
        layers: Rules for stacks of layers.

    Raises:
        AxisError: A dimension moves with two axes, heads would be cut, a rule does not fit.
        ConfigError: The supernet has no weights for some architecture.
    """

    def __init__(self, builder: Builder, axes: Axes, rules: list[Rule], layers: ChosenLayers) -> None:
        self.axes, self.layers, self._builder, self._rules = axes, layers, builder, rules
        largest = axes.space.largest()
        self.full = Probe(largest, frozenset(), builder.shapes(largest), layers)
        self.probes = [Probe(arch, changed, builder.shapes(arch), layers) for arch, changed in variants(axes.space)]
        for probe in self.probes:
            for name, (own, shape) in probe.tensors.items():
                self.require(name, own, shape, probe.arch)
        self.layouts = {name: self._layout(name, shape) for name, (_, shape) in self.full.tensors.items()}
        refuse_cut_heads(self.full, self.probes, self.layouts)

    def reached(self) -> set[str]:
        """The choices that change a shape, a count of modules, or an attribute of a module or its config."""
        found: set[str] = set()
        for probe in self.probes:
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
            raise ConfigError(
                f"{self._builder.call(arch)} has {own} {shape}, which the largest model does not have: a supernet "
                "holds one set of weights, so the largest must have every tensor of the others"
            )

    def _layout(self, name: str, shape: tuple[int, ...]) -> Layout:
        rule = next((rule for rule in self._rules if rule.matches(name)), None)
        if rule is not None and len(rule.dimensions) != len(shape):
            raise AxisError(
                f"rule {rule.pattern!r}: {rule.text!r} has {len(rule.dimensions)} dimensions, but {name} has the shape "
                f"{shape}"
            )
        dimensions = []
        for dim in range(len(shape)):
            declared = None if rule is None else rule.dimensions[dim]
            if declared is None:
                dimensions.append(fit(self.axes, self.full, self.probes, name, dim))
            else:
                label = f"({' '.join(n.rpartition('.')[2] for n in declared)})" if len(declared) > 1 else declared[0]
                dimensions.append(Dimension("rule", label, declared))
        owner = None if rule is None else rule.owner
        layout = Layout(name, shape, tuple(dimensions), owner, "probing" if rule is None else _source(rule))
        for probe in [self.full, *self.probes]:
            if name in probe.tensors:
                self.factors(layout, probe.model, *probe.tensors[name], probe.arch)
        return layout

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
        full_axis, axis = self._values(self.full.arch), self._values(arch)
        found = []
        for dim, (dimension, size) in enumerate(zip(layout.dimensions, shape, strict=True)):
            full: tuple[int, ...] = (layout.shape[dim],)
            active: tuple[int, ...] = (size,)
            if dimension.factors:
                where = f"{layout.name}, dimension {dim}"
                path = _owner_path(layout, own)
                active = factor_sizes(dimension.factors, size, axis, model, path, where)
                path = _owner_path(layout, self.full.tensors[layout.name][0])
                full = factor_sizes(dimension.factors, layout.shape[dim], full_axis, self.full.model, path, where)
            for number, (most, units) in enumerate(zip(full, active, strict=True)):
                if units > most:
                    what = dimension.factors[number].rpartition(".")[2] if dimension.factors else dimension.label
                    raise AxisError(
                        f"{layout.name}, dimension {dim}: {arch!r} has {units} of {what}, more than the {most} of the "
                        "largest model: a sub-network can only take what the supernet has; tie the sizes by a rule of "
                        "the space"
                    )
            found.append(active)
        return tuple(found)

    def cuts(
        self, name: str, model: nn.Module, own: str, shape: tuple[int, ...], arch: Any
    ) -> tuple[tuple[int, tuple[int, ...], tuple[int, ...]], ...]:
        """What :func:`elasticnas.axes.take` narrows to get a sub-network's tensor: dimension, full and active sizes."""
        layout = self.layouts[name]
        whole = self.factors(layout, self.full.model, self.full.tensors[name][0], layout.shape, self.full.arch)
        active = self.factors(layout, model, own, shape, arch)
        return tuple((dim, w, a) for dim, (w, a) in enumerate(zip(whole, active, strict=True)) if w != a)

    def elastic(self, layout: Layout) -> tuple[tuple[tuple[str | None, int], ...], ...]:
        """For every factor of every dimension: the axis that it is (its own name where it is none), and its full size.

        None stands for what is the same in every architecture, or is no list of units.
        """
        full = self.factors(layout, self.full.model, self.full.tensors[layout.name][0], layout.shape, self.full.arch)
        here = [probe for probe in self.probes if layout.name in probe.tensors]
        sizes = [full, *(self.factors(layout, p.model, *p.tensors[layout.name], p.arch) for p in here)]
        series = axis_values(self.axes, [self.full, *here])
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
        named = {axis.name: axis for axis in self.axes.all()}
        return lambda name: named[name].quantity.getter(arch) if name in named and named[name].is_number else None


def _owner_path(layout: Layout, own: str) -> str:
    """Path of the module where names are looked up, in the model where the tensor is called ``own``."""
    parts = own.split(".")[:-1]
    return ".".join(parts if layout.owner is None else parts[: len(layout.owner.split(".")) if layout.owner else 0])


def _source(rule: Rule) -> str:
    return "your rule" if rule.owner is None else "family"
