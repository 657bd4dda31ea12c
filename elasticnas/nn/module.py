"""ElasticModule: the base class of elastic modules, and how they are copied and extracted."""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from elasticnas.axes import BORROWED, EXTRACTING, SizeLike, select
from elasticnas.errors import ExtractionError

__all__ = [
    "ElasticModule",
    "has_hooks",
    "inherit",
    "normal",
    "replicate",
    "require_all_named",
    "without_parametrizations",
]

_REGISTRIES = ("_parameters", "_buffers", "_modules")


class ElasticModule(nn.Module):
    """A module whose sizes may be axes; extraction, comparison and reordering rely on these methods alone.

    A leaf holds full-size tensors, lists them in :meth:`tensor_sizes`, narrows them in its forward with
    :func:`elasticnas.axes.select`, and returns an :meth:`example` of its input. A container holds only other modules
    and needs to override none of the three methods; it may override ``example`` to be compared as a whole.

    Copies follow the same scope as the original. During extraction, a copy is the plain module that :meth:`plain`
    returns for the open scope.

    Attributes:
        reads: For each weight that multiplies the input, by name: its dimension for the input features. Used for
            importance by activations.
    """

    reads: ClassVar[Mapping[str, int]] = {}

    def tensor_sizes(self) -> Mapping[str, Sequence[SizeLike]]:
        """Return the sizes of the dimensions of the module's own parameters and buffers, by name; ``()`` for a scalar.

        Lists every tensor that the module itself holds and that is not None.
        """
        return {}

    def example(self, generator: torch.Generator) -> tuple[Any, ...] | None:
        """Return arguments for :meth:`forward` with the sizes in scope, and the device and dtype of the weights.

        Args:
            generator: CPU generator, the only source of randomness.

        Returns:
            The arguments, or None. With None, extraction compares the parts of a container separately, and a leaf only
            within a network for which the caller gives an example.
        """
        return None

    def idle(self) -> Sequence[nn.Module]:
        """Return the submodules that do not run in the open slice scope; none by default."""
        return ()

    def plain(self, memo: dict[Any, Any]) -> nn.Module:
        """Return the plain module of the architecture in scope, with the weights of its active units.

        By default an instance of the same class with ints for axes and narrowed tensors; a leaf with a counterpart in
        torch returns that instead.

        Args:
            memo: The memo of the surrounding deep copy.
        """
        tensors = {
            name: inherit(getattr(self, name), sizes, memo, buffer=name in self._buffers)
            for name, sizes in self.tensor_sizes().items()
        }
        plain: nn.Module = replicate(self, memo, tensors)
        if parametrize.is_parametrized(self):
            without_parametrizations(plain, tensors)
        return plain

    def __deepcopy__(self, memo: dict[Any, Any]) -> Any:
        if EXTRACTING not in memo:
            return replicate(self, memo)
        require_all_named(self)
        plain = self.plain(memo)
        memo[id(self)] = plain
        if self.tensor_sizes() and type(plain) is not type(self):
            _require_nothing_lost(self, plain)
        if isinstance(plain, nn.Module):
            if type(plain).forward is not type(self).forward:
                _copy_hooks(self, plain, memo)
                if self.tensor_sizes():
                    _copy_attributes(self, plain, memo)
            plain.training = self.training
        return plain


def inherit(tensor: Tensor, sizes: Sequence[SizeLike], memo: dict[Any, Any], buffer: bool = False) -> Any:
    """Return the active part of a parameter as a new parameter; a shared parameter gives one shared result.

    Args:
        tensor: Full-size parameter, buffer, or tensor computed by a parametrization.
        sizes: Sizes of its dimensions.
        memo: The memo of the surrounding deep copy.
        buffer: Whether to return a plain tensor instead of a parameter.
    """
    if BORROWED in memo:
        return memo[BORROWED].take(tensor, sizes, buffer)
    if id(tensor) not in memo:
        active = select(tensor.detach(), sizes).clone()
        memo[id(tensor)] = active if buffer else nn.Parameter(active, requires_grad=tensor.requires_grad)
        memo.setdefault(id(memo), []).append(tensor)  # as deepcopy does: keeps its id from being reused
    return memo[id(tensor)]


