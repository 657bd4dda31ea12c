"""bind: the network of one architecture as a plain module on views of the supernet's weights."""

from collections.abc import Sequence
from typing import Any, overload

from torch import Tensor, nn
from torch.nn.utils import parametrize

from elasticnas.axes import BORROWED, SizeLike, factored_view, narrowing, select
from elasticnas.calls import usage
from elasticnas.elastic.model import ElasticModel, M
from elasticnas.elastic.parts import cut
from elasticnas.elastic.subnetwork import Slot
from elasticnas.elastic.writes import guard_calls
from elasticnas.errors import ExtractionError
from elasticnas.extraction.borrowed import Borrowed, Computed, Narrow, Source
from elasticnas.extraction.bound_modules import bind_module
from elasticnas.extraction.extract import Model, compare, extract_unverified, require_architecture
from elasticnas.extraction.inspect import check, sizes_of
from elasticnas.nn import ElasticParameter
from elasticnas.parallel import is_sharded
from elasticnas.space import Space
from elasticnas.space.space import S

__all__ = ["bind", "bind_unverified"]


@overload
def bind(model: ElasticModel[S, M], arch: S, example: object = None) -> M: ...


@overload
def bind(model: Model, arch: Space, example: object = None) -> Model: ...


@usage("elasticnas.bind(model, architecture, example)", ExtractionError)
def bind(model: nn.Module, arch: Space, example: object = None) -> nn.Module:
    """Return the plain network of an architecture on the supernet's own weights.

    It computes what the supernet computes in the scope ``axes.at(arch)``, without a scope and nearly as fast as the
    extracted network, whose structure it has. Gradients flow into the parameters of the supernet. All changes of the
    supernet's weights take effect, as do those of its device, dtype and train or eval mode; modules, hooks and other
    attributes are those at the time of the call. ``train()``, ``eval()`` and ``zero_grad()`` are the supernet's. The
    parameters are no leaves: optimizers and clipping take ``model.parameters()``. A copy is bound to a copy of the
    supernet.

    Args:
        model: A model made of elastic primitives, or an elastified one.
        arch: An architecture of the model's space.
        example: Input of the model, compared as in :func:`~elasticnas.extract`.

    Raises:
        ArchitectureError: It is not an architecture of the model's space.
        ExtractionError: As for :func:`~elasticnas.extract`. Or a ``plain()`` computes a weight; or the model is in
            DistributedDataParallel, which would not see the gradients, or has sharded or compiled modules.
        InactiveChoiceError: A choice of the space has no effect on the model.
    """
    _require_own_weights(model)
    check(model)
    require_architecture(model, arch, "bind")
    bound = bind_unverified(model, arch)
    compare(model, bound, arch, example)
    return bound


def bind_unverified(model: Model, arch: Any) -> Model:
    """Do the same as :func:`bind` without the comparison.

    Raises:
        ExtractionError: A module cannot be bound.
    """
    _require_own_weights(model)
    if isinstance(model, ElasticModel):
        return _bind_elastified(model, arch)  # type: ignore[return-value]
    borrowing = _Borrowing(model)
    plain = extract_unverified(model, arch, borrowing.memo())
    modules, kept = dict(model.named_modules(remove_duplicate=False)), set(model.modules())
    for path, module in list(plain.named_modules()):
        if module not in kept:
            made = None if path else (bind_unverified, (model, arch))
            bind_module(module, _nearest(modules, path), borrowing.sources(module, path, modules), made)
    return plain


class _Borrowing:
    """Stands for copying in an extraction: plain modules take the supernet's tensors.

    Args:
        model: The supernet.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._places: dict[int, tuple[Any, str]] = {}
        for module in model.modules():
            for held in (module._parameters, module._buffers):
                for name, tensor in held.items():
                    self._places.setdefault(id(tensor), (held, name))
        self._taken: dict[int, Tensor] = {}
        # by plain tensor; the tensors are kept, so that no other gets their id
        self._cuts: dict[int, tuple[Tensor, Tensor, Narrow, Narrow | None]] = {}
        self._borrowed: dict[int, Borrowed] = {}

    def memo(self) -> dict[Any, Any]:
        """Return entries for the memo of the extraction: what is not elastic is used as it is."""
        tensors = [*self._model.parameters(), *self._model.buffers()]
        common = [module for module in self._model.modules() if _is_common(module)]
        return {id(each): each for each in (*tensors, *common)} | {BORROWED: self}

    def take(self, tensor: Tensor, sizes: Sequence[SizeLike], buffer: bool) -> Tensor:
        """Return the active part of a tensor in scope, as :func:`elasticnas.nn.inherit` does, without a copy."""
        if id(tensor) not in self._taken:
            active = select(tensor.detach(), sizes)
            if active.shape == tensor.shape and id(tensor) in self._places:
                self._taken[id(tensor)] = tensor
                return tensor
            taken = active if buffer else nn.Parameter(active, tensor.requires_grad)
            self._taken[id(tensor)] = taken
            self._cuts[id(taken)] = (taken, tensor, narrowing(sizes), factored_view(sizes))
        return self._taken[id(tensor)]

    def sources(self, module: nn.Module, path: str, modules: dict[str, nn.Module]) -> dict[str, Source]:
        """Return where a plain module finds its tensors in the supernet, by name."""
        found: dict[str, Source] = {}
        for held in (module._parameters, module._buffers):
            for name, tensor in held.items():
                if tensor is not None and (held is module._parameters or self._is_known(tensor)):
                    found[name] = self._source(tensor, f"{path}.{name}".lstrip("."), modules)
        return found

    def _is_known(self, tensor: Tensor) -> bool:
        return id(tensor) in self._cuts or id(tensor) in self._places

    def _source(self, tensor: Tensor, name: str, modules: dict[str, nn.Module]) -> Borrowed:
        _, full, narrow, view = self._cuts.get(id(tensor), (tensor, tensor, None, None))
        place = _place_of(full, name, modules) or self._places.get(id(full)) or _parametrized(name, modules)
        if place is None:
            raise ExtractionError(
                f"{name} is computed by a plain() without elasticnas.nn.inherit, and would not follow the supernet's "
                "weights: use inherit, or run the supernet in the scope of the architecture"
            )
        source = Borrowed(*place, tensor.shape, narrow, view, self._borrowed.get(id(tensor)))
        if not isinstance(tensor, nn.Parameter) and not source.is_view():
            raise _copied_buffer(name)
        self._borrowed.setdefault(id(tensor), source)
        return source


class _Attributes:
    """The attributes of a module as a mapping: parametrizations compute them at every use."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module

    def __getitem__(self, name: str) -> Any:
        return getattr(self._module, name)


