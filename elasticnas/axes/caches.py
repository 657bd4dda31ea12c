"""Caches for values derived from a frame: modules request the same few values many times."""

from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor

from elasticnas.axes.modes import is_transformed

if TYPE_CHECKING:
    from elasticnas.axes.quantity import Quantity
    from elasticnas.axes.size import Size, SizeLike

__all__ = ["Cache", "Caches", "TensorCache"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Narrow = Callable[[Tensor], Tensor]
MaskKey = tuple["Size", torch.dtype, torch.device, type[Tensor]]
ShareKey = tuple["Size", int, torch.dtype, torch.device, type[Tensor]]
PowerKey = tuple["Size", float, torch.dtype, torch.device, type[Tensor]]


class Cache(Generic[K, V]):
    """Cache for values that are not computed tensors: sizes, narrowing functions, nested frames."""

    def __init__(self) -> None:
        self._entries: dict[K, V] = {}

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the cached value; call ``make`` if there is none."""
        # a compiled graph would get guards on the cache, which changes as it grows
        if torch.compiler.is_dynamo_compiling():
            return make()
        if key not in self._entries:
            self._entries[key] = make()
        return self._entries[key]


class TensorCache(Generic[K, V]):
    """Cache for tensors computed from the tensors of a frame.

    Args:
        sources: The frame's tensors. In-place changes while the scope is open invalidate the cache, except those made
            through ``.data``.
    """

    def __init__(self, sources: tuple[Tensor, ...]) -> None:
        self._sources = sources
        self._entries: tuple[tuple[int, ...], dict[K, V]] = ((), {})

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the cached value; call ``make`` if there is none.

        Nothing is cached where a backward pass would free the graph of the result, or where the result belongs to a
        mode or transform of torch.
        """
        # check for the compiler first, so that it does not trace the other checks
        if torch.compiler.is_dynamo_compiling() or is_transformed() or torch.is_inference_mode_enabled():
            return make()
        if any(source.requires_grad or source.is_inference() for source in self._sources):
            return make()
        versions = tuple(source._version for source in self._sources)
        if versions != self._entries[0]:
            self._entries = (versions, {})
        entries = self._entries[1]  # read once: another thread may replace the pair
        if key not in entries:
            entries[key] = make()
        return entries[key]


class Caches:
    """The caches of one frame.

    Args:
        sources: The frame's tensors.

    Attributes:
        sizes: Active units of a size, or the chosen option of a branch.
        narrowings: Functions that narrow a tensor whose dimensions have these sizes.
        masked: Whether any axis of a size is masked.
        values: Active values of quantities.
        masks: Masks over the full size.
        supports: Bool tensors, True where the mask is above 0.
        powers: Expected powers of a size.
        shares: Tables of the units that a fixed number of members use.
        frames: Frames derived from this one.
    """

    def __init__(self, sources: Iterable[Tensor] = ()) -> None:
        self.sources = tuple(sources)
        self.sizes: Cache[Size, Any] = Cache()
        self.narrowings: Cache[tuple[SizeLike, ...], Narrow] = Cache()
        self.masked: Cache[Size, bool] = Cache()
        self.values: TensorCache[Quantity, Any] = TensorCache(self.sources)
        self.masks: TensorCache[MaskKey, Tensor] = TensorCache(self.sources)
        self.supports: TensorCache[MaskKey, Tensor] = TensorCache(self.sources)
        self.powers: TensorCache[PowerKey, Tensor] = TensorCache(self.sources)
        self.shares: TensorCache[ShareKey, Tensor] = TensorCache(self.sources)
        self.frames: Cache[Hashable, Any] = Cache()