def replicate(
    module: nn.Module,
    memo: dict[Any, Any],
    changes: "Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None" = None,
) -> Any:
    """Return a deep copy of a module with some of its attributes, tensors or submodules replaced.

    The copy has the class, hooks, buffers and attributes of the original.

    Args:
        module: The module.
        memo: The memo of the surrounding deep copy.
        changes: Replacements by attribute name, used without a copy; or a function that makes them, called when the
            copy is already in the memo, for submodules that refer back to the module.
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
    """Return normal random numbers with the device and dtype of a tensor."""
    # drawn in float32 on the CPU, so that the numbers are the same for every device and dtype
    return torch.randn(*shape, generator=generator, dtype=torch.float32, device="cpu").to(like)


def require_all_named(module: ElasticModule) -> None:
    """Check that a leaf lists all of its tensors: others would be lost or stay at full size in extraction.

    Raises:
        ExtractionError: It does not.
    """
    sizes = module.tensor_sizes()
    own = [name for held in (module._parameters, module._buffers) for name, value in held.items() if value is not None]
    unnamed = [name for name in own if name not in sizes] if sizes else []
    if unnamed:
        raise ExtractionError(
            f"{type(module).__name__} holds {', '.join(unnamed)}, which its tensor_sizes() does not name, so that its "
            "extraction is unknown: name it there"
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
    """Return whether a module has hooks."""
    return any(vars(module).get(name) for name in _HOOKS)


def _copy_hooks(module: ElasticModule, plain: nn.Module, memo: dict[Any, Any]) -> None:
    """Copy the hooks of a leaf to the module of another class that replaces it."""
    for name in _HOOKS:
        if value := vars(module).get(name):
            plain.__dict__[name] = copy.deepcopy(value, memo)


def _require_nothing_lost(module: ElasticModule, plain: Any) -> None:
    """Check that a leaf has nothing that the module of another class which replaces it would lack."""
    kind, gives = type(module), type(plain).__name__
    if others := [name for name in module._modules if name != "parametrizations"]:
        raise ExtractionError(
            f"{kind.__name__} holds the modules {', '.join(others)}, and its plain form {gives} has no place for them: "
            "move them to the module around it, or override plain()"
        )
    own = _own_class(module)
    owner = next(cls for cls in own.__mro__ if "plain" in vars(cls))
    if own is not owner:
        raise ExtractionError(
            f"{own.__name__} is a subclass of {owner.__name__}, whose plain form {gives} lacks what the subclass adds: "
            "override plain() too, or use composition instead of a subclass"
        )


def _copy_attributes(module: ElasticModule, plain: nn.Module, memo: dict[Any, Any]) -> None:
    """Copy attributes that were set on a leaf from outside to the module of another class that replaces it."""
    standard = {*inspect.signature(_own_class(module)).parameters, *vars(nn.Module()), *vars(plain)}
    for name, value in vars(module).items():
        if name not in standard:
            plain.__dict__[name] = copy.deepcopy(value, memo)


def _own_class(module: nn.Module) -> type[nn.Module]:
    """Return the class that a module was made with; torch gives a parametrized module a subclass."""
    kind = type(module)
    own: type[nn.Module] = kind.__bases__[0] if parametrize.is_parametrized(module) else kind
    return own


def without_parametrizations(module: nn.Module, computed: Mapping[str, Any]) -> None:
    """Replace parametrizations by parameters, in place.

    ``torch.nn.utils.parametrize.remove_parametrizations`` deletes the attribute of the class, which copies share.

    Args:
        module: A parametrized module.
        computed: Parameters by name, at least for every parametrized tensor.
    """
    names, own = list(module.parametrizations), _own_class(module)  # type: ignore[arg-type]
    del module._modules["parametrizations"]
    module.__class__ = own
    for name in names:
        module.register_parameter(name, computed[name])
