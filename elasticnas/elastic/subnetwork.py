"""SubNetwork: the model of one architecture on views of the supernet's tensors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from elasticnas.elastic.mirror import Mirror
from elasticnas.elastic.parts import Part, cut

__all__ = ["Slot", "SubNetwork", "places"]


@dataclass(frozen=True)
class Slot:
    """A tensor of the skeleton, and the supernet's tensor that it is a part of.

    Attributes:
        place: Dictionary of the skeleton's module that holds the tensor.
        name: Its key in this dictionary.
        source: Full name of the supernet's tensor.
        origin: Dictionary of the supernet's module that holds the full tensor.
        origin_name: Its key in this dictionary.
        cuts: The narrowed dimensions.
    """

    place: dict[str, Any]
    name: str
    source: str
    origin: dict[str, Any]
    origin_name: str
    cuts: tuple[tuple[int, Part], ...]

    @property
    def full(self) -> Tensor:
        """The supernet's tensor."""
        tensor: Tensor = self.origin[self.origin_name]
        return tensor

    def active(self) -> Tensor:
        """Return the active part, a view unless a narrowed dimension is composite."""
        return cut(self.full, self.cuts)

    @property
    def held(self) -> Any:
        """The skeleton's current tensor."""
        return self.place[self.name]

    def keep(self) -> None:
        """Assign to the supernet a new tensor with the skeleton's tensor as its active part."""
        value, full = self.held, self.full
        if not isinstance(value, Tensor) or value.shape != self.active().shape:
            if not self.cuts:
                self.origin[self.origin_name] = value
            return  # of another size, such as a table that grew: the next call recomputes it
        index = cut(torch.arange(full.numel(), device=full.device).reshape(full.shape), self.cuts)
        self.origin[self.origin_name] = full.detach().clone().put_(index, value.detach().to(full))


class SubNetwork:
    """The model of one architecture.

    Args:
        module: The skeleton.
        slots: Its tensors that are parts of the supernet's.
        own: Its buffers that ``build`` computes from sizes, which are not parts of the supernet's.
        pairs: Every module of the skeleton with its counterpart in the supernet.
        mirror: Applies attributes that were changed on the supernet's modules.

    Attributes:
        checked: Modes (training or not) in which a forward pass is known not to write to weights.
    """

    def __init__(
        self,
        module: nn.Module,
        slots: Sequence[Slot],
        own: Sequence[Slot],
        pairs: Sequence[tuple[nn.Module, nn.Module]],
        mirror: Mirror,
    ) -> None:
        self.module, self.slots, self.own, self._mirror = module, slots, own, mirror
        self.checked: set[bool] = set()
        # one slot per place: a module with two names has its buffers once
        self._buffers = list({(id(s.place), s.name): s for s in slots if not isinstance(s.full, nn.Parameter)}.values())
        self._bound: list[tuple[Any, int]] = []
        # dictionaries, since attribute access on modules takes longer than a small layer
        self._modes = [(vars(mine), vars(full)) for mine, full in pairs]

    def bind(self) -> nn.Module:
        """Return the skeleton with the supernet's current weights, device, dtype and train or eval mode.

        The views stay until the next call, since activation checkpointing uses them again in backward.
        """
        for slot in self.slots:
            slot.place[slot.name] = slot.active()
        self._bound = [(slot.held, slot.held._version) for slot in self._buffers]
        self.follow()
        for mine, full in self._modes:
            mine["training"] = full["training"]
        self._mirror.apply()
        return self.module

    def keep(self) -> None:
        """Write buffers that a forward pass has changed back to the supernet.

        Those that are views need this only if they were reassigned; those with composite dimensions are copies.
        """
        for slot, (tensor, version) in zip(self._buffers, self._bound, strict=True):
            copied = not all(part.is_view for _, part in slot.cuts)
            if slot.held is not tensor or (copied and tensor._version != version):
                slot.keep()

    def follow(self) -> None:
        """Move computed buffers to the supernet's device and dtype."""
        for slot in self.own:
            mine, full = slot.place[slot.name], slot.full
            dtype = full.dtype if mine.is_floating_point() else mine.dtype
            if mine.device != full.device or mine.dtype != dtype:
                slot.place[slot.name] = mine.to(full.device, dtype)

    def hold(self, memo: dict[Any, Any]) -> nn.Module:
        """Return the skeleton with copies of the active parts as its tensors; shared tensors stay shared.

        Args:
            memo: The memo of the surrounding deep copy.
        """
        for slot in self.slots:
            slot.place[slot.name] = _copied(slot, memo)
        self.follow()
        for mine, full in self._modes:
            mine["training"] = full["training"]
        self._mirror.apply()
        return self.module


def _copied(slot: Slot, memo: dict[Any, Any]) -> Tensor:
    full = slot.full
    if id(full) not in memo:
        active = slot.active().detach().clone(memory_format=torch.contiguous_format)
        memo[id(full)] = nn.Parameter(active, full.requires_grad) if isinstance(full, nn.Parameter) else active
    copied = memo[id(full)]
    assert isinstance(copied, Tensor)
    return copied


def places(model: nn.Module) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield full name, dictionary and key of every parameter and buffer."""
    for path, module in model.named_modules(remove_duplicate=False):
        for held in (module._parameters, module._buffers):
            for name, tensor in held.items():
                if tensor is not None:
                    yield f"{path}.{name}".lstrip("."), held, name
