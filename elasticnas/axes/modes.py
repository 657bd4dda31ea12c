"""What torch is doing: a tensor made while it traces, fakes or transforms is of no use afterwards."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["Constant", "certainly", "is_traced", "is_transformed"]


def is_traced() -> bool:
    """Whether operations are recorded or watched, so that what a tensor holds may not be asked."""
    tracing = torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
    return tracing or torch._C._len_torch_dispatch_stack() > 0


def is_transformed() -> bool:
    """Whether a tensor made now belongs to a trace, a fake or counting mode, a transform, or a capture."""
    return (
        is_traced()
        or torch._C._functorch.peek_interpreter_stack() is not None
        or (torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing())
    )


def certainly(condition: Callable[[], Tensor]) -> bool:
    """Whether all entries of a condition are known to be true.

    False too where to find out is to break a graph, or is impossible, as under ``torch.func.vmap``.
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
    """Fixed numbers as a tensor of any dtype and device.

    One tensor is kept for each dtype and device, made outside of every mode; what a mode makes is not kept.

    Args:
        make: The numbers, on a device.
    """

    def __init__(self, make: Callable[[torch.device], Tensor]) -> None:
        self._make = make
        self._precomputed: Tensor | None = None
        self._kept: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def precompute(self) -> None:
        """Make it now, so that a graph traced later takes it as an input instead of computing it."""
        if self._precomputed is None and not is_transformed():
            with torch.inference_mode(False):
                self._precomputed = self._make(torch.device("cpu"))

    def like(self, tensor: Tensor) -> Tensor:
        """The numbers in the dtype and on the device of a tensor."""
        if torch.compiler.is_dynamo_compiling() and self._precomputed is not None:
            return self._precomputed.to(tensor)
        if is_transformed():
            return self._make(tensor.device).to(tensor.dtype)
        key = (tensor.dtype, tensor.device)
        if key not in self._kept:
            with torch.inference_mode(False):
                self._kept[key] = self._make(tensor.device).to(tensor.dtype)
        return self._kept[key]
