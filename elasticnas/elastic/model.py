"""ElasticModel: an unchanged model as a supernet."""

import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
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
from elasticnas.elastic.changes import require_unchanged
from elasticnas.elastic.coverage import Coverage
from elasticnas.elastic.depth import ChosenLayers
from elasticnas.elastic.kept import kind_changes
from elasticnas.elastic.kinds import settings_of
from elasticnas.elastic.layouts import Layout, parse_rule
from elasticnas.elastic.memory import available_bytes
from elasticnas.elastic.mirror import Mirror
from elasticnas.elastic.parts import cut
from elasticnas.elastic.positions import require_own_names
from elasticnas.elastic.probe import tensors, variants
from elasticnas.elastic.probing import Probing
from elasticnas.elastic.subnetwork import Slot, SubNetwork, places
from elasticnas.elastic.ties import fill_tied, name_tied_once
from elasticnas.elastic.writes import no_writes
from elasticnas.errors import ArchitectureError, AxisError, ConfigError, InactiveChoiceError
from elasticnas.nn.module import ElasticModule
from elasticnas.space import Space, TooManyCombinations
from elasticnas.space.space import A

__all__ = ["ElasticModel", "M", "require_memory", "shell", "wrap"]

M = TypeVar("M", bound=nn.Module, default=nn.Module, covariant=True)
"""The type of the models that ``build`` returns."""

_MAX_CACHED = 32  # skeletons, which hold no weights, only computed buffers


class ElasticModel(ElasticModule, Generic[A, M]):
    """A supernet around an unchanged model, made by :func:`elasticnas.elastify`.

    ``with model.at(arch): model(x)`` computes what the model ``build(**sizes)`` computes, on views of the supernet's
    weights. Outside of a scope the whole network runs. Sub-networks are separate modules, not submodules: hooks on
    ``network`` are not called for them, and they take its weights and its train or eval mode at each call.

    Attributes:
        network: The largest model, with all weights.
        axes: The axes of the space.
        space: The search space.
    """

    def __init__(self, network: M, builder: Builder, probing: Probing, rules: Mapping[str, str]) -> None:
        super().__init__()
        self.network, self.axes = network, probing.axes
        self.space: type[A] = probing.axes.space
        self.sizes = [self.axes.named(name) for name in self.space.choices()]
        self.probing, self._builder, self._layers, self._rules = probing, builder, probing.layers, dict(rules)
        self._skeletons = _Cache()
        self.register_state_dict_post_hook(name_tied_once)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(fill_tied)  # type: ignore[no-untyped-call]

    @usage("model.at(arch), with an architecture of the space such as Sizes(hidden=64, depth=2)", ArchitectureError)
    def at(self, arch: A) -> Scope:
        """Return a scope in which the model is the sub-network of an architecture.

        Raises:
            ArchitectureError: It is not a valid architecture of the space.
        """
        return self.axes.at(arch)

    def masked(self, archs: object) -> Scope:
        """Raise an error: an unchanged model supports slice scopes only.

        Raises:
            AxisError: Always.
        """
        raise _no_masks_error()

    def relaxed(self, probabilities: object) -> Scope:
        """Raise an error: an unchanged model supports slice scopes only.

        Raises:
            AxisError: Always.
        """
        raise _no_masks_error()

    def forward(self, *args: object, **kwargs: object) -> Any:
        """Run the model of the architecture in scope; its signature is that of the network.

        Raises:
            AxisError: The open scope is not a slice scope, or the forward pass writes to weights.
            ConfigError: Modules of the network were replaced, such as by adapters.
        """
        arch = self._active_arch()
        if arch == self.space.largest():
            return _run(self.network, self._skeletons.checked, args, kwargs)
        # torch.compile compiles the sub-network's forward pass, not how it is made
        bound = torch.compiler.disable(self._bound) if torch.compiler.is_compiling() else self._bound
        sub = bound(arch)
        output = _run(sub.module, sub.checked, args, kwargs)
        sub.keep()
        return output

    def _bound(self, arch: Any) -> SubNetwork:
        sub = self._skeletons.get(arch, self._build)
        sub.bind()
        return sub

    def build(self, arch: A) -> M:
        """Build a plain model of an architecture with new weights; chosen layers keep their kinds.

        For :func:`elasticnas.load`, and to train an architecture from scratch.

        Raises:
            ConfigError: ``build`` fails.
        """
        return cast(M, self._builder.complete(_architecture(self.space, arch)))

    def coverage(self) -> Coverage:
        """Return every tensor, the axes of its dimensions, and which are fixed; print it for a table."""
        smallest = self._build(self.space.smallest())
        computed = tuple(slot.source for slot in smallest.own)
        gone: dict[str, set[str]] = {}
        for probe in self.probing.neighbours:
            missing = self.probing.full.tensors.keys() - probe.tensors.keys()
            if missing:
                gone.setdefault(", ".join(sorted(probe.changed)), set()).update(missing)
        depth = tuple(f"{name} removes up to {len(names)} tensors" for name, names in gone.items())
        return Coverage(tuple(self.probing.layouts.values()), computed, depth)

    def plain(self, memo: dict[Any, Any]) -> nn.Module:
        """Return the model that ``build`` makes of the architecture in scope, with the weights of its active units."""
        return self._build(self._active_arch()).hold(memo)

    def _active_arch(self) -> Any:
        try:
            return self.axes.current()
        except AxisError:
            if isinstance(self.axes.scopes.innermost(), (Masked, Relaxed)):
                raise _no_masks_error() from None
            raise

    def _build(self, arch: Any) -> SubNetwork:
        # a copy on the meta device, for counting costs, needs no buffer values
        shapes_only = all(parameter.is_meta for parameter in self.network.parameters())
        skeleton = self._builder.shapes(arch) if shapes_only else self._builder.skeleton(arch)
        self.probing.require_same_ties(skeleton, arch)
        require_unchanged(self.network, self.probing.full.model)
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
        modules, built = (
            dict(m.named_modules(remove_duplicate=False)) for m in (self.network, self.probing.full.model)
        )
        triples = [
            (module, modules[source], built[source])
            for path, module in skeleton.named_modules(remove_duplicate=False)
            if (source := self._layers.source(path, arch)) in modules and source in built
        ]
        return SubNetwork(skeleton, slots, own, [(mine, full) for mine, full, _ in triples], Mirror(triples))

    def _pristine(self, name: str) -> Tensor:
        """Return a buffer of the largest model as ``build`` makes it; training may have changed the network's."""
        if self._skeletons.pristine is None:
            largest = self._builder.skeleton(self.space.largest())
            self._skeletons.pristine = dict(largest.named_buffers(remove_duplicate=False))
        return self._skeletons.pristine[name]

    def __reduce__(self) -> Any:
        layouts = tuple(self.probing.layouts.values())
        made = self.space.pickle_factory
        if made is None:
            return _restore, (self.network, self._builder.build, self.space, self._rules, layouts)
        return _restore_made, (self.network, self._builder.build, made, self._rules, layouts)


