"""Caches: what follows from a frame, worked out once, as modules ask for the same few things again and again."""

from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor

from elasticnas.axes.modes import is_transformed

if TYPE_CHECKING:
    from elasticnas.axes.quantity import Quantity
    from elasticnas.axes.size import Size, SizeLike

__all__ = ["Cache", "Caches", "Computed"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Narrow = Callable[[Tensor], Tensor]
MaskKey = tuple["Size", torch.dtype, torch.device, type[Tensor]]
PowerKey = tuple["Size", float, torch.dtype, torch.device, type[Tensor]]


class Cache(Generic[K, V]):
    """Facts that are no computed tensors: sizes, ways to narrow, frames inside this one."""

    def __init__(self) -> None:
        self._kept: dict[K, V] = {}

    def get(self, key: K, make: Callable[[], V]) -> V:
        """What ``make`` gave the first time."""
        # a compiled graph would be guarded against what is kept, and that grows
        if torch.compiler.is_dynamo_compiling():
            return make()
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


class Computed(Generic[K, V]):
    """What is computed from the tensors of a frame.

    Args:
        sources: The tensors. They may change while the scope is open, but not through ``.data``.
    """

    def __init__(self, sources: tuple[Tensor, ...]) -> None:
        self._sources = sources
        self._kept: tuple[tuple[int, ...], dict[K, V]] = ((), {})

    def get(self, key: K, make: Callable[[], V]) -> V:
        """What ``make`` computes; anew where a backward pass frees its graph, or a mode of torch owns the result."""
        # the compiler's question first: what it traces costs it time
        if torch.compiler.is_dynamo_compiling() or is_transformed() or torch.is_inference_mode_enabled():
            return make()
        if any(source.requires_grad or source.is_inference() for source in self._sources):
            return make()
        versions = tuple(source._version for source in self._sources)
        if versions != self._kept[0]:
            self._kept = (versions, {})
        kept = self._kept[1]  # one pair, as another thread may put the next in its place
        if key not in kept:
            kept[key] = make()
        return kept[key]


class Caches:
    """The caches of one frame.

    Args:
        sources: Tensors that the frame is made of.

    Attributes:
        sizes: Active units of a size, or the option of a branch.
        narrowings: What narrows a tensor with dimensions of these sizes.
        masked: Whether any axis of a size is masked.
        values: What a quantity is at.
        masks: Masks over the full size.
        supports: Where masks are above 0, bool.
        powers: Expected powers of a size.
        frames: Frames that follow from this one.
    """

    def __init__(self, sources: Iterable[Tensor] = ()) -> None:
        self.sources = tuple(sources)
        self.sizes: Cache[Size, Any] = Cache()
        self.narrowings: Cache[tuple[SizeLike, ...], Narrow] = Cache()
        self.masked: Cache[Size, bool] = Cache()
        self.values: Computed[Quantity, Any] = Computed(self.sources)
        self.masks: Computed[MaskKey, Tensor] = Computed(self.sources)
        self.supports: Computed[MaskKey, Tensor] = Computed(self.sources)
        self.powers: Computed[PowerKey, Tensor] = Computed(self.sources)
        self.frames: Cache[Hashable, Any] = Cache()
