"""bind_module: give a plain module the tensors and the mode of the supernet's module."""

import copy
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakValueDictionary

from torch import Tensor, nn

from elasticnas.errors import ExtractionError
from elasticnas.extraction.borrowed import Borrowed, Source, Tensors
from elasticnas.nn.embedding import has_few, look_up

__all__ = ["bind_module"]

_CLASSES: WeakValueDictionary[tuple[type[nn.Module], frozenset[str]], type[nn.Module]] = WeakValueDictionary()


def bind_module(
    module: nn.Module,
    counterpart: nn.Module,
    sources: Mapping[str, Source],
    made: "tuple[Callable[..., nn.Module], tuple[Any, ...]] | None" = None,
) -> None:
    """Give a plain module the tensors and the mode of the supernet's module, in place.

    Its class becomes a subclass of the same name, of which ``training`` and the tensors are properties: they are right
    in whatever way the module is used, and take no longer than the attributes of ``nn.Module``.

    Args:
        module: The plain module.
        counterpart: The module of the supernet that it stands for.
        sources: Where to find its tensors, by name.
        made: Function and arguments that make the module, for copies; None if it is only a part of a bound network.
    """
    state = module.__dict__
    for registry in ("_parameters", "_buffers"):
        own = {name: source for name, source in sources.items() if name in state[registry]}
        if own:
            state[registry] = Tensors(state[registry], own)
    state.pop("training", None)
    state |= {"_sources": sources, "_counterpart": counterpart, "_made": made}
    module.__class__ = _class_of(type(module), frozenset(sources))


def _class_of(kind: type[nn.Module], names: frozenset[str]) -> type[nn.Module]:
    made = _CLASSES.get((kind, names))
    if made is None:
        own = {name: property(_reader(name)) for name in names} | _METHODS
        if kind.forward is nn.Embedding.forward and "weight" in names:
            own["forward"] = _look_up
        texts = {name: getattr(kind, name) for name in ("__module__", "__qualname__", "__doc__")}
        made = _CLASSES[kind, names] = type(kind.__name__, (kind,), own | texts)
    return made


def _reader(name: str) -> Callable[[Any], Tensor]:
    def read(self: Any) -> Tensor:
        tensor: Tensor = self._sources[name].read()
        return tensor

    return read


def _look_up(self: Any, ids: Tensor) -> Tensor:
    """Look up rows as ``torch.nn.Embedding`` does."""
    source = self._sources["weight"]
    rows = source.table() if isinstance(source, Borrowed) and has_few(ids, source.full) else None
    if rows is None or self.max_norm is not None or self.scale_grad_by_freq or self.sparse:
        return nn.Embedding.forward(self, ids)
    return look_up(ids, rows, self.embedding_dim, self.padding_idx)


def _training(self: Any) -> bool:
    counterpart = vars(self).get("_counterpart")
    training: bool = vars(self)["training"] if counterpart is None else counterpart.training
    return training


def _set_training(self: Any, mode: bool) -> None:
    counterpart = vars(self).get("_counterpart")
    if counterpart is None:  # a new module of the class, such as the slice of a container
        vars(self)["training"] = mode
    else:
        counterpart.training = mode


def _train(self: Any, mode: bool = True) -> Any:
    """Set the mode of the supernet's module."""
    counterpart = vars(self).get("_counterpart")
    if counterpart is None:
        return nn.Module.train(self, mode)
    counterpart.train(mode)
    return self


def _zero_grad(self: Any, set_to_none: bool = True) -> None:
    """Reset the gradients of the supernet's module."""
    self._counterpart.zero_grad(set_to_none)


def _apply(self: Any, function: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
    tensors = [*self.parameters(recurse), *self.buffers(recurse)]
    if any(function(tensor) is not tensor for tensor in tensors):
        raise ExtractionError(
            "a bound network has the supernet's weights: move or convert the supernet, which the bound network follows"
        )
    return self


def _load(self: Any, *unused: object) -> None:
    raise ExtractionError("a bound network has the supernet's weights: load the state into the supernet")


def _deepcopy(self: Any, memo: dict[int, Any]) -> Any:
    function, arguments = _reduce(self)
    memo[id(self)] = copied = function(*copy.deepcopy(arguments, memo))
    return copied


def _reduce(self: Any, protocol: object = None) -> Any:
    if self._made is None:
        raise ExtractionError(
            f"{type(self).__name__} is a part of a bound network, which is copied with its supernet: copy the bound "
            "network, or a part of an extracted one"
        )
    return self._made


_METHODS = {
    "training": property(_training, _set_training),
    "train": _train,
    "zero_grad": _zero_grad,
    "_apply": _apply,
    "_load_from_state_dict": _load,
    "__deepcopy__": _deepcopy,
    "__reduce_ex__": _reduce,
}
