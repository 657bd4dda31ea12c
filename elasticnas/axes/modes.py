"""Modes of torch: a tensor made under a trace, a fake mode or a transform must not be used after it."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["Constant", "is_traced", "is_transformed", "known_all_true"]


def is_traced() -> bool:
    """Return whether operations are traced or dispatched to a mode, so that tensor values cannot be read."""
    tracing = torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
    return tracing or torch._C._len_torch_dispatch_stack() > 0


def is_transformed() -> bool:
    """Return whether a tensor made now belongs to a trace, a dispatch mode, a transform or a CUDA graph capture."""
    return (
        is_traced()
        or torch._C._functorch.peek_interpreter_stack() is not None
        or (torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing())
    )


def known_all_true(condition: Callable[[], Tensor]) -> bool:
    """Return whether all entries of a condition are known to be true.

    Returns False too if reading them would break a graph or is impossible, as under ``torch.func.vmap``.
    """
    if torch.compiler.is_dynamo_compiling() or is_traced():
        return False
    if torch._C._functorch.peek_interpreter_stack() is None:
        return bool(condition().all())
    try:
        return bool(condition().all())
    except RuntimeError:  # vmap: the answer differs between samples
        return False


class Constant:
    """A constant tensor, converted to any dtype and device.

    Caches one tensor per dtype and device, made outside of all modes; tensors made under a mode are not cached.

    Args:
        make: Makes the tensor on a given device.
    """

    def __init__(self, make: Callable[[torch.device], Tensor]) -> None:
        self._make = make
        self._precomputed: Tensor | None = None
        self._cached: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def precompute(self) -> None:
        """Make the tensor now, so that a graph traced later takes it as an input instead of computing it."""
        if self._precomputed is None and not is_transformed():
            with torch.inference_mode(False):
                self._precomputed = self._make(torch.device("cpu"))

    def like(self, tensor: Tensor) -> Tensor:
        """Return the constant with the dtype and device of a tensor."""
        if torch.compiler.is_dynamo_compiling() and self._precomputed is not None:
            return self._precomputed.to(tensor)
        if is_transformed():
            return self._make(tensor.device).to(tensor.dtype)
        key = (tensor.dtype, tensor.device)
        if key not in self._cached:
            with torch.inference_mode(False):
                self._cached[key] = self._make(tensor.device).to(tensor.dtype)
        return self._cached[key]
