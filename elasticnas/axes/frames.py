"""Frames: what one scope makes active."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from elasticnas.axes.caches import Cache, Caches
from elasticnas.axes.modes import is_transformed
from elasticnas.axes.quantity import Choice, Quantity
from elasticnas.axes.weights import OptionWeights
from elasticnas.errors import ArchitectureError

__all__ = ["Frame", "Masked", "Relaxed", "Sliced", "Unmasked"]


class Frame(Protocol):
    """What one scope makes active. Never changed once made; what follows from it is kept in its caches.

    Attributes:
        caches: What follows from it.
    """

    caches: Caches

    def masks(self, quantity: Quantity) -> bool:
        """Whether a quantity has weights over its options instead of a value."""

    def value(self, quantity: Quantity) -> Any:
        """The active value of a quantity, or OptionWeights."""


class Sliced:
    """One architecture; axes are ints."""

    def __init__(self, arch: Any) -> None:
        self.arch, self.caches = arch, Caches()
        self._values: Cache[Quantity, Any] = Cache()

    def masks(self, quantity: Quantity) -> bool:
        """Never."""
        return False

    def value(self, quantity: Quantity) -> Any:
        """The architecture's own value."""
        return self._values.get(quantity, lambda: quantity.getter(self.arch))


class Masked:
    """One architecture for all samples, or one per sample; axes are 0/1 masks."""

    def __init__(self, space: Any, quantities: Sequence[Quantity], archs: Sequence[Any], per_sample: bool) -> None:
        self.caches = Caches()
        self._archs, self._per_sample = archs, per_sample
        indices = [space.indices(arch) for arch in archs]
        self._chosen = {choice: [index[choice.name] for index in indices] for choice in space.choice_list()}
        # made here, not while the model runs: a compiled graph then takes the weights as inputs
        self._precomputed: dict[str, OptionWeights] = {}
        self._precomputed_choices: dict[str, Tensor] = {}
        if torch.compiler.is_dynamo_compiling() or not is_transformed():
            self._precomputed = {quantity.name: self._precompute(quantity) for quantity in quantities}
            self._precomputed_choices = self._one_hot_choices()

    def _precompute(self, quantity: Quantity) -> OptionWeights:
        quantity.precompute()  # now, for the same reason
        return self._one_hot(quantity)

    def _one_hot(self, quantity: Quantity) -> OptionWeights:
        weights = self._rows([quantity.position(arch) for arch in self._archs], len(quantity.options))
        return OptionWeights(quantity, weights, hard=True)

    def _rows(self, positions: list[int], count: int) -> Tensor:
        """1 at each position, ``(count,)`` or ``(B, count)``; normal tensors in inference mode too."""
        if torch.compiler.is_dynamo_compiling():
            one_hot = torch.eye(count, device="cpu")[positions]
        else:
            with torch.inference_mode(False):
                one_hot = torch.eye(count, device="cpu")[positions]
        return one_hot if self._per_sample else one_hot[0]

    def masks(self, quantity: Quantity) -> bool:
        """Always."""
        return True

    def value(self, quantity: Quantity) -> OptionWeights:
        """Weights that are 1 at the value of the architecture, ``(options,)`` or ``(B, options)``."""
        compiling = torch.compiler.is_dynamo_compiling()
        if (compiling or not is_transformed()) and quantity.name in self._precomputed:
            return self._precomputed[quantity.name]
        # a mode takes no tensor from outside
        made: OptionWeights = self.caches.values.get(quantity, lambda: self._one_hot(quantity))
        return made

    def relaxed(self) -> "Relaxed":
        """The same as probabilities that are 0 and 1."""
        if is_transformed():
            return self._relaxed()
        frame: Relaxed = self.caches.frames.get("relaxed", self._relaxed)
        return frame

    def _relaxed(self) -> "Relaxed":
        compiling = torch.compiler.is_dynamo_compiling()
        ready = self._precomputed_choices if compiling or not is_transformed() else {}
        return Relaxed(ready or self._one_hot_choices(), {})

    def _one_hot_choices(self) -> dict[str, Tensor]:
        return {choice.name: self._rows(rows, len(choice.options)) for choice, rows in self._chosen.items()}


class Relaxed:
    """Probabilities over the options of some choices; the others, and those narrowed, are fixed."""

    def __init__(self, probabilities: dict[str, Tensor], fixed: dict[str, int]) -> None:
        self.caches = Caches(probabilities.values())
        self.probabilities, self.fixed = probabilities, fixed

    def masks(self, quantity: Quantity) -> bool:
        """Where a choice behind it is not fixed."""
        return any(choice.name not in self.fixed for choice in quantity.choices)

    def value(self, quantity: Quantity) -> Any:
        """A plain value where every choice behind it is fixed, else weights with gradients to the probabilities."""
        return self.caches.values.get(quantity, lambda: self._value(quantity))

    def _value(self, quantity: Quantity) -> Any:
        if not self.masks(quantity):
            indices = tuple(self.fixed[choice.name] for choice in quantity.choices)
            if indices not in quantity.by_indices:
                raise ArchitectureError(f"no architecture has the options {indices} of {quantity.name}")
            return quantity.by_indices[indices]
        return OptionWeights(quantity, quantity.weights([self._of(choice) for choice in quantity.choices]))

    def _of(self, choice: Choice) -> Tensor:
        if choice.name not in self.fixed:
            return self.probabilities[choice.name]
        like = next(iter(self.probabilities.values()))
        one_hot = torch.zeros(len(choice.options), dtype=like.dtype, device=like.device)
        one_hot[self.fixed[choice.name]] = 1
        return one_hot

    def narrowed(self, choice: Choice, index: int) -> "Relaxed":
        """The same, with one choice fixed to an option."""
        frame: Relaxed = self.caches.frames.get((choice, index), lambda: self._narrowed(choice, index))
        return frame

    def _narrowed(self, choice: Choice, index: int) -> "Relaxed":
        probabilities = {name: value for name, value in self.probabilities.items() if name != choice.name}
        return Relaxed(probabilities, {**self.fixed, choice.name: index})


class Unmasked:
    """Another frame whose masked axes are full instead: every unit is there, and none is attenuated."""

    def __init__(self, frame: Frame) -> None:
        self.caches = Caches(frame.caches.sources)
        self._frame = frame

    def masks(self, quantity: Quantity) -> bool:
        """Branches only."""
        return self._frame.masks(quantity) and not quantity.is_number

    def value(self, quantity: Quantity) -> Any:
        """The frame's value; the largest option where it is masked."""
        value = self._frame.value(quantity)
        return max(quantity.options) if isinstance(value, OptionWeights) and quantity.is_number else value
