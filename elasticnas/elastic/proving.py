"""Proving: replace the layouts that sizes suggest by those that the behaviour of built models proves."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from elasticnas.elastic import refusals
from elasticnas.elastic.behaviour import Behaviour, Dim
from elasticnas.elastic.building import Builder
from elasticnas.elastic.cases import Case, archs_of, base_of, others_of, shallow, shrunk, with_layers
from elasticnas.elastic.expressions import Expression
from elasticnas.elastic.finder import Pair
from elasticnas.elastic.layouts import Layout, sizes_of
from elasticnas.elastic.parts import Part, Prefix
from elasticnas.elastic.probe import Probe, tensors
from elasticnas.elastic.probing import Probing
from elasticnas.elastic.proof import Verdict, contradictions, prove
from elasticnas.elastic.proven_layouts import ProvenLayouts
from elasticnas.elastic.running import NoExample, find_inputs
from elasticnas.errors import ArchitectureError, AxisError, ConfigError

__all__ = ["prove_layouts"]

_MANY_NUMBERS = 3_000_000  # of a model that is proven at smaller sizes, if it can be built with them
_CONFIRMED = 2  # units of a dimension that are tried at the real sizes
_LEAST = (16, 24, 32, 48, 64, 96, 128)  # smallest sizes that are tried


@torch.inference_mode(False)
@torch.enable_grad()
def prove_layouts(builder: Builder, probing: Probing, example: Any, assume: bool) -> None:
    """Let a probing adopt the layouts that behaviour proves.

    Args:
        builder: Builds the models.
        probing: The layouts by sizes and rules.
        example: Input of the model; None makes one.
        assume: Whether dimensions for which nothing is proven keep their first units.

    Raises:
        ConfigError: An example is needed, or the model does not run on it.
        AxisError: A rule is refuted, no layout agrees with the models' behaviour, or nothing is proven.
    """
    base = base_of(builder, probing)
    archs = archs_of(builder, probing, base)
    if not archs:
        return
    numbers = sum(tensor.numel() for _, tensor in tensors(base.model))
    before = list(probing.layouts.values())
    # models of small sizes have the structure of large ones, and take less time
    layers = shallow(builder, probing, base) if numbers > _MANY_NUMBERS else {}
    whole = partial(with_layers, layers=layers)
    make = partial(_Prover, builder, probing, base.arch, archs, example)
    problem: AxisError | None = None
    for least in _LEAST if numbers > _MANY_NUMBERS else ():
        try:
            prover = make(partial(shrunk, probing, least=least, layers=layers))
            prover.decide(assume)
        except AxisError as error:  # the sizes may be too small to tell
            problem = error
        except (ConfigError, ArchitectureError, NoExample):  # the sizes do not divide each other
            pass
        else:
            if make(whole).confirms(prover.closed):
                return
            problem = None
            probing.adopt(before)
            break
        probing.adopt(before)
    if problem is not None:
        raise problem
    try:
        prover = make(whole)
    except NoExample as error:
        if assume:
            return
        raise ConfigError(str(error)) from error.__cause__
    prover.decide(assume)


class _Prover:
    def __init__(
        self,
        builder: Builder,
        probing: Probing,
        base: Any,
        archs: Sequence[Any],
        example: Any,
        smaller: Callable[[Any], Any],
    ) -> None:
        self.builder, self.probing, self._smaller, self._archs = builder, probing, smaller, (base, archs)
        self.base = self._probe(base)
        self.cases = [Case(self.base, self._probe(arch), (base, arch)) for arch in archs]
        self.computed = set().union(*(_computed(self.base, case.small) for case in self.cases))
        self.inputs = find_inputs([self.base, *(case.small for case in self.cases)], example, builder.factory.call)
        self.full = self._behaviour(self.base)
        self.closed: set[Dim] = set()

    def _probe(self, arch: Any) -> Probe:
        made = self._smaller(arch)
        return Probe(made, self.builder.skeleton(made), self.probing.layers)

    def _behaviour(self, probe: Probe) -> Behaviour:
        filled = {name for source, (name, _) in probe.tensors.items() if source not in self.computed}
        return Behaviour(probe.model, self.inputs(probe), filled)

    def decide(self, assume: bool) -> None:
        """Adopt the proven layouts.

        Raises:
            AxisError: As :func:`prove_layouts`.
        """
        has_rules = any(layout.source == "your rule" for layout in self.probing.layouts.values())
        verdicts = self._verdicts(True)
        for case, verdict in zip(self.cases, verdicts, strict=True):
            if verdict.refuted:
                self._raise_refuted(case, verdict, has_rules)
        for case, verdict in zip(self.cases, verdicts, strict=True):
            if verdict.ambiguous:
                names = [self._named(case, dim) for dim in verdict.ambiguous]
                raise AxisError(refusals.ambiguous(names, self.builder.factory.call(case.archs[1])))
        found = self._layouts(verdicts, self.probing.layouts.values())
        opened = self._open(verdicts)
        if opened and not assume:
            free = self._verdicts(False) if has_rules else verdicts
            if has_rules and not self._open(free) and not any(verdict.refuted for verdict in free):
                raise AxisError(self._refutation(self.cases[0], opened, free))
            raise AxisError(refusals.undecided(opened))
        if not assume:
            self._require_decided(found)
        self.probing.adopt(found)
        self.closed = {dim for verdict in verdicts for group in verdict.closed for dim in sorted(group)[:1]}
        self._verify_others(verdicts)

    def confirms(self, sources: Collection[Dim]) -> bool:
        """Return whether some units of these dimensions, in models of the real sizes, depend on others as claimed."""
        return not any(self._contradictions(case, sources) for case in self.cases)

    def _layouts(self, verdicts: Sequence[Verdict], before: Iterable[Layout]) -> list[Layout]:
        return ProvenLayouts(self.probing, self.base, self.cases, {each.name: each for each in before}).of(verdicts)

    # the proof

    def _verdicts(self, with_rules: bool) -> list[Verdict]:
        return [self._verdict(case, with_rules) for case in self.cases]

    def _verdict(self, case: Case, with_rules: bool, claimed: bool = False, free: Collection[Dim] = ()) -> Verdict:
        pair, parts = self._pair(case, with_rules, claimed)
        return prove(pair, {dim: part for dim, part in parts.items() if dim not in free})

    def _contradictions(self, case: Case, sources: Collection[Dim]) -> list[tuple[Dim, Dim]]:
        pair, parts = self._pair(case, True, True)
        return contradictions(pair, parts, sources, _CONFIRMED)

    def _pair(self, case: Case, with_rules: bool, claimed: bool) -> tuple[Pair, dict[Dim, Part]]:
        judged, parts = {}, {}
        for name, layout in self.probing.layouts.items():
            if name in self.computed or (name not in case.small.tensors or name not in case.base.tensors):
                continue
            judged[name] = self.probing.layered[name]
            for dim, dimension in enumerate(layout.dimensions):
                if claimed or (with_rules and dimension.how == "rule"):
                    parts[case.base.tensors[name][0], dim] = self._claimed(case, name, dim, dimension.expression)
        pair = case.pair(self.full, self._behaviour(case.small), judged)
        trusted = {
            (case.base.tensors[name][0], dim)
            for name in judged
            for dim, dimension in enumerate(self.probing.layouts[name].dimensions)
            if dimension.how == "rule" and dimension.expression is None and with_rules
        }
        leaders = {dim: leader for dim, leader in pair.leaders.items() if not trusted & {dim, leader}}
        return replace(pair, trusted=frozenset(trusted & set(pair.dims)), leaders=leaders), parts

    def _claimed(self, case: Case, name: str, dim: int, expression: Expression | None) -> Part:
        """Return the units that a layout claims for a dimension."""
        (full, active), where = (p.tensors[name][1][dim] for p in (case.base, case.small)), f"{name}, dimension {dim}"
        if expression is None:
            return Prefix(full, active)
        sizes = [
            sizes_of(
                expression,
                probe.tensors[name][1][dim],
                self.probing.axis_getter(probe.arch),
                probe.model,
                probe.tensors[name][0].rpartition(".")[0],
                where,
            )
            for probe in (case.base, case.small)
        ]
        return expression.part(*sizes)

    def _verify_others(self, verdicts: Sequence[Verdict]) -> None:
        """Check the layouts for the options in between, and for many choices together."""
        base, archs = self._archs
        regrouped = {dim for verdict in verdicts for dim in verdict.regrouped}
        for arch in others_of(self.probing, base, archs):
            case = Case(self.base, self._probe(arch), (base, arch))
            verdict = self._verdict(case, True, claimed=True, free=regrouped)
            if verdict.refuted and not verdict.regrouped:
                raise AxisError(self._irreconcilable(case, verdict))

    def _require_decided(self, layouts: Iterable[Layout]) -> None:
        """Require that each dimension that varies is proven, or that it does not matter which units it keeps.

        Raises:
            AxisError: Some dimension is not.
        """
        full = dict(tensors(self.probing.full.model))
        floats = {name for name, (own, _) in self.probing.full.tensors.items() if full[own].is_floating_point()}
        layouts = [each for each in layouts if each.name in floats - self.computed]
        pairs = [
            (each, f"{self.probing.layered[each.name]} dimension {number}", *dimensions)
            for each in layouts
            for number, dimensions in enumerate(
                zip(self.probing.layouts[each.name].dimensions, each.dimensions, strict=True)
            )
        ]
        proven = {before.label for *_, before, d in pairs if d.how == "proven"}
        composite = {before.label for *_, before, d in pairs if d.how == "proven" and d.expression is not None}
        # a vector of the same size as others, all of which keep their first units, does so too
        unused = [
            name
            for each, name, before, d in pairs
            if d.how == "no effect" and (len(each.shape) > 1 or before.label not in proven - composite)
        ]
        if unused:
            raise AxisError(refusals.unused(unused))
        missing = [name for _, name, _, d in pairs if d.how in ("axis", "size")]
        if missing:
            raise AxisError(refusals.undecided(missing))

    # messages

    def _raise_refuted(self, case: Case, verdict: Verdict, has_rules: bool) -> None:
        if not has_rules:
            raise AxisError(self._irreconcilable(case, verdict))
        free = self._verdicts(False)
        for other, without in zip(self.cases, free, strict=True):
            if without.refuted:
                raise AxisError(self._irreconcilable(other, without))
        raise AxisError(self._refutation(case, [self._named(case, dim) for dim in _dims(verdict)], free))

    def _irreconcilable(self, case: Case, verdict: Verdict) -> str:
        large, small = map(self.builder.factory.call, case.archs)
        return refusals.irreconcilable([self._named(case, dim) for dim in _dims(verdict)], large, small)

    def _refutation(self, case: Case, names: Sequence[str], free: Sequence[Verdict]) -> str:
        proven = self._layouts(free, map(_without_rules, self.probing.layouts.values()))
        small = self.builder.factory.call(case.archs[1])
        return refusals.refuted(names, self.probing.rules, small, proven, self.probing.layered)

    def _open(self, verdicts: Sequence[Verdict]) -> list[str]:
        """Return the names of the dimensions that are open in some case."""
        found = [
            self._named(case, dim)
            for case, verdict in zip(self.cases, verdicts, strict=True)
            for dim in sorted(verdict.open)
            if not self._has_rule(case, dim)
        ]
        return list(dict.fromkeys(found))

    def _has_rule(self, case: Case, dim: Dim) -> bool:
        return self.probing.layouts[case.base.sources[dim[0]]].dimensions[dim[1]].how == "rule"

    def _named(self, case: Case, dim: Dim) -> str:
        return f"{self.probing.layered[case.base.sources[dim[0]]]} dimension {dim[1]}"


def _dims(verdict: Verdict) -> list[Dim]:
    return [dim for pair in verdict.refuted for dim in pair]


def _without_rules(layout: Layout) -> Layout:
    dimensions = [replace(d, how="size", expression=None) if d.how == "rule" else d for d in layout.dimensions]
    return replace(layout, dimensions=tuple(dimensions))


def _computed(base: Probe, small: Probe) -> Iterator[str]:
    """Yield buffers that ``build`` computes from the sizes: they are no part of those of the larger model."""
    first, second = dict(base.model.named_buffers()), dict(small.model.named_buffers())
    for name, (own, _) in base.tensors.items():
        if own in first and name in small.tensors:
            whole, part = first[own], second.get(small.tensors[name][0])
            if part is None or whole.ndim != part.ndim:
                continue
            prefix = whole[tuple(slice(0, size) for size in part.shape)]
            if whole.shape != part.shape and not torch.equal(prefix, part):
                yield name
