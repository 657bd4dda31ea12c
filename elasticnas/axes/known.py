"""Known: what follows from a scope, worked out once."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor

__all__ = ["Known", "is_traced"]

T = TypeVar("T")


class Known:
    """What follows from a scope, worked out once: modules ask for the same few things again and again.

    Args:
        sources: Tensors that the scope is made of. They may change while it is open, but not through ``.data``.
    """

    def __init__(self, sources: Iterable[Tensor] = ()) -> None:
        self.sources = tuple(sources)
        self._plain: dict[Any, Any] = {}
        self._tensors: tuple[tuple[int, ...], dict[Any, Any]] = ((), {})

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
        if versions != self._tensors[0]:
            self._tensors = (versions, {})
        kept = self._tensors[1]  # one pair, as another thread may put the next in its place
        if key not in kept:
            kept[key] = make()
        found: T = kept[key]
        return found


def is_traced() -> bool:
    """Whether operations are recorded or watched, so that what a tensor holds may not be asked."""
    tracing = torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
    return tracing or torch._C._len_torch_dispatch_stack() > 0


def _is_transformed() -> bool:
    """Whether tensors made now are of no use later: traced, captured, of inference mode, or of torch.func."""
    return (
        is_traced()
        or torch.is_inference_mode_enabled()
        or torch._C._functorch.peek_interpreter_stack() is not None
        or (torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing())
    )
