"""Known: what follows from a scope, worked out once."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor

__all__ = ["Known"]

T = TypeVar("T")


class Known:
    """What follows from a scope, worked out once: modules ask for the same few things again and again.

    Args:
        sources: Tensors that the scope is made of; they may change while it is open.
    """

    def __init__(self, sources: Iterable[Tensor] = ()) -> None:
        self.sources = tuple(sources)
        self._plain: dict[Any, Any] = {}
        self._tensors: dict[Any, Any] = {}
        self._versions: tuple[int, ...] = ()

    def plain(self, key: Any, make: Callable[[], T]) -> T:
        """What ``make`` gives, and is no computed tensor: sizes, ways to narrow, scopes inside this one."""
        # a compiled graph would be guarded against what is known, and that grows
        if torch.compiler.is_dynamo_compiling():
            return make()
        if key not in self._plain:
            self._plain[key] = make()
        found: T = self._plain[key]
        return found

    def tensor(self, key: Any, make: Callable[[], T]) -> T:
        """What ``make`` computes; anew where a backward pass frees its graph, or a transform of torch owns it."""
        if _is_transformed() or any(source.requires_grad or source.is_inference() for source in self.sources):
            return make()
        versions = tuple(source._version for source in self.sources)
        if versions != self._versions:
            self._tensors, self._versions = {}, versions
        if key not in self._tensors:
            self._tensors[key] = make()
        found: T = self._tensors[key]
        return found


def _is_transformed() -> bool:
    """Whether tensors made now are of no use later: traced, captured, of inference mode, or of torch.func."""
    return (
        torch.compiler.is_compiling()
        or torch.is_inference_mode_enabled()
        or torch._C._functorch.peek_interpreter_stack() is not None
        or (torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing())
    )
