"""Proving: replace the layouts that sizes suggest by those that the behaviour of built models proves."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import torch

from elasticnas.elastic.behaviour import Behaviour, Dim
from elasticnas.elastic.building import Builder
from elasticnas.elastic.cases import Case, archs_of, base_of, kind_of, shallow, shrunk
from elasticnas.elastic.examples import Maker, given, makers
from elasticnas.elastic.expressions import Expression, Name, Product
from elasticnas.elastic.layouts import Dimension, Layout, as_rules, sizes_of, starred
from elasticnas.elastic.linear import input_dim
from elasticnas.elastic.naming import Unnamed, express
from elasticnas.elastic.parts import Part, Prefix
from elasticnas.elastic.probe import Probe, tensors
from elasticnas.elastic.probing import Probing
from elasticnas.elastic.proof import Verdict, prove
from elasticnas.errors import ArchitectureError, AxisError, ConfigError, describe_error

__all__ = ["prove_layouts"]

_MOST_NAMED = 6  # dimensions named in a message
_MANY_NUMBERS = 3_000_000  # of a model that is proven at smaller sizes, if it can be built with them
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
    problem: AxisError | None = None
    for least in _LEAST if numbers > _MANY_NUMBERS else ():
        try:
            smaller = partial(shrunk, probing, least=least, layers=layers)
            _Prover(builder, probing, base.arch, archs, example, smaller).decide(assume)
            return
        except AxisError as error:  # the sizes may be too small to tell
            problem = error
        except (ConfigError, _NoExample):  # the sizes do not divide each other
            pass
        probing.adopt(before)
    if problem is not None:
        raise problem
    try:
        prover = _Prover(builder, probing, base.arch, archs, example, lambda arch: arch)
    except _NoExample as error:
        if assume:
            return
        raise ConfigError(str(error)) from error.__cause__
    prover.decide(assume)


class _NoExample(Exception):
    pass


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
        self.builder, self.probing, self._smaller = builder, probing, smaller
        self.base = self._probe(base)
        self.cases = [Case(self.base, self._probe(arch), (base, arch)) for arch in archs]
        self.computed = set().union(*(_computed(self.base, case.small) for case in self.cases))
        self.maker = self._find_maker(example)
        self.full = self._behaviour(self.base)
        self._archs = base, archs

    def _probe(self, arch: Any) -> Probe:
        made = self._smaller(arch)
        return Probe(made, self.builder.skeleton(made), self.probing.layers)

    def decide(self, assume: bool) -> None:
        """Adopt the proven layouts.

        Raises:
            AxisError: As :func:`prove_layouts`.
        """
        claimed = self._verdicts(True)
        refuted = [(case, verdict) for case, verdict in zip(self.cases, claimed, strict=True) if verdict.refuted]
        has_rules = any(layout.source == "your rule" for layout in self.probing.layouts.values())
        if refuted and has_rules:
            case, verdict = refuted[0]
            names = [self._source(case, dim) for edge in verdict.refuted for dim in edge]
            raise AxisError(self._refutation(case, names, self._verdicts(False)))
        if refuted:
            raise AxisError(self._irreconcilable(*refuted[0]))
        for case, verdict in zip(self.cases, claimed, strict=True):
            if verdict.ambiguous:
                names = list(dict.fromkeys(self._source(case, dim) for dim in verdict.ambiguous))
                raise AxisError(
                    f"several layouts of {_listed(sorted(names))} agree with the behaviour of "
                    f"{self.builder.factory.call(case.archs[1])}, and none keeps the first units of each of its parts: "
                    "give rules with their layouts, such as '(heads (2 half + rest)) _' for heads that are partly "
                    "rotated"
                )
        layouts = self._layouts(claimed)
        opened = self._open(claimed)
        if opened and not assume:
            free = self._verdicts(False) if has_rules else claimed
            if has_rules and not self._open(free) and not any(verdict.refuted for verdict in free):
                names = [f"{self.probing.layered[name]} dimension {dim}" for name, dim in opened]
                raise AxisError(self._refutation(self.cases[0], names, free))
            raise AxisError(self._undecided(opened))
        self.probing.adopt(layouts)
        self._verify_jointly()

    # the models

    def _behaviour(self, probe: Probe) -> Behaviour:
        filled = {name for source, (name, _) in probe.tensors.items() if source not in self.computed}
        return Behaviour(probe.model, self.maker(probe), filled)

    def _find_maker(self, example: Any) -> Any:
        if example is not None:
            maker = lambda probe: given(example, probe.arch)  # noqa: E731
            self._require_run(maker)
            return maker
        problem: Exception | None = None
        for make in makers(self.base.model):
            maker = _made_by(make)
            try:
                self._run(maker)
            except AxisError:  # it writes to weights
                raise
            except Exception as error:  # whatever a model raises for an unsuitable input
                problem = problem or error
                continue
            return maker
        reason = f" ({describe_error(problem)})" if problem is not None else ""
        raise _NoExample(
            f"elastify proves which units a sub-network keeps by running small models, and found no input that "
            f"{type(self.base.model).__name__} accepts{reason}: give elastify(..., example=...), a tensor, a tuple of "
            "arguments, a mapping of keyword arguments, or a function of the architecture that returns one"
        )

    def _run(self, maker: Any) -> None:
        for probe in self._probes:
            _try(probe, maker)

    def _require_run(self, maker: Any) -> None:
        for probe in self._probes:
            try:
                _try(probe, maker)
            except AxisError:  # it writes to weights
                raise
            except Exception as error:  # whatever the model raises
                raise ConfigError(
                    f"{self.builder.factory.call(probe.arch)} fails on the example ({describe_error(error)}): give an "
                    "example that every architecture accepts, such as a function of the architecture"
                ) from error

    # the proof

    def _verdicts(self, with_rules: bool) -> list[Verdict]:
        return [self._verdict(case, with_rules) for case in self.cases]

    def _verdict(self, case: Case, with_rules: bool, claimed: bool = False) -> Verdict:
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
        return prove(replace(pair, trusted=frozenset(trusted & set(pair.dims)), leaders=leaders), parts)

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

    def _verify_jointly(self) -> None:
        """Check the layouts on the smallest architecture, in which all sizes change together."""
        space, (base, archs) = self.probing.axes.space, self._archs
        values, smallest = space.assignment(base), space.assignment(space.smallest())
        changed = {
            name: smallest[name]
            for arch in archs
            for name, option in space.assignment(arch).items()
            if name in values and option != values[name] and name in smallest
        }
        try:
            arch = space.from_assignment({**values, **changed})
        except ArchitectureError:  # by a rule of the space
            return
        if arch == base or arch in archs:
            return
        case = Case(self.base, self._probe(arch), (base, arch))
        if not case.small.tensors.keys() >= self.base.tensors.keys():
            return
        verdict = self._verdict(case, True, claimed=True)
        if verdict.refuted and not verdict.regrouped:
            raise AxisError(self._irreconcilable(case, verdict))

    # the layouts

    def _layouts(self, verdicts: Sequence[Verdict]) -> list[Layout]:
        by_kind: dict[Any, tuple[Dimension, ...]] = {}
        first: dict[int, str] = {}
        alias = {name: first.setdefault(id(tensor), name) for name, tensor in tensors(self.base.model)}
        for name, (own, _) in self.base.tensors.items():
            by_kind.setdefault(kind_of(self.probing, name), self._dimensions(name, alias.get(own, own), verdicts))
        found = []
        for name, layout in self.probing.layouts.items():
            dimensions = by_kind[kind_of(self.probing, name)]
            source = "behaviour" if any(d.how == "proven" for d in dimensions) else layout.source
            found.append(replace(layout, dimensions=dimensions, source=source))
        return [self._with_companion(layout, found) for layout in found]

    def _dimensions(self, name: str, own: str, verdicts: Sequence[Verdict]) -> tuple[Dimension, ...]:
        return tuple(
            self._dimension(name, (own, dim), dimension, verdicts)
            for dim, dimension in enumerate(self.probing.layouts[name].dimensions)
        )

    def _dimension(self, name: str, dim: Dim, before: Dimension, verdicts: Sequence[Verdict]) -> Dimension:
        if before.how == "rule":
            agrees = any(dim in verdict.proven for verdict in verdicts)
            return replace(before, note="" if agrees else before.note)
        if before.how == "fixed":
            return before
        reps = [(names.get(dim[0], dim[0]), dim[1]) for names in self._representatives]
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
                found.add(self.probing.layouts[name].dimensions[read].label)
        return found

    @cached_property
    def _probes(self) -> list[Probe]:
        return [self.base, *(case.small for case in self.cases)]

    @cached_property
    def _representatives(self) -> list[dict[str, str]]:
        """For every case the name of the first tensor that only differs in its layer, by the name of each."""
        found = []
        for case in self.cases:
            first: dict[Any, str] = {}
            found.append(
                {
                    name: first.setdefault((self.probing.layered[source], shape, case.small.tensors[source][1]), name)
                    for source, (name, shape) in self.base.tensors.items()
                    if source in case.small.tensors
                }
            )
        return found

    def _expression(self, name: str, dim: Dim, parts: Sequence[Part]) -> Expression | None:
        probes = self._probes
        before = self.probing.layouts[name].dimensions[dim[1]]
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

    # messages

    def _open(self, verdicts: Sequence[Verdict]) -> list[Dim]:
        found = []
        for case, verdict in zip(self.cases, verdicts, strict=True):
            sources = {own: source for source, (own, _) in case.base.tensors.items()}
            found += [(sources[name], dim) for name, dim in sorted(verdict.open)]
        return list(dict.fromkeys(found))

    def _undecided(self, opened: Sequence[Dim]) -> str:
        names = list(dict.fromkeys(f"{self.probing.layered[name]} dimension {dim}" for name, dim in opened))
        return (
            f"nothing in the model's behaviour shows which units {_listed(names)} keep when they get smaller: give "
            "rules with their layouts, such as '(heads d) _', with '_' for a dimension that keeps its first units, or "
            "assume=True to keep the first units of all of them"
        )

    def _irreconcilable(self, case: Case, verdict: Verdict) -> str:
        names = list(dict.fromkeys(self._source(case, dim) for edge in verdict.refuted for dim in edge))
        return (
            f"{self.builder.factory.call(case.archs[1])} does not compute on units of "
            f"{self.builder.factory.call(case.archs[0])}: no choice of units of {_listed(names)} makes them depend on "
            "each other as in the smaller model, as with fewer but wider heads; change the options of the space, tie "
            "sizes by a rule or property of the space, or give rules with '_' for these tensors to keep their first "
            "units all the same"
        )

    def _refutation(self, case: Case, names: Sequence[str], free: Sequence[Verdict]) -> str:
        names = list(dict.fromkeys(names))
        given_rules = ", ".join(f"{rule.pattern!r}: {rule.text!r}" for rule in self.probing.rules)
        if any(each.refuted for each in free):
            problem = next((c, v) for c, v in zip(self.cases, free, strict=True) if v.refuted)
            return self._irreconcilable(*problem)
        bare = [
            replace(
                layout,
                dimensions=tuple(
                    replace(d, how="size", expression=None) if d.how == "rule" else d for d in layout.dimensions
                ),
            )
            for layout in self.probing.layouts.values()
        ]
        self.probing.layouts = {layout.name: layout for layout in bare}
        texts = _rules_of(self._layouts(free), self.probing.layered)
        way = f"give {as_rules(texts)}" if texts else "leave the rules out"
        return (
            f"the rules {{{given_rules}}} are refuted by the model's behaviour: with them, the units of "
            f"{_listed(names)} depend on each other in another way than in {self.builder.factory.call(case.archs[1])}"
            f"; {way}, which behaviour proves"
        )

    def _source(self, case: Case, dim: Dim) -> str:
        sources = {own: source for source, (own, _) in case.base.tensors.items()}
        return f"{self.probing.layered[sources[dim[0]]]} dimension {dim[1]}"


def _rules_of(layouts: Iterable[Layout], layered: Mapping[str, str]) -> dict[str, str]:
    """Return the rules that say what is proven, without those that follow from others."""
    texts = {
        layered[layout.name]: " ".join(f"({d.expression.text()})" if d.expression else "_" for d in layout.dimensions)
        for layout in layouts
        if any(d.expression is not None for d in layout.dimensions)
    }
    weights = {name.removesuffix("weight") for name in texts if name.endswith("weight")}
    return {
        name: text
        for name, text in texts.items()
        if not (name.endswith(".bias") and name.removesuffix("bias") in weights)
    }


def _try(probe: Probe, maker: Any) -> None:
    """Run a model forward and backward."""
    Behaviour(probe.model, maker(probe)).affects("")


def _made_by(make: Maker) -> Any:
    return lambda probe: make(probe.model)


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


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"{', '.join(names[:_MOST_NAMED])}{more}"