def _parametrized(name: str, modules: dict[str, nn.Module]) -> "tuple[Any, str] | None":
    """Return where the tensor of this name is computed by a parametrization."""
    path, _, own = name.rpartition(".")
    for module, key in ((modules.get(path), own), (modules.get(name), "weight")):
        if module is not None and parametrize.is_parametrized(module, key):
            return _Attributes(module), key
    return None


def _place_of(full: Tensor, name: str, modules: dict[str, nn.Module]) -> "tuple[Any, str] | None":
    """Return where the module of the same path holds a tensor, or the elastic parameter of this name."""
    path, _, own = name.rpartition(".")
    for module, key in ((modules.get(path), own), (modules.get(name), "weight")):
        for held in () if module is None else (module._parameters, module._buffers):
            if held.get(key) is full:
                return held, key
    return None


def _bind_elastified(model: ElasticModel[Any, Any], arch: Any) -> nn.Module:
    sub = model._build(arch)
    sub.follow()
    sub._mirror.apply()
    guard_calls(sub.module, sub.checked)
    sources: dict[int, dict[str, Source]] = {}
    first: dict[int, Borrowed] = {}
    for slot in sub.slots:
        source = _source_of(slot, first.get(id(slot.held)))
        first.setdefault(id(slot.held), source)
        sources.setdefault(id(slot.place), {})[slot.name] = source
    for slot in sub.own:
        computed = Computed(slot.held, slot.origin, slot.origin_name)
        sources.setdefault(id(slot.place), {})[slot.name] = computed
    modules = dict(model.network.named_modules(remove_duplicate=False))
    for path, module in list(sub.module.named_modules()):
        own = {n: s for held in (module._parameters, module._buffers) for n, s in sources.get(id(held), {}).items()}
        made = None if path else (bind_unverified, (model, arch))
        bind_module(module, _nearest(modules, model._layers.source(path, arch)), own, made)
    return sub.module


def _source_of(slot: Slot, tied: "Borrowed | None") -> Borrowed:
    shape = slot.held.shape

    def narrow(full: Tensor) -> Tensor:
        return cut(full, slot.cuts)

    source = Borrowed(slot.origin, slot.origin_name, shape, None if slot.full.shape == shape else narrow, None, tied)
    if not isinstance(slot.full, nn.Parameter) and not source.is_view():
        raise _copied_buffer(slot.source)
    return source


def _copied_buffer(name: str) -> ExtractionError:
    return ExtractionError(
        f"{name} is a buffer of which the architecture takes several pieces, so that changes in a forward pass would "
        "be lost: run the supernet in the scope of the architecture"
    )


def _nearest(modules: dict[str, nn.Module], path: str) -> nn.Module:
    """Return the module of a path, or the nearest one around it."""
    while path not in modules:
        path = path.rpartition(".")[0]
    return modules[path]


def _is_common(module: nn.Module) -> bool:
    """Return whether a module and all that it holds are torch's own, without an elastic size."""
    own = all(type(part).__module__.startswith("torch.nn.") for part in module.modules())
    return own and next(sizes_of(module), None) is None


def _require_own_weights(model: Any) -> None:
    """Refuse models of which others must see the forward or backward pass.

    Raises:
        ExtractionError: It is wrapped, sharded or compiled.
    """
    if not isinstance(model, nn.Module):
        return
    if isinstance(model, ElasticParameter):
        raise ExtractionError("a single elastic parameter is no network: bind the module that holds it")
    for part in model.modules():
        if isinstance(part, nn.parallel.DistributedDataParallel) or type(part).__name__ == "FullyShardedDataParallel":
            raise ExtractionError(
                "a bound network would not synchronise the gradients of its processes: run the wrapped supernet in the "
                "scope of the architecture"
            )
        if type(part).__name__ == "OptimizedModule":
            raise ExtractionError("the supernet is compiled: bind the model itself, and compile the bound network")
    if is_sharded(model):
        raise ExtractionError(
            "the supernet has sharded weights, of which there are no views: run it in the scope of the architecture"
        )
