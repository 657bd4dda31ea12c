"""ElasticModule: what an elastic part tells the library about itself, copying and extraction."""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from elasticnas.axes import EXTRACTING, SizeLike, select
from elasticnas.errors import ExtractionError

__all__ = [
    "ElasticModule",
    "has_hooks",
    "inherit",
    "normal",
    "refuse_strangers",
    "replicate",
    "without_parametrizations",
]

_REGISTRIES = ("_parameters", "_buffers", "_modules")


class ElasticModule(nn.Module):
    """A module with sizes that may be axes; extraction, comparison and importance order know parts by this alone.

    A leaf holds tensors of full size, names them in :meth:`tensor_sizes`, narrows them in its forward by
    :func:`elasticnas.axes.select`, and gives an :meth:`example` of its input. A container holds only other modules and
    leaves the three methods as they are, or gives an example where its forward does more than call its parts.

    Copies follow the same scope as the original. Inside an extraction, a copy is the plain module that
    :meth:`plain` gives for the open scope.

    Attributes:
        reads: Names of weights, and the dimension of each that the input's last dimension runs along: what importance
            by activations weighs.
    """

    reads: ClassVar[Mapping[str, int]] = {}

    def tensor_sizes(self) -> Mapping[str, Sequence[SizeLike]]:
        """What the dimensions of the module's own parameters and buffers hold, by name; ``()`` for a scalar.

        Every tensor that the module itself holds at full size is named, None ones left out.
        """
        return {}

    def example(self, generator: torch.Generator) -> tuple[Any, ...] | None:
        """Arguments for :meth:`forward` at the sizes in scope, on the device and in the dtype of the weights.

        Args:
            generator: On the CPU; all that is random comes from it.

        Returns:
            None where there is none: a container is then compared by its parts, and a leaf only as part of a whole
            network, for which the caller gives an example.
        """
        return None

    def idle(self) -> Sequence[nn.Module]:
        """Modules that this one holds, and does not run in the open slice scope; none by default."""
        return ()

    def plain(self, memo: dict[Any, Any]) -> nn.Module:
        """The plain module of the architecture in scope, with the weights of its active units.

        By default the same class, with axes turned into ints and tensors narrowed; a leaf with a counterpart in torch
        gives that instead.

        Args:
            memo: Of the deep copy that this is part of.
        """
        made = {
            name: inherit(getattr(self, name), sizes, memo, buffer=name in self._buffers)
            for name, sizes in self.tensor_sizes().items()
        }
        plain: nn.Module = replicate(self, memo, made)
        if parametrize.is_parametrized(self):
            without_parametrizations(plain, made)
        return plain

    def __deepcopy__(self, memo: dict[Any, Any]) -> Any:
        if EXTRACTING not in memo:
            return replicate(self, memo)
        refuse_strangers(self)
        plain = self.plain(memo)
        memo[id(self)] = plain
        if self.tensor_sizes() and type(plain) is not type(self):
            _require_whole(self, plain)
        if isinstance(plain, nn.Module):
            if type(plain).forward is not type(self).forward:
                _hand_over_hooks(self, plain, memo)
                if self.tensor_sizes():
                    _hand_over_attributes(self, plain, memo)
            plain.training = self.training
        return plain


def inherit(tensor: Tensor, sizes: Sequence[SizeLike], memo: dict[Any, Any], buffer: bool = False) -> Any:
    """The active part of a parameter as one of its own; what is shared stays shared.

    Args:
        tensor: Of full size; what a parametrization computes becomes a parameter.
        sizes: What its dimensions hold.
        memo: Of the deep copy that this is part of.
        buffer: Whether the part is to be a plain tensor.
    """
    if id(tensor) not in memo:
        active = select(tensor.detach(), sizes).clone()
        memo[id(tensor)] = active if buffer else nn.Parameter(active, requires_grad=tensor.requires_grad)
        memo.setdefault(id(memo), []).append(tensor)  # as deepcopy does: an id is a key while its owner lives
    return memo[id(tensor)]