def _architecture(space: Any, given: Any) -> Any:
    """Return the architecture with the fields of an object, such as what ``load`` makes without the space."""
    if isinstance(given, space):
        return given
    fields = {name: getattr(given, name) for name in space.model_fields}
    return space(**{name: vars(value) if hasattr(value, "__dict__") else value for name, value in fields.items()})


def _run(module: nn.Module, checked: set[bool], args: Any, kwargs: Any) -> Any:
    """Run a model; the first forward pass in each mode may not write to weights."""
    if module.training in checked:
        return module(*args, **kwargs)
    with no_writes(module):
        output = module(*args, **kwargs)
    checked.add(module.training)
    return output


def _no_masks_error() -> AxisError:
    return AxisError(
        "an elastified model has no masks: open axes.at(arch) to slice it, or build the model from elasticnas.nn "
        "modules for masks and relaxations (docs/masks-of-elastified-models.md says why and what to do)"
    )


class _Cache:
    """Least-recently-used cache of sub-networks by architecture; copies start empty."""

    def __init__(self) -> None:
        self._subnetworks: OrderedDict[Any, SubNetwork] = OrderedDict()
        self.pristine: dict[str, Tensor] | None = None
        self.checked: set[bool] = set()  # modes in which the whole network is known not to write to weights

    def get(self, arch: Any, make: Callable[[Any], SubNetwork]) -> SubNetwork:
        if arch not in self._subnetworks:
            self._subnetworks[arch] = make(arch)
            if len(self._subnetworks) > _MAX_CACHED:
                self._subnetworks.popitem(last=False)
        self._subnetworks.move_to_end(arch)
        return self._subnetworks[arch]

    def __deepcopy__(self, memo: dict[Any, Any]) -> "_Cache":
        return _Cache()


def _restore(
    network: nn.Module, build: Callable[..., nn.Module], space: type[Space], rules: dict[str, str], layouts: Any
) -> Any:
    return wrap(network, *shell(build, space, rules, layouts), rules)


