"""Gradients written by hand: where they can be used, and their own derivatives."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

__all__ = ["differentiated", "takes_own_gradient"]


def takes_own_gradient(*tensors: Tensor) -> bool:
    """Return whether an ``autograd.Function`` without further rules can compute these operands.

    Compiled graphs, traces, transforms of ``torch.func``, forward derivatives and autocast need plain operations; half
    precision and empty tensors are left to them too.
    """
    # the compiler first, so that it does not trace the other checks
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None:
        return False
    if torch._C._functorch.peek_interpreter_stack() is not None or forward_ad._current_level >= 0:
        return False
    kind = tensors[0].device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return False
    return all(x.dtype in (torch.float32, torch.float64) and x.numel() > 0 for x in tensors)


def differentiated(
    compute: Callable[..., Any], inputs: Sequence[Tensor], grads: Sequence[Tensor]
) -> list[Tensor | None]:
    """Return the gradients of plain operations, with a graph of their own: for a backward pass that is differentiated.

    Args:
        compute: Maps the inputs to a tuple of outputs.
        inputs: Saved inputs.
        grads: Gradients of the outputs.
    """
    needed, outputs = [x for x in inputs if x.requires_grad], compute(*inputs)
    # an output that depends on no needed input has no graph, although the function gave it one
    outputs, grads = zip(*((y, grad) for y, grad in zip(outputs, grads, strict=True) if y.requires_grad), strict=True)
    found = iter(torch.autograd.grad(outputs, needed, grads, create_graph=True, allow_unused=True))
    return [next(found) if x.requires_grad else None for x in inputs]
