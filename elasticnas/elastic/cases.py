"""Cases: pairs of architectures whose models show which units a smaller model has."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import gcd
from typing import Any

from elasticnas.elastic.behaviour import Behaviour, Dim
from elasticnas.elastic.building import Builder
from elasticnas.elastic.finder import Pair
from elasticnas.elastic.layouts import starred
from elasticnas.elastic.linear import input_dim
from elasticnas.elastic.probe import Probe, valid
from elasticnas.elastic.probing import Probing
from elasticnas.space import Space

__all__ = ["Case", "archs_of", "base_of", "kind_of", "shallow", "shrunk"]

_LARGE = 64  # the least size that is divided
_FEW = 2  # layers that show how each kind depends on others

Kind = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class Case:
    """A large architecture and a smaller one, which differs in one choice, or in as few as the space allows.

    Attributes:
        base: The large architecture's model.
        small: The smaller one's.
        archs: Both architectures; the models may have smaller sizes of the same structure.
    """

    base: Probe
    small: Probe
    archs: tuple[Any, Any]

    def pair(self, base: Behaviour, small: Behaviour, judged: Mapping[str, str]) -> Pair:
        """Return the models and the dimensions to decide.

        Args:
            base: Behaviour of the large model.
            small: Behaviour of the smaller one.
            judged: Names in the supernet of the tensors to look at, and the name that each shares with other layers.
        """
        own = {
            name: other
            for source in judged
            if source in self.base.tensors and source in self.small.tensors
            for (name, _), (other, _) in [(self.base.tensors[source], self.small.tensors[source])]
            if name in base.tensors and other in small.tensors
        }
        alike: dict[str, list[str]] = {}
        for name, representative in self.representatives(judged).items():
            if name in own:
                alike.setdefault(representative, []).append(name)
        dims = tuple((names[0], dim) for names in alike.values() for dim in range(base.tensors[names[0]].ndim))
        pair = Pair(base, small, own, {names[0]: names for names in alike.values()}, {}, dims)
        return replace(pair, leaders=_leaders(pair))

    def representatives(self, shared: Mapping[str, str]) -> dict[str, str]:
        """Return for each tensor of the large model the first that only differs from it in its layer.

        Args:
            shared: Names in the supernet, and the name that each shares with other layers.
        """
        first: dict[Any, str] = {}
        return {
            name: first.setdefault((shared[source], shape, self.small.tensors[source][1]), name)
            for source, (name, shape) in self.base.tensors.items()
            if source in shared and source in self.small.tensors
        }


def _leaders(pair: Pair) -> dict[Dim, Dim]:
    """Return the dimension of a weight for each vector of its module with the same sizes."""
    found: dict[Dim, Dim] = {}
    for name, dim in pair.dims:
        if pair.full.tensors[name].ndim != 1:
            continue
        owner = name.rpartition(".")[0]
        others = [other for other in pair.dims if other[0] != name and other[0].rpartition(".")[0] == owner]
        same = [other for other in others if pair.sizes(other) == pair.sizes((name, dim))]
        matrices = [other for other in same if pair.full.tensors[other[0]].ndim > 1]
        vectors = [other for other in same if pair.full.tensors[other[0]].ndim == 1]
        read = input_dim(pair.full.model.get_submodule(owner))
        outputs = [other for other in matrices if read is None or other[1] != read]
        if len(outputs) == 1:
            found[name, dim] = outputs[0]
        elif not matrices and len(vectors) == 1 and vectors[0] not in found:
            found[name, dim] = vectors[0]
    return found


def kind_of(probing: Probing, name: str) -> Kind:
    """Return what layers have in common: the name without their numbers, and what the sizes depend on."""
    return probing.layered[name], tuple(dimension.label for dimension in probing.layouts[name].dimensions)


def base_of(builder: Builder, probing: Probing) -> Probe:
    """Return the largest architecture, with as few layers as show every kind of tensor in its full size."""
    base, space, full = probing.full, probing.axes.space, probing.full.tensors
    kinds = {kind_of(probing, name) for name in full}
    for choice in space.choice_list():
        for option in sorted((o for o in choice.options if isinstance(o, int)), key=int):
            values = space.assignment(base.arch)
            arch = valid(space, values, {choice.name: option}) if option != values[choice.name] else None
            if arch is None:
                continue
            probe = Probe(arch, builder.shapes(arch), probing.layers)
            same = all(full[name][1] == shape for name, (_, shape) in probe.tensors.items())
            fewer = len(probe.tensors) < len(base.tensors)
            if same and fewer and {kind_of(probing, name) for name in probe.tensors} == kinds:
                base = probe
                break
    return base


def archs_of(builder: Builder, probing: Probing, base: Probe) -> list[Any]:
    """Return a smaller architecture for every choice of sizes; the entries of a per-layer choice change together."""
    found = []
    for arch in dict.fromkeys(_smaller(probing, base)):
        probe = Probe(arch, builder.shapes(arch), probing.layers)
        if probe.tensors.keys() >= base.tensors.keys() and _differs(probe, base):
            found.append(arch)
    return found


def shallow(builder: Builder, probing: Probing, base: Probe) -> dict[str, int]:
    """Return fewer layers than those of any option, for each number of layers, that show every kind of tensor."""
    found: dict[str, int] = {}
    kinds = {kind_of(probing, name) for name in base.tensors}
    for choice in probing.axes.space.choice_list():
        if not all(type(option) is int and option > _FEW for option in choice.options):
            continue
        arch = _changed(base.arch, partial(_few, starred(f"{choice.name}.")), "")
        try:
            probe = Probe(arch, builder.shapes(arch), probing.layers)
        except Exception:  # whatever a build raises for a number that is none of the options
            continue
        same = all(base.tensors.get(name, ("", ()))[1] == shape for name, (_, shape) in probe.tensors.items())
        fewer = len(probe.tensors) < len(base.tensors)
        if same and fewer and {kind_of(probing, name) for name in probe.tensors} == kinds:
            found[starred(f"{choice.name}.")] = _FEW
    return found


def _few(choice: str, path: str, value: int) -> int:
    return _FEW if path == choice else value


def shrunk(probing: Probing, arch: Any, least: int, layers: Mapping[str, int]) -> Any:
    """Return an architecture with large sizes divided, such that the options of each stay integers, at least ``least``.

    It is none of the space, whose options are larger: the models of both have the same structure.

    Args:
        probing: The layouts by sizes and rules.
        arch: The architecture.
        least: The smallest size.
        layers: Numbers of layers by the name of their choice.
    """
    space = probing.axes.space
    divisors: dict[str, int] = {}
    for choice in space.choice_list():
        if all(type(option) is int for option in choice.options) and max(choice.options) >= _LARGE:
            common, name = gcd(*choice.options), starred(f"{choice.name}.")
            smallest = min(choice.options)
            fitting = (d for d in range(1, common + 1) if common % d == 0 and smallest // d >= least)
            divisor = max(fitting, default=1)
            divisors[name] = gcd(divisors.get(name, divisor), divisor)
    return _changed(arch, lambda path, value: layers.get(path, value // divisors.get(path, 1)), "")


def _changed(value: Any, number: Callable[[str, int], int], path: str) -> Any:
    """Return a part of an architecture with other numbers."""
    if type(value) is int:
        return number(path, value)
    if isinstance(value, tuple):
        return tuple(_changed(entry, number, f"{path}*.") for entry in value)
    if isinstance(value, Space):
        fields = type(value).model_fields
        return value.model_copy(
            update={name: _changed(getattr(value, name), number, f"{path}{name}.") for name in fields}
        )
    return value


def _smaller(probing: Probing, base: Probe) -> Iterator[Any]:
    space = probing.axes.space
    fields: dict[str, list[Any]] = {}
    for choice in space.choice_list():
        if len(choice.options) > 1 and all(type(option) is int for option in choice.options):
            fields.setdefault(starred(f"{choice.name}."), []).append(choice)
    values = space.assignment(base.arch)
    for choices in fields.values():
        together = valid(space, values, {choice.name: min(choice.options) for choice in choices})
        if together is not None and together != base.arch:
            yield together
        else:
            yield from (
                arch
                for choice in choices
                if (arch := valid(space, values, {choice.name: min(choice.options)})) is not None
            )


def _differs(probe: Probe, base: Probe) -> bool:
    return any(getattr(probe, what) != getattr(base, what) for what in ("tensors", "modules", "attributes"))