def _restore_made(
    network: nn.Module, build: Callable[..., nn.Module], made: Any, rules: dict[str, str], layouts: Any
) -> Any:
    """Restore a supernet whose space a function makes."""
    make, arguments = made
    return _restore(network, build, make(*arguments), rules, layouts)


def wrap(network: M | None, builder: Builder, probing: Probing, rules: Mapping[str, str]) -> ElasticModel[Any, M]:
    """Make the supernet of a network, or of the largest model of ``build`` if ``network`` is None."""
    whole = cast(M, builder.model(builder.space.largest())) if network is None else network
    return _class_like(type(whole))(whole, builder, probing, rules)


def _class_like(kind: type[nn.Module]) -> type[ElasticModel[Any, Any]]:
    """Return a class whose forward shows the signature of a model, by which Hugging Face's Trainer selects columns."""

    def forward(self: ElasticModel[Any, Any], *args: object, **kwargs: object) -> Any:
        return ElasticModel.forward(self, *args, **kwargs)

    forward.__doc__ = ElasticModel.forward.__doc__
    with suppress(TypeError, ValueError):
        forward.__signature__ = inspect.signature(kind.forward)  # type: ignore[attr-defined]
    own = {"forward": forward, "__module__": ElasticModel.__module__, "__doc__": ElasticModel.__doc__}
    return type(ElasticModel.__name__, (ElasticModel,), own)


def require_memory(builder: Builder, probing: Probing) -> None:
    """Check that the largest model fits into memory; an operating system that overcommits would kill the process later.

    Raises:
        ConfigError: It does not.
    """
    held = sum(parameter.numel() * parameter.element_size() for parameter in probing.full.model.parameters())
    if torch.get_default_device().type == "cpu" and held > (available := available_bytes()):
        raise ConfigError(
            f"{builder.factory.call(builder.space.largest())} has {held / 2**30:,.1f} GiB of parameters, but only "
            f"{available / 2**30:,.1f} GiB of memory are available: give {builder.space.__name__} smaller sizes"
        )


def shell(
    build: Callable[..., nn.Module],
    space: type[Space],
    rules: Mapping[str, str] | None = None,
    layouts: Sequence[Layout] | None = None,
) -> tuple[Builder, Probing]:
    """Return the builder and the layouts of a supernet, without weights; without ``layouts`` they are not proven."""
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
    builder.layers = ChosenLayers(layers, axes, shapes)
    try:
        probing = Probing(builder, axes, shapes, parsed, builder.layers, layouts)
    except (AxisError, ConfigError):  # a module that changes its name is seen as another one of other sizes
        for arch in variants(space):
            require_own_names(builder.shapes(arch), shapes, builder.factory.call(arch))
        raise
    _require_all_choices(probing, builder)
    _require_same_kinds(probing, builder)
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
    """Make the axes of all properties, which may be sizes in the model, unless they depend on too many choices."""
    for name in axes.space.info().properties:
        with suppress(TooManyCombinations, AttributeError):
            attrgetter(name)(axes)


def _require_all_choices(probing: Probing, builder: Builder) -> None:
    reached = probing.reached()
    inactive = [c.name for c in builder.space.choice_list() if c.name not in reached and len(c.options) > 1]
    if inactive:  # rates and functions too
        full = settings_of(probing.full.model)
        changed = (probe.changed for probe in probing.neighbours if settings_of(probe.model) != full)
        reached = reached.union(*changed)
        inactive = [name for name in inactive if name not in reached]
    if inactive:
        factory = builder.factory
        taken = "the architecture" if factory.taken is None else f"the arguments {', '.join(factory.taken)}"
        raise InactiveChoiceError(
            f"{builder.space.__name__}: {', '.join(inactive)} ha{'s' if len(inactive) == 1 else 've'} no effect on "
            f"the model of {factory.call(builder.space.largest())} (it takes {taken}); use the size in build, or "
            "remove the choice from the space"
        )


def _require_same_kinds(probing: Probing, builder: Builder) -> None:
    """Refuse a smaller depth at which a layer is of another kind: its weights are those of the largest model's."""
    for probe in probing.neighbours:
        require_own_names(probe.model, probing.full.model, builder.factory.call(probe.arch))
        if found := next(kind_changes(probe.model, probing.full.model, probing.layers.counts), None):
            raise ConfigError(
                f"{builder.factory.call(probe.arch)} makes {found[0]} another kind of layer than the largest model "
                f"({found[1]}), whose weights it takes: build the layers alike at every depth, or choose layers by a "
                f"field of bools, rules={{{found[0].rpartition('.')[0]!r}: 'keep'}}, which keeps their kinds"
            )
