"""Probing: which dimensions of which tensors follow which axis, read off models built with each size changed."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

from torch import Tensor, nn

from elasticnas.axes import Axes
from elasticnas.elastic.building import Builder
from elasticnas.elastic.depth import ChosenLayers
from elasticnas.elastic.layouts import Dimension, Layout, Rule, factor_sizes
from elasticnas.errors import ArchitectureError, AxisError, ConfigError

__all__ = ["Probe", "Probing", "tensors"]

_PER_CHOICE = 2  # builds for each choice, besides the largest
_HEADS = re.compile(r"(?!.*(dim|size|type|name|layer)).*heads?$|nhead$")


@dataclass(frozen=True)
class Probe:
    """A model built for an architecture, of shapes only.

    Attributes:
        changed: The choices in which the architecture differs from the largest.
    """

    arch: Any
    changed: frozenset[str]
    model: nn.Module
    layers: ChosenLayers

    @cached_property
    def tensors(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Own name and shape of every tensor, by its name in the supernet."""
        return {self.layers.source(name, self.arch): (name, tuple(value.shape)) for name, value in tensors(self.model)}

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Numbers, texts and flags that modules and their configs hold, by dotted name."""
        found: dict[str, Any] = {}
        for path, module in self.model.named_modules():
            for name, value in vars(module).items():
                if name == "training":
                    continue
                if isinstance(value, (int, str, tuple)):
                    found[f"{path}.{name}".lstrip(".")] = value
                elif not name.startswith("_") and hasattr(value, "__dict__") and not isinstance(value, nn.Module):
                    plain = {k: v for k, v in vars(value).items() if isinstance(v, (int, str))}
                    found |= {f"{path}.{name}.{k}".lstrip("."): v for k, v in plain.items()}
        return found


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
        self.axes, self.space, self.rules, self.layers = axes, axes.space, rules, layers
        largest = self.space.largest()
        self.full = Probe(largest, frozenset(), builder.shapes(largest), layers)
        self.probes = [Probe(arch, changed, builder.shapes(arch), layers) for arch, changed in self._variants(largest)]
        self._refuse_missing_weights(builder)
        self.layouts = {name: self._layout(name, shape) for name, (_, shape) in self.full.tensors.items()}
        self._refuse_cut_heads()

    def _variants(self, largest: Any) -> Iterator[tuple[Any, frozenset[str]]]:
        """Valid neighbours of the largest: a choice changed, another one with it where a rule demands that."""
        base = self.space.assignment(largest)
        seen = {largest}
        for choice in self.space.choice_list():
            others = [option for option in choice.options if option != base[choice.name]]
            if all(isinstance(option, int) for option in others):
                others.sort()
            wanted = [others[0], others[len(others) // 2]] if len(others) > 1 else others
            for option in dict.fromkeys(wanted[:_PER_CHOICE]):
                arch = self._valid(base, {choice.name: option})
                if arch is not None and arch not in seen:
                    seen.add(arch)
                    values = self.space.assignment(arch)
                    yield arch, frozenset(name for name in base if values[name] != base[name])

    def _valid(self, base: Mapping[str, Any], change: dict[str, Any]) -> Any:
        pairs = ({choice.name: option} for choice in self.space.choice_list() for option in choice.options)
        for other in ({}, *pairs):
            try:
                return self.space.build({**base, **other, **change})
            except ArchitectureError:
                continue
        # several move together: any architecture with the option
        (name, option), choices = next(iter(change.items())), self.space.choice_list()
        choice = next(choice for choice in choices if choice.name == name)
        position = choice.index(option)
        return next((a for (index,), a in self.space.projections((choice,)) if index == position), None)

    def reached(self) -> set[str]:
        """The choices that change a shape, a count of modules, or an attribute of a module or its config."""
        found: set[str] = set()
        kinds = [type(module) for module in self.full.model.modules()]
        for probe in self.probes:
            same = (
                probe.tensors == self.full.tensors
                and probe.attributes == self.full.attributes
                and [type(module) for module in probe.model.modules()] == kinds
            )
            if not same:
                found |= probe.changed
        return found

    def _refuse_missing_weights(self, builder: Builder) -> None:
        for probe in self.probes:
            for name, (own, shape) in probe.tensors.items():
                if name not in self.full.tensors:
                    raise ConfigError(
                        f"{builder.call(probe.arch)} has {own} {shape}, which the largest model does not have: a supernet "
                        "holds one set of weights, so the largest must have every tensor of the others"
                    )

    def _layout(self, name: str, shape: tuple[int, ...]) -> Layout:
        rule = next((rule for rule in self.rules if rule.matches(name)), None)
        if rule is not None and len(rule.dimensions) != len(shape):
            raise AxisError(
                f"rule {rule.pattern!r}: {rule.text!r} has {len(rule.dimensions)} dimensions, but {name} has the shape "
                f"{shape}"
            )
        dimensions = []
        for dim, size in enumerate(shape):
            declared = None if rule is None else rule.dimensions[dim]
            if declared is None:
                dimensions.append(self._probed(name, dim, size))
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
            full, active = (layout.shape[dim],), (size,)
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

    def __deepcopy__(self, memo: dict[Any, Any]) -> "Probing":
        return self

    def _values(self, arch: Any) -> Any:
        named = {axis.name: axis for axis in self.axes.all()}
        return lambda name: named[name].quantity.getter(arch) if name in named and named[name].is_number else None

    def _probed(self, name: str, dim: int, size: int) -> Dimension:
        here = [probe for probe in self.probes if name in probe.tensors]
        sizes = [probe.tensors[name][1][dim] for probe in here]
        if all(value == size for value in sizes):
            return Dimension("fixed", str(size))
        movers = sorted(
            {next(iter(p.changed)) for p, s in zip(here, sizes, strict=True) if s != size and len(p.changed) == 1}
        )
        names, series = self._series(here)
        values = [size, *sizes]
        for axis, own in zip(names, series, strict=True):
            if values == own:
                return Dimension("found", axis)
        for axis, own in zip(names, series, strict=True):
            if all(value % o == 0 and value * own[0] == size * o for value, o in zip(values, own, strict=True)):
                return Dimension("assumed", f"{size // own[0]} {axis}")
        for axis, own in zip(names, series, strict=True):
            if len(movers) < 2 and len({value - o for value, o in zip(values, own, strict=True)}) == 1:
                return Dimension("assumed", f"{axis} + {size - own[0]}")
        if len(movers) < 2 and self._product(names, series, values) is None:
            moved = movers or sorted({c for p, s in zip(here, sizes, strict=True) if s != size for c in p.changed})
            return Dimension("assumed", f"from {', '.join(moved)}")
        pair = self._product(names, series, values) or tuple(movers)
        example = " ".join(
            f"({' '.join(pair)})" if position == dim else "_" for position in range(len(self.full.tensors[name][1]))
        )
        raise AxisError(
            f"{name}, dimension {dim}, moves with {' and '.join(pair)}: which units a sub-network takes needs a rule, such "
            f"as rules={{{_pattern(name)!r}: {example!r}}} (the outermost factor first)"
        )

    def _series(self, probes: list[Probe]) -> tuple[list[str], list[list[int]]]:
        """Axes that move over the probes, and their values: at the largest first, then at each probe."""
        names, series = [], []
        for axis in self.axes.all():
            if axis.is_number:
                values = [int(axis.quantity.getter(arch)) for arch in (self.full.arch, *(p.arch for p in probes))]
                if len(set(values)) > 1 and min(values) > 0:
                    names.append(axis.name)
                    series.append(values)
        return names, series

    def _product(self, names: list[str], series: list[list[int]], values: list[int]) -> tuple[str, str] | None:
        for (a, first), (b, second) in combinations(zip(names, series, strict=True), 2):
            both = [x * y for x, y in zip(first, second, strict=True)]
            if all(v * both[0] == values[0] * o for v, o in zip(values, both, strict=True)):
                return a, b
        return None

    def _refuse_cut_heads(self) -> None:
        """A prefix of (heads head_dim) cuts through heads where head_dim changes: that takes a rule."""
        counts: dict[str, str] = {}
        for name, value in self.full.attributes.items():
            path, _, attribute = name.rpartition(".")
            if type(value) is int and value > 1 and _HEADS.fullmatch(attribute) and not path.endswith("config"):
                counts.setdefault(path, attribute)
        for path, attribute in counts.items():
            inside = [
                layout for name, layout in self.layouts.items() if f".{name}".startswith(f".{path}.".replace("..", "."))
            ]
            if any(layout.source != "probing" for layout in inside):
                continue
            for layout in inside:
                for dim, dimension in enumerate(layout.dimensions):
                    if dimension.how != "fixed" and self._cuts(layout, dim, path, attribute):
                        axis = dimension.label
                        other = " ".join(
                            d.label if i != dim else f"({attribute} head_dim)" for i, d in enumerate(layout.dimensions)
                        )
                        raise AxisError(
                            f"{layout.name}, dimension {dim}, moves with {axis} while {path or 'the model'} has "
                            f"{attribute}={self.full.attributes[f'{path}.{attribute}'.lstrip('.')]}: a prefix would cut "
                            f"through its heads; declare the layouts of its projections, such as "
                            f"rules={{{_pattern(layout.name)!r}: {_plain(other)!r}}}, or '_' for each dimension that holds "
                            "no heads"
                        )

    def _cuts(self, layout: Layout, dim: int, path: str, attribute: str) -> bool:
        """Whether the dimension could hold heads, and their width differs between architectures."""
        widths = set()
        key = f"{path}.{attribute}".lstrip(".")
        for probe in [self.full, *self.probes]:
            if layout.name in probe.tensors and key in probe.attributes:
                size, heads = probe.tensors[layout.name][1][dim], probe.attributes[key]
                if size % heads:
                    return False
                widths.add(size // heads)
        return len(widths) > 1


def tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers by name, shared ones under each name."""
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _owner_path(layout: Layout, own: str) -> str:
    """Path of the module where names are looked up, in the model where the tensor is called ``own``."""
    parts = own.split(".")[:-1]
    return ".".join(parts if layout.owner is None else parts[: len(layout.owner.split(".")) if layout.owner else 0])


def _source(rule: Rule) -> str:
    return "your rule" if rule.owner is None else "family"


def _pattern(name: str) -> str:
    parts = name.split(".")
    return f"*.{'.'.join(parts[-2:])}" if len(parts) > 2 else name


def _plain(text: str) -> str:
    return re.sub(r"(?<![\w(])\d+(?![\w)])", "_", text)
