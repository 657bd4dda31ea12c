"""SubNetwork: a skeleton of one architecture that runs on views of the supernet's tensors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from elasticnas.axes import take

__all__ = ["Cut", "Slot", "SubNetwork", "cut", "places"]

Cut = tuple[int, tuple[int, ...], tuple[int, ...]]  # dimension, full and active sizes of its factors


@dataclass(frozen=True)
class Slot:
    """Where a tensor of the skeleton comes from.

    Attributes:
        place: Dictionary of the skeleton's module that holds it.
        name: Its key there.
        source: Full name of the supernet's tensor.
        origin: Dictionary of the supernet's module that holds the full tensor.
        origin_name: Its key there.
        cuts: What is narrowed.
    """

    place: dict[str, Any]
    name: str
    source: str
    origin: dict[str, Any]
    origin_name: str
    cuts: tuple[Cut, ...]

    @property
    def full(self) -> Tensor:
        """The supernet's tensor."""
        tensor: Tensor = self.origin[self.origin_name]
        return tensor

    def active(self) -> Tensor:
        """The active part, a view wherever a dimension is no composite."""
        return cut(self.full, self.cuts)

    @property
    def held(self) -> Any:
        """What the skeleton has in its place now."""
        return self.place[self.name]

    def keep(self) -> None:
        """Make the skeleton's tensor the active part of the supernet's, in a new tensor as an assignment does."""
        value, full = self.held, self.full
        if not isinstance(value, Tensor) or value.shape != self.active().shape:
            if not self.cuts:
                self.origin[self.origin_name] = value
            return  # of another size, such as a table that grew: the next call computes it again
        index = cut(torch.arange(full.numel(), device=full.device).reshape(full.shape), self.cuts)
        self.origin[self.origin_name] = full.detach().clone().put_(index, value.detach().to(full))


class SubNetwork:
    """The model of one architecture.

    Args:
        module: A skeleton.
        slots: Its tensors that are parts of the supernet's.
        own: Its buffers that ``build`` computed from sizes, no parts of the supernet's.
        pairs: Every module of the skeleton, and the supernet's that it is a part of.
    """

    def __init__(
        self,
        module: nn.Module,
        slots: Sequence[Slot],
        own: Sequence[Slot],
        pairs: Sequence[tuple[nn.Module, nn.Module]],
    ) -> None:
        self.module, self.slots, self.own = module, slots, own
        # one for each place: a module under two names has its buffers once
        self._buffers = list({(id(s.place), s.name): s for s in slots if not isinstance(s.full, nn.Parameter)}.values())
        self._bound: list[tuple[Any, int]] = []
        # plain dictionaries: a module's own attribute access takes longer than a small layer
        self._modes = [(vars(mine), vars(full)) for mine, full in pairs]

    def bind(self) -> nn.Module:
        """The skeleton with the weights, device, dtype and train or eval mode that the supernet has now.

        The views stay in place until the next call: what is run again in backward (activation checkpointing) sees them.
        """
        for slot in self.slots:
            slot.place[slot.name] = slot.active()
        self._bound = [(slot.held, slot.held._version) for slot in self._buffers]
        self.follow()
        for mine, full in self._modes:
            mine["training"] = full["training"]
        return self.module

    def keep(self) -> None:
        """Give the supernet the buffers that a forward pass has assigned; those changed in place are its own already.

        Unless they are composites of several factors, whose active part is a copy.
        """
        for slot, (tensor, version) in zip(self._buffers, self._bound, strict=True):
            copied = any(len(full) > 1 for _, full, _ in slot.cuts)
            if slot.held is not tensor or (copied and tensor._version != version):
                slot.keep()

    def follow(self) -> None:
        """Bring computed buffers to the supernet's device and dtype."""
        for slot in self.own:
            mine, full = slot.place[slot.name], slot.full
            dtype = full.dtype if mine.is_floating_point() else mine.dtype
            if mine.device != full.device or mine.dtype != dtype:
                slot.place[slot.name] = mine.to(full.device, dtype)

    def hold(self, memo: dict[Any, Any]) -> nn.Module:
        """The skeleton with tensors of its own, copies of the active parts; shared ones stay shared.

        Args:
            memo: Of the deep copy that this is part of.
        """
        for slot in self.slots:
            slot.place[slot.name] = _copied(slot, memo)
        self.follow()
        for mine, full in self._modes:
            mine["training"] = full["training"]
        return self.module


def _copied(slot: Slot, memo: dict[Any, Any]) -> Tensor:
    full = slot.full
    if id(full) not in memo:
        active = slot.active().detach().clone(memory_format=torch.contiguous_format)
        memo[id(full)] = nn.Parameter(active, full.requires_grad) if isinstance(full, nn.Parameter) else active
    copied = memo[id(full)]
    assert isinstance(copied, Tensor)
    return copied


def cut(tensor: Tensor, cuts: Sequence[Cut]) -> Tensor:
    """The tensor narrowed by every cut."""
    for dim, full, active in cuts:
        tensor = take(tensor, dim, full, active)
    return tensor


def places(model: nn.Module) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Full name of every parameter and buffer, the dictionary that holds it, and its key there."""
    for path, module in model.named_modules(remove_duplicate=False):
        for held in (module._parameters, module._buffers):
            for name, tensor in held.items():
                if tensor is not None:
                    yield f"{path}.{name}".lstrip("."), held, name