def replicate(
    module: nn.Module,
    memo: dict[Any, Any],
    changes: "Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None" = None,
) -> Any:
    """A deep copy of a module with some of its attributes, tensors or submodules replaced.

    Class, hooks, buffers and attributes are those of the original, subclasses included.

    Args:
        module: What is copied.
        memo: Of the deep copy that this is part of.
        changes: By attribute name, taken as they are; a function makes them once the copy is known, as parts that
            refer back to the module need.
    """
    copied = type(module).__new__(type(module))
    memo[id(module)] = copied
    changed = (changes() if callable(changes) else changes) or {}
    for name, value in vars(module).items():
        if name in _REGISTRIES:
            made = copy.deepcopy({key: item for key, item in value.items() if key not in changed}, memo)
            copied.__dict__[name] = {key: changed[key] if key in changed else made[key] for key in value}
        else:
            copied.__dict__[name] = changed[name] if name in changed else copy.deepcopy(value, memo)
    return copied


def normal(generator: torch.Generator, like: Tensor, *shape: int) -> Tensor:
    """Normal numbers on the device and in the dtype of a tensor, the same for all of these."""
    # drawn in float32 on the CPU, so that every device and dtype compares the same numbers
    return torch.randn(*shape, generator=generator, dtype=torch.float32, device="cpu").to(like)


def refuse_strangers(module: ElasticModule) -> None:
    """A leaf's tensor that it does not name would be lost, or stay at full size."""
    sizes = module.tensor_sizes()
    own = [name for held in (module._parameters, module._buffers) for name, value in held.items() if value is not None]
    unnamed = [name for name in own if name not in sizes] if sizes else []
    if unnamed:
        raise ExtractionError(
            f"{type(module).__name__} holds {', '.join(unnamed)}, which its tensor_sizes() does not name, so that "
            "nothing tells how it is extracted: name it there"
        )


_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_is_full_backward_hook",
)


def has_hooks(module: nn.Module) -> bool:
    """Whether any hook of its own runs with the module."""
    return any(vars(module).get(name) for name in _HOOKS)


def _hand_over_hooks(module: ElasticModule, plain: nn.Module, memo: dict[Any, Any]) -> None:
    """Hooks of a leaf go to the module of another class that takes its place."""
    for name in _HOOKS:
        if value := vars(module).get(name):
            plain.__dict__[name] = copy.deepcopy(value, memo)


def _require_whole(module: ElasticModule, plain: Any) -> None:
    """What a module of another class cannot take over would be lost."""
    kind, gives = type(module), type(plain).__name__
    if others := [name for name in module._modules if name != "parametrizations"]:
        raise ExtractionError(
            f"{kind.__name__} holds the modules {', '.join(others)}, and its plain form {gives} has no place for them: "
            "hold them beside it, or override plain()"
        )
    own = _own_class(module)
    owner = next(cls for cls in own.__mro__ if "plain" in vars(cls))
    if own is not owner:
        raise ExtractionError(
            f"{own.__name__} is a subclass of {owner.__name__}, whose plain form {gives} has nothing of what it adds: "
            "override plain() too, or put the module into one of your own"
        )


def _hand_over_attributes(module: ElasticModule, plain: nn.Module, memo: dict[Any, Any]) -> None:
    """What was set on a leaf from outside goes to the module of another class that takes its place."""
    standard = {*inspect.signature(_own_class(module)).parameters, *vars(nn.Module()), *vars(plain)}
    for name, value in vars(module).items():
        if name not in standard:
            plain.__dict__[name] = copy.deepcopy(value, memo)


def _own_class(module: nn.Module) -> type[nn.Module]:
    """The class that a module was made of; torch gives a parametrized one a subclass."""
    kind = type(module)
    own: type[nn.Module] = kind.__bases__[0] if parametrize.is_parametrized(module) else kind
    return own


def without_parametrizations(module: nn.Module, computed: Mapping[str, Any]) -> None:
    """Put parameters in the place of parametrizations.

    Torch's own removal takes the attribute off the class, which copies share.

    Args:
        module: Parametrized; changed in place.
        computed: Parameters by name, for every tensor that is parametrized; others are not read.
    """
    names, own = list(module.parametrizations), _own_class(module)  # type: ignore[arg-type]
    del module._modules["parametrizations"]
    module.__class__ = own
    for name in names:
        module.register_parameter(name, computed[name])
