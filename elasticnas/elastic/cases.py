"""Cases: pairs of architectures whose models show which units a smaller model has."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from elasticnas.elastic.behaviour import Behaviour
from elasticnas.elastic.building import Builder
from elasticnas.elastic.finder import Pair
from elasticnas.elastic.layouts import starred
from elasticnas.elastic.probe import Probe, valid
from elasticnas.elastic.probing import Probing

__all__ = ["Case", "base_of", "cases_of", "kind_of"]

Kind = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class Case:
    """A large architecture and a smaller one, which differs in one choice, or in as few as the space allows.

    Attributes:
        base: The large architecture's model.
        small: The smaller one's.
    """

    base: Probe
    small: Probe

    def pair(self, base: Behaviour, small: Behaviour, judged: Sequence[str]) -> Pair:
        """Return the models and the dimensions to decide.

        Args:
            base: Behaviour of the large model.
            small: Behaviour of the smaller one.
            judged: Names in the supernet of the tensors to look at.
        """
        alike: dict[Any, list[str]] = {}
        own: dict[str, str] = {}
        for source in judged:
            if source not in self.base.tensors or source not in self.small.tensors:
                continue
            (name, shape), (other, fewer) = self.base.tensors[source], self.small.tensors[source]
            if name in base.tensors and other in small.tensors:
                own[name] = other
                alike.setdefault((starred(source), shape, fewer), []).append(name)
        dims = tuple((names[0], dim) for (_, shape, _), names in alike.items() for dim in range(len(shape)))
        return Pair(base, small, own, {names[0]: names for names in alike.values()}, dims)


def kind_of(probing: Probing, name: str) -> Kind:
    """Return what layers have in common: the name without their numbers, and what the sizes depend on."""
    return starred(name), tuple(dimension.label for dimension in probing.layouts[name].dimensions)


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
            if same and len(probe.tensors) < len(base.tensors):
                if {kind_of(probing, name) for name in probe.tensors} == kinds:
                    base = probe
                    break
    return Probe(base.arch, builder.skeleton(base.arch), probing.layers)


def cases_of(builder: Builder, probing: Probing, base: Probe) -> list[Case]:
    """Return a case for every choice of sizes; the entries of a per-layer choice change together."""
    found: dict[Any, Case] = {}
    for arch in _smaller(probing, base):
        shapes = Probe(arch, builder.shapes(arch), probing.layers)
        if arch not in found and (shapes.tensors.keys() >= base.tensors.keys()) and _differs(shapes, base):
            found[arch] = Case(base, Probe(arch, builder.skeleton(arch), probing.layers))
    return list(found.values())


def _smaller(probing: Probing, base: Probe) -> Iterator[Any]:
    space, fields = probing.axes.space, {}
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
