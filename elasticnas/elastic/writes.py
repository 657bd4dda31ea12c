"""no_writes: refuse a forward pass that writes to weights, before it does."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from elasticnas.errors import AxisError

__all__ = ["guard_calls", "no_writes"]


@contextmanager
def no_writes(model: nn.Module) -> Iterator[None]:
    """Refuse operations that change a parameter of the model in place; buffers may change.

    Raises:
        AxisError: A forward pass inside writes to a parameter, which then still has its value.
    """
    # kept until the pass is over: weights of a bound network may be copies, whose memory another tensor would get
    kept = [(name, p) for name, p in model.named_parameters() if not p.is_meta]
    names = {_storage(p): name for name, p in kept}
    if not names or torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None or _is_sharded(model):
        yield
    else:
        with _Guard(names):
            yield


def guard_calls(model: nn.Module, checked: set[bool]) -> None:
    """Run forward passes of a model inside of :func:`no_writes` until one has succeeded in its mode.

    Args:
        model: The model, which the caller may run in any way.
        checked: The modes, training or not, in which one has succeeded.
    """
    stack = ExitStack()

    def begin(module: nn.Module, args: Any) -> None:
        if module.training not in checked:
            stack.enter_context(no_writes(module))

    def end(module: nn.Module, args: Any, output: Any) -> None:
        stack.close()

    def succeed(module: nn.Module, args: Any, output: Any) -> None:
        checked.add(module.training)

    model.register_forward_pre_hook(begin)
    model.register_forward_hook(succeed)
    model.register_forward_hook(end, always_call=True)


def _is_sharded(model: nn.Module) -> bool:
    """Return whether parameters are gathered from other processes during the forward pass, which writes to them."""
    return any(hasattr(parameter, "full_tensor") for parameter in model.parameters())


class _Guard(TorchDispatchMode):
    """Looks at every operation before it runs, so that writes through ``.data`` are seen too."""

    def __init__(self, names: dict[int, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._names = names

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func._schema.is_mutable:
            for position, argument in enumerate(func._schema.arguments):
                if argument.alias_info is not None and argument.alias_info.is_write:
                    given = args[position] if position < len(args) else kwargs.get(argument.name)
                    for tensor in given if isinstance(given, (list, tuple)) else (given,):
                        self._check(tensor, func)
        return func(*args, **kwargs)

    def _check(self, tensor: Any, func: Any) -> None:
        if isinstance(tensor, Tensor) and not tensor.is_meta and (name := self._names.get(_storage(tensor))):
            raise AxisError(
                f"the forward pass writes to {name} ({func._schema.name.removeprefix('aten::')}), which all "
                "sub-networks share: turn this off in build, such as rescale_every=0 of RWKV or max_norm=None of an "
                "embedding, or compute the changed weights anew in each forward pass"
            )


def _storage(tensor: Tensor) -> int:
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # tensors without a storage, such as sparse ones
        return id(tensor)
