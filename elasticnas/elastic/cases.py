"""Cases: pairs of architectures whose models show which units a smaller model has."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import gcd, prod
from typing import Any

from elasticnas.elastic.behaviour import Behaviour, Dim
from elasticnas.elastic.building import Builder
from elasticnas.elastic.finder import Pair
from elasticnas.elastic.layouts import starred
from elasticnas.elastic.linear import input_dim
from elasticnas.elastic.probe import Probe, valid
from elasticnas.elastic.probing import Probing
from elasticnas.errors import ArchitectureError
from elasticnas.space import Space

__all__ = ["Case", "archs_of", "base_of", "kind_of", "others_of", "shallow", "shrunk", "with_layers"]

_LARGE = 64  # the least size that is divided
_MOST_OTHERS = 6  # architectures in which layouts are checked again
_FEW = 2  # layers that show how each kind depends on others

Kind = tuple[Any, ...]


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
        groups = [[name for name in group if name in own] for group in self.groups(judged)]
        for group in groups:  # what affects the output stands for the others, such as experts without tokens
            group.sort(key=lambda name: not (base.affects(name) and small.affects(own[name])))
        alike = {group[0]: group for group in groups if group}
        dims = tuple((name, dim) for name in alike for dim in range(base.tensors[name].ndim))
        pair = Pair(base, small, own, alike, {}, dims)
        return replace(pair, leaders=_leaders(pair))

    def groups(self, shared: Mapping[str, str]) -> list[list[str]]:
        """Return the tensors of the large model, together those that only differ in their layer.

        Args:
            shared: Names in the supernet, and the name that each shares with other layers.
        """
        found: dict[Any, list[str]] = {}
        for source, (name, shape) in self.base.tensors.items():
            if source in shared and source in self.small.tensors:
                traits = self.base.traits[source], self.small.traits[source]
                key = (shared[source], shape, self.small.tensors[source][1], traits)
                found.setdefault(key, []).append(name)
        return list(found.values())


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
    """Return what layers have in common: the name without their numbers, their traits, and what sizes depend on."""
    labels = tuple(dimension.label for dimension in probing.layouts[name].dimensions)
    return probing.layered[name], probing.full.traits[name], labels


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
    for options, integers in _changes(probing, base):
        probes = [Probe(arch, builder.shapes(arch), probing.layers) for arch in options]
        # fewer but wider heads have the same shapes, as have branches of other kinds
        different = [probe for probe in probes if _has_smaller(probe, base) or (integers and _differs(probe, base))]
        if different:
            found.append(min(different, key=_numbers).arch)
    return list(dict.fromkeys(found))


def others_of(probing: Probing, base: Any, archs: Sequence[Any]) -> list[Any]:
    """Return further architectures, in which every option of each choice occurs, many choices together."""
    space = probing.axes.space
    values = space.assignment(base)
    changed = {name for arch in archs for name, option in space.assignment(arch).items() if values.get(name) != option}
    choices = [choice for choice in _size_choices(probing) if choice.name in changed]
    found, missing = [], []
    for place in range(max((len(choice.options) for choice in choices), default=0)):
        change = {choice.name: _lower(choice)[place] for choice in choices if place < len(choice.options)}
        try:
            found.append(space.from_assignment({**values, **{k: v for k, v in change.items() if k in values}}))
        except ArchitectureError:  # by a rule of the space
            missing += [{name: option} for name, option in change.items() if name in values]
    found += [arch for change in missing if (arch := valid(space, values, change)) is not None]
    some = [arch for arch in dict.fromkeys(found) if arch != base and arch not in archs]
    return some[:_MOST_OTHERS]


def _lower(choice: Any) -> list[Any]:
    """Return the options, the smallest first where they are numbers."""
    numbers = all(isinstance(option, (int, float)) for option in choice.options)
    return sorted(choice.options) if numbers else list(choice.options)


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


def with_layers(arch: Any, layers: Mapping[str, int]) -> Any:
    """Return an architecture with other numbers of layers, by the name of their choice."""
    return _changed(arch, lambda path, value: layers.get(path, value), "")


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


def _changes(probing: Probing, base: Probe) -> Iterator[tuple[list[Any], bool]]:
    """Yield architectures that differ in one choice, and whether it is of integers: then that with the smallest."""
    space = probing.axes.space
    fields: dict[str, list[Any]] = {}
    for choice in _size_choices(probing):
        if len(choice.options) > 1:
            fields.setdefault(starred(f"{choice.name}."), []).append(choice)
    values = space.assignment(base.arch)
    for choices in fields.values():
        options = list(dict.fromkeys(option for choice in choices for option in choice.options))
        integers = all(type(option) is int for option in options)
        if integers:
            options = [None]  # the smallest of each
        together = [_together(space, values, choices, option) for option in options]
        if archs := [arch for arch in together if arch is not None and arch != base.arch]:
            yield archs, integers
        else:
            for choice in choices:
                arch = valid(space, values, {choice.name: _lower(choice)[0]})
                if arch is not None:
                    yield [arch], integers


def _size_choices(probing: Probing) -> list[Any]:
    """Return the choices but those that keep layers."""
    kept = probing.layers.fields if probing.layers else set()
    return [each for each in probing.axes.space.choice_list() if starred(f"{each.name}.")[:-3] not in kept]


def _together(space: Any, values: Mapping[str, Any], choices: Sequence[Any], option: Any) -> Any:
    changed = {
        choice.name: min(choice.options) if option is None else option
        for choice in choices
        if option is None or option in choice.options
    }
    return valid(space, values, changed)


def _has_smaller(probe: Probe, base: Probe) -> bool:
    return any(base.tensors[name][1] != shape for name, (_, shape) in probe.tensors.items() if name in base.tensors)


def _differs(probe: Probe, base: Probe) -> bool:
    same = probe.tensors.keys() >= base.tensors.keys()
    return same and any(getattr(probe, what) != getattr(base, what) for what in ("modules", "attributes"))


def _numbers(probe: Probe) -> int:
    return sum(prod(shape) for _, shape in probe.tensors.values())
