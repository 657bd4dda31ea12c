"""ElasticModel: an unchanged model as a supernet."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from operator import attrgetter
from typing import Any, Generic, cast

import torch
from torch import Tensor, nn
from typing_extensions import TypeVar

from elasticnas.axes import Axes, Masked, Relaxed, Scope
from elasticnas.calls import usage
from elasticnas.elastic.building import Builder
from elasticnas.elastic.coverage import Coverage
from elasticnas.elastic.depth import ChosenLayers
from elasticnas.elastic.families import family_rules
from elasticnas.elastic.layouts import parse_rule
from elasticnas.elastic.memory import available_bytes
from elasticnas.elastic.probe import tensors
from elasticnas.elastic.probing import Probing
from elasticnas.elastic.subnetwork import Slot, SubNetwork, cut, places
from elasticnas.errors import ArchitectureError, AxisError, ConfigError, InactiveChoiceError
from elasticnas.nn.module import ElasticModule
from elasticnas.space import Space, TooManyCombinations
from elasticnas.space.space import A, S

__all__ = ["ElasticModel", "M"]

M = TypeVar("M", bound=nn.Module, default=nn.Module, covariant=True)
"""What ``build`` makes."""

_CACHED = 32  # skeletons; one holds no weights, but what build computes


class ElasticModel(ElasticModule, Generic[A, M]):
    """A supernet around an unchanged model; :func:`elasticnas.elastify` makes one.

    ``with model.at(arch): model(x)`` runs what ``build(**sizes)`` computes, on views of the supernet's weights. Outside
    a scope the whole network runs. Sub-networks are skeletons, no submodules: hooks on ``network`` do not fire in them,
    and they take its weights and its train or eval mode at each call.

    Attributes:
        network: The largest model, with all weights.
        axes: Of the space.
        space: The search space.
    """

    def __init__(self, network: M, builder: Builder, probing: Probing, rules: Mapping[str, str]) -> None:
        super().__init__()
        self.network, self.axes = network, probing.axes
        self.space: type[A] = probing.axes.space
        self.sizes = [self.axes.named(name) for name in self.space.choices()]
        self.probing, self._builder, self._layers, self._rules = probing, builder, probing.layers, dict(rules)
        self._skeletons = _Cache()

    @usage("model.at(arch), with an architecture of the space such as Sizes(hidden=64, depth=2)", ArchitectureError)
    def at(self, arch: A) -> Scope:
        """A scope in which the model is the sub-network of an architecture.

        Raises:
            ArchitectureError: An architecture of another space.
        """
        return self.axes.at(arch)

    def masked(self, archs: object) -> Scope:
        """Refused: an unchanged model runs sliced.

        Raises:
            AxisError: Always.
        """
        raise _runs_sliced()

    def relaxed(self, probabilities: object) -> Scope:
        """Refused: an unchanged model runs sliced.

        Raises:
            AxisError: Always.
        """
        raise _runs_sliced()

    def forward(self, *args: object, **kwargs: object) -> Any:
        """What the model of the architecture in scope gives.

        Raises:
            AxisError: The scope holds masks: an elastified model runs sliced.
        """
        arch = self._arch()
        if arch == self.space.largest():
            return self.network(*args, **kwargs)
        sub = self._skeletons.get(arch, self._made)
        output = sub.bind()(*args, **kwargs)
        sub.keep()
        return output

    def subnetwork(self, arch: A) -> M:
        """The model of an architecture on views of the supernet's weights, as they are until its next use.

        For methods other than a call, such as ``generate``. It is valid until the weights are replaced (an
        optimizer's in-place steps are seen); a buffer that it assigns anew stays its own, unlike in a call of the
        supernet.

        Raises:
            AxisError: A size of the architecture is larger than the supernet's.
            ConfigError: ``build`` fails for it.
        """
        return cast(M, self._skeletons.get(arch, self._made).bind())

    def coverage(self) -> Coverage:
        """Every tensor, the axes of its dimensions, and what stayed fixed; it prints well."""
        smallest = self._made(self.space.smallest())
        computed = tuple(slot.source for slot in smallest.own)
        gone: dict[str, set[str]] = {}
        for probe in self.probing.neighbours:
            missing = self.probing.full.tensors.keys() - probe.tensors.keys()
            if missing:
                gone.setdefault(", ".join(sorted(probe.changed)), set()).update(missing)
        depth = tuple(f"{name} removes up to {len(names)} tensors" for name, names in gone.items())
        return Coverage(tuple(self.probing.layouts.values()), computed, depth)

    def plain(self, memo: dict[Any, Any]) -> nn.Module:
        """What ``build`` makes of the architecture in scope, with the weights of its active units."""
        return self._made(self._arch()).hold(memo)

    def _arch(self) -> Any:
        try:
            return self.axes.current()
        except AxisError:
            if isinstance(self.axes.scopes.innermost(), (Masked, Relaxed)):
                raise _runs_sliced() from None
            raise

    def _made(self, arch: Any) -> SubNetwork:
        # a copy for counting costs holds no values, and needs none
        shapes_only = all(parameter.is_meta for parameter in self.network.parameters())
        skeleton = self._builder.shapes(arch) if shapes_only else self._builder.skeleton(arch)
        self.probing.require_same_ties(skeleton, arch)
        full = {name: (held, key) for name, held, key in places(self.network)}
        slots: list[Slot] = []
        own: list[Slot] = []
        for name, held, key in places(skeleton):
            source, tensor = self._layers.source(name, arch), held[key]
            self.probing.require(source, name, tuple(tensor.shape), arch)
            cuts = self.probing.cuts(source, skeleton, name, tuple(tensor.shape), arch)
            slot = Slot(held, key, source, *full[source], cuts)
            computed = not isinstance(tensor, nn.Parameter) and (
                shapes_only or not torch.equal(cut(self._pristine(source), cuts), tensor)
            )
            (own if computed else slots).append(slot)
        modules = dict(self.network.named_modules(remove_duplicate=False))
        pairs = [
            (module, modules[source])
            for path, module in skeleton.named_modules(remove_duplicate=False)
            if (source := self._layers.source(path, arch)) in modules
        ]
        return SubNetwork(skeleton, slots, own, pairs)

    def _pristine(self, name: str) -> Tensor:
        """A buffer of the largest model as ``build`` makes it; the network's own may have been trained."""
        if self._skeletons.pristine is None:
            largest = self._builder.skeleton(self.space.largest())
            self._skeletons.pristine = dict(largest.named_buffers(remove_duplicate=False))
        return self._skeletons.pristine[name]

    def __reduce__(self) -> Any:
        return _restored, (self.network, self._builder.build, self.space, self._rules)


def _runs_sliced() -> AxisError:
    return AxisError(
        "an elastified model runs sliced: open axes.at(arch) without masks, or build the model of elasticnas.nn parts "
        "for masks and relaxations"
    )


class _Cache:
    """Sub-networks by architecture, the least recently used one given up first; copies start empty."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Any, SubNetwork] = OrderedDict()
        self.pristine: dict[str, Tensor] | None = None

    def get(self, arch: Any, make: Callable[[Any], SubNetwork]) -> SubNetwork:
        if arch not in self._kept:
            self._kept[arch] = make(arch)
            if len(self._kept) > _CACHED:
                self._kept.popitem(last=False)
        self._kept.move_to_end(arch)
        return self._kept[arch]

    def __deepcopy__(self, memo: dict[Any, Any]) -> "_Cache":
        return _Cache()


def _restored(network: nn.Module, build: Callable[..., nn.Module], space: type[Space], rules: dict[str, str]) -> Any:
    return wrap(network, build, space, rules)


def wrap(network: M | None, build: Callable[..., M], space: type[S], rules: Mapping[str, str]) -> ElasticModel[S, M]:
    """The supernet around a network, or around what ``build`` makes of the largest architecture."""
    builder, probing = shell(build, space, rules)
    whole = cast(M, _largest(builder, probing)) if network is None else network
    return ElasticModel(whole, builder, probing, rules)


def _largest(builder: Builder, probing: Probing) -> nn.Module:
    held = sum(parameter.numel() * parameter.element_size() for parameter in probing.full.model.parameters())
    # asked for beforehand: an operating system that overcommits grants it, and later ends the process
    if torch.get_default_device().type == "cpu" and held > (there := available_bytes()):
        raise ConfigError(
            f"{builder.factory.call(builder.space.largest())} holds {held / 2**30:,.1f} GiB of parameters, and "
            f"{there / 2**30:,.1f} GiB of memory are available: give {builder.space.__name__} smaller sizes"
        )
    return builder.model(builder.space.largest())


def shell(
    build: Callable[..., nn.Module], space: type[Space], rules: Mapping[str, str] | None = None
) -> tuple[Builder, Probing]:
    """Everything about a supernet but its weights."""
    axes, builder = Axes(space, space.info()), Builder(build, space)
    _use_properties(axes)
    shapes = builder.shapes(space.largest())
    _require_repeatable(shapes, builder)
    stacks = {path for path, m in shapes.named_modules() if isinstance(m, (nn.ModuleList, nn.Sequential))}
    names = [name for name, _ in tensors(shapes)]
    parsed, layers = [], {}
    for pattern, text in (rules or {}).items():
        if any(fnmatchcase(name, pattern) for name in names):
            parsed.append(parse_rule(pattern, text))
        elif any(fnmatchcase(path, pattern) for path in stacks):
            layers[pattern] = text
        else:
            raise AxisError(
                f"rule {pattern!r} matches no tensor and no stack of layers of {type(shapes).__name__}; its tensors "
                f"are {', '.join(names[:3])}, ..."
            )
    probing = Probing(builder, axes, shapes, [*parsed, *family_rules(shapes)], ChosenLayers(layers, axes, shapes))
    _refuse_silent(probing, builder)
    return builder, probing


def _require_repeatable(shapes: nn.Module, builder: Builder) -> None:
    """Sizes that follow from no choice, such as drawn ones, would pass for those of the size that is changed."""
    largest = builder.space.largest()
    first, second = (
        {name: tuple(tensor.shape) for name, tensor in tensors(made)} for made in (shapes, builder.shapes(largest))
    )
    for name in (*first, *second):
        if first.get(name) != second.get(name):
            raise ConfigError(
                f"{builder.factory.call(largest)} gives {name} the shape {first.get(name)} and, called again, "
                f"{second.get(name)}: let every shape follow from the sizes alone"
            )


def _use_properties(axes: Axes) -> None:
    """Every property may be a size in the model; one that depends on too much to be examined cannot be matched."""
    for name in axes.space.info().properties:
        with suppress(TooManyCombinations, AttributeError):
            attrgetter(name)(axes)


def _refuse_silent(probing: Probing, builder: Builder) -> None:
    silent = [c.name for c in builder.space.choice_list() if c.name not in probing.reached() and len(c.options) > 1]
    if silent:
        factory = builder.factory
        taken = "the architecture" if factory.taken is None else f"the arguments {', '.join(factory.taken)}"
        raise InactiveChoiceError(
            f"{builder.space.__name__}: {', '.join(silent)} reach{'es' if len(silent) == 1 else ''} nothing in what "
            f"{factory.call(builder.space.largest())} makes (it takes {taken}); use the size in build, or take the "
            "choice out of the space"
        )
