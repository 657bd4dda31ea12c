"""Borrowed: a tensor of a bound network, read from the supernet at every use."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from elasticnas.axes.modes import is_transformed
from elasticnas.errors import ExtractionError
from elasticnas.parallel.sharding import is_shard

__all__ = ["Borrowed", "Computed", "Narrow", "Source", "Tensors"]

Narrow = Callable[[Tensor], Tensor]


class Source(Protocol):
    """Where a bound module finds one of its tensors."""

    def read(self) -> Tensor:
        """Return the current tensor."""

    def write(self, value: Any) -> None:
        """Replace the tensor.

        Raises:
            ExtractionError: It cannot be replaced.
        """


class Borrowed:
    """The active part of a tensor of the supernet.

    A view is made once: autograd gives a view of a leaf the right gradient after in-place changes of the leaf too. It
    is made anew if the supernet holds another tensor, one with other memory or strides (``.to()``, ``.data = ...``), or
    one that has been frozen or unfrozen since. If the active part is no view, it is copied at every use.

    Args:
        place: Dictionary of the supernet's module that holds the full tensor, or another mapping that has it.
        key: Its key.
        shape: Shape of the active part.
        narrow: Returns the active part of the full tensor; None if all of it is active.
        view: Returns a view of the full tensor, of which the active part is a reshape; None if there is none.
        tied: Another name of the tensor; both give one view while the supernet holds one tensor.
    """

    def __init__(
        self,
        place: Any,
        key: str,
        shape: torch.Size,
        narrow: "Narrow | None" = None,
        view: "Narrow | None" = None,
        tied: "Borrowed | None" = None,
    ) -> None:
        self._place, self._key, self._shape, self._tied = place, key, shape, tied
        self._narrow, self._view = narrow, view or narrow
        # not asked later: a functional call of the supernet has plain tensors in place of its parameters
        self._replaceable = narrow is None and isinstance(place, dict) and not isinstance(self.full, nn.Parameter)
        self._full: Tensor | None = None
        self._pointer, self._trained = 0, False
        self._stride: tuple[int, ...] = ()
        self._part: Tensor | None = None
        self._copied = False
        self._buffers: tuple[Tensor, Tensor] | None = None

    @property
    def full(self) -> Tensor:
        """The supernet's tensor."""
        try:
            tensor: Tensor = self._place[self._key]
        except KeyError:
            raise ExtractionError(
                f"{self._key} of the supernet is no tensor of its module any more, as after pruning or a "
                "parametrization: bind again"
            ) from None
        return tensor

    def read(self) -> Tensor:
        """Return the active part; its gradient flows into the supernet's tensor."""
        full = self.full
        if self._narrow is None:
            return full
        if torch.compiler.is_compiling():
            return self._narrow(full)
        if self._tied is not None and self._tied.full is full:
            return self._tied.read()
        if (
            full is not self._full
            or full.data_ptr() != self._pointer
            or full.stride() != self._stride
            or full.requires_grad is not self._trained
        ):
            self._renew(full)
        if self._part is None:
            return self._narrow(full)
        return self._copy() if self._copied else self._part

    def table(self) -> "Tensor | None":
        """Return the active rows at full width, if the active part is the first units of these."""
        part, full = self.read(), self.full
        if part.ndim != 2 or part is not self._part or part.stride() != full.stride() or part.storage_offset():
            return None
        return full if len(part) == len(full) else full[: len(part)]

    def is_view(self) -> bool:
        """Return whether the active part shares its memory with the supernet's tensor."""
        return self._narrow is None or self.read()._base is self.full

    def write(self, value: Any) -> None:
        """Replace a buffer that is active as a whole."""
        if not self._replaceable:
            raise ExtractionError(
                f"{self._key} of a bound network is the supernet's and cannot be replaced: replace it in the supernet"
            )
        self._place[self._key] = value

    def _copy(self) -> Tensor:
        """Return the active part of a view that cannot have its shape."""
        assert self._part is not None
        if torch.is_grad_enabled():
            return self._part.reshape(self._shape)
        if self._buffers is None:
            with torch.inference_mode(False):
                buffer = torch.empty_like(self._part, memory_format=torch.contiguous_format)
                self._buffers = buffer, buffer.view(self._shape)
        # no graph holds it: the same memory every time, which is in the processor's cache
        buffer, active = self._buffers
        buffer.copy_(self._part)
        return active

    def _renew(self, full: Tensor) -> None:
        """Make the view, if the full tensor has one that can be kept."""
        if is_shard(full):
            raise ExtractionError(
                f"{self._key} of the supernet has been sharded since: a bound network needs whole weights; run the "
                "supernet in the scope of the architecture"
            )
        self._full = self._part = self._buffers = None
        if is_transformed() or type(full) not in (Tensor, nn.Parameter) or not full.is_leaf:
            return
        assert self._view is not None
        with torch.inference_mode(False), torch.enable_grad():
            part = self._view(full.detach())
            if part.untyped_storage()._cdata != full.untyped_storage()._cdata:
                return
            self._copied = not _can_merge(part, self._shape)
            part = part if self._copied else part.view(self._shape)
            # one node in the graph, where slices of two dimensions would be two
            self._part = full.as_strided(part.shape, part.stride(), part.storage_offset())
        self._full, self._pointer, self._stride = full, full.data_ptr(), full.stride()
        self._trained = full.requires_grad


class Computed:
    """A buffer that ``build`` computes from sizes, with the device and dtype of the supernet's.

    Args:
        tensor: Its values.
        place: Dictionary of the supernet's module that holds the buffer of the largest network.
        key: Its key in this dictionary.
    """

    def __init__(self, tensor: Tensor, place: dict[str, Any], key: str) -> None:
        self._tensor, self._place, self._key = tensor, place, key

    def read(self) -> Tensor:
        """Return the buffer."""
        full = self._place[self._key]
        dtype = full.dtype if self._tensor.is_floating_point() else self._tensor.dtype
        if self._tensor.device != full.device or self._tensor.dtype != dtype:
            self._tensor = self._tensor.to(full.device, dtype)
        return self._tensor

    def write(self, value: Any) -> None:
        """Replace the buffer."""
        self._tensor = value


class Tensors(dict[str, Any]):
    """The parameters or buffers of a bound module, in place of the dictionary of ``nn.Module``.

    Args:
        held: The tensors when they were bound.
        sources: Where to find those of the supernet, by name.
    """

    def __init__(self, held: Mapping[str, Any], sources: Mapping[str, Source]) -> None:
        super().__init__(held)
        self._sources = sources

    def __getitem__(self, name: str) -> Any:
        source = self._sources.get(name)
        return super().__getitem__(name) if source is None else source.read()

    def __setitem__(self, name: str, value: Any) -> None:
        source = self._sources.get(name)
        if source is None:
            super().__setitem__(name, value)
        else:
            source.write(value)

    def get(self, name: str, default: Any = None) -> Any:
        """Return a current tensor."""
        return self.current().get(name, default)

    def current(self) -> dict[str, Any]:
        """Return the current tensors."""
        return {name: self[name] for name in self}

    def items(self) -> Any:
        """Return names and current tensors."""
        return self.current().items()

    def values(self) -> Any:
        """Return the current tensors."""
        return self.current().values()

    def copy(self) -> dict[str, Any]:
        """Return the current tensors."""
        return self.current()


def _can_merge(part: Tensor, shape: torch.Size) -> bool:
    try:
        part.view(shape)
    except RuntimeError:  # torch has no other way to ask
        return False
    return True
