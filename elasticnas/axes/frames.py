"""Frames: the active values that one scope sets."""

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
    """The active values that one scope sets. Immutable, apart from its caches.

    Attributes:
        caches: Values derived from the frame.
    """

    caches: Caches

    def masks(self, quantity: Quantity) -> bool:
        """Return whether a quantity is masked: it has weights over its options instead of one value."""

    def value(self, quantity: Quantity) -> Any:
        """Return the active value of a quantity, or OptionWeights if it is masked."""


class Sliced:
    """Frame of one architecture; axes are ints."""

    def __init__(self, arch: Any) -> None:
        self.arch, self.caches = arch, Caches()
        self._values: Cache[Quantity, Any] = Cache()

    def masks(self, quantity: Quantity) -> bool:
        """Return False: nothing is masked."""
        return False

    def value(self, quantity: Quantity) -> Any:
        """Return the value of the architecture."""
        return self._values.get(quantity, lambda: quantity.getter(self.arch))


class Masked:
    """Frame of one architecture for all samples, or of one per sample; axes are 0/1 masks."""

    def __init__(self, space: Any, quantities: Sequence[Quantity], archs: Sequence[Any], per_sample: bool) -> None:
        self.caches = Caches()
        self._archs, self._per_sample = archs, per_sample
        indices = [space.indices(arch) for arch in archs]
        self._chosen = {choice: [index[choice.name] for index in indices] for choice in space.choice_list()}
        # computed here, not while the model runs: a compiled graph then takes the weights as inputs
        self._precomputed: dict[str, OptionWeights] = {}
        self._precomputed_choices: dict[str, Tensor] = {}
        if torch.compiler.is_dynamo_compiling() or not is_transformed():
            self._precomputed = {quantity.name: self._precompute(quantity) for quantity in quantities}
            self._precomputed_choices = self._one_hot_choices()

    def _precompute(self, quantity: Quantity) -> OptionWeights:
        quantity.precompute()  # here for the same reason
        return self._one_hot(quantity)

    def _one_hot(self, quantity: Quantity) -> OptionWeights:
        weights = self._one_hot_rows([quantity.position(arch) for arch in self._archs], len(quantity.options))
        return OptionWeights(quantity, weights, hard=True)

    def _one_hot_rows(self, positions: list[int], count: int) -> Tensor:
        """Return one-hot rows, ``(count,)`` or ``(B, count)``; never inference tensors."""
        if torch.compiler.is_dynamo_compiling():
            one_hot = torch.eye(count, device="cpu")[positions]
        else:
            with torch.inference_mode(False):
                one_hot = torch.eye(count, device="cpu")[positions]
        return one_hot if self._per_sample else one_hot[0]

    def masks(self, quantity: Quantity) -> bool:
        """Return True: every quantity is masked."""
        return True

    def value(self, quantity: Quantity) -> OptionWeights:
        """Return one-hot weights of the architecture's value, ``(options,)`` or ``(B, options)``."""
        compiling = torch.compiler.is_dynamo_compiling()
        if (compiling or not is_transformed()) and quantity.name in self._precomputed:
            return self._precomputed[quantity.name]
        # a mode or transform does not accept a tensor made outside of it
        weights: OptionWeights = self.caches.values.get(quantity, lambda: self._one_hot(quantity))
        return weights

    def relaxed(self) -> "Relaxed":
        """Return the same frame with probabilities that are 0 and 1."""
        if is_transformed():
            return self._relaxed()
        frame: Relaxed = self.caches.frames.get("relaxed", self._relaxed)
        return frame

    def _relaxed(self) -> "Relaxed":
        compiling = torch.compiler.is_dynamo_compiling()
        ready = self._precomputed_choices if compiling or not is_transformed() else {}
        return Relaxed(ready or self._one_hot_choices(), {})

    def _one_hot_choices(self) -> dict[str, Tensor]:
        return {choice.name: self._one_hot_rows(rows, len(choice.options)) for choice, rows in self._chosen.items()}


class Relaxed:
    """Frame with probabilities over the options of some choices; each other choice is fixed to one option."""

    def __init__(self, probabilities: dict[str, Tensor], fixed: dict[str, int]) -> None:
        self.caches = Caches(probabilities.values())
        self.probabilities, self.fixed = probabilities, fixed

    def masks(self, quantity: Quantity) -> bool:
        """Return whether any choice that the quantity depends on is not fixed."""
        return any(choice.name not in self.fixed for choice in quantity.choices)

    def value(self, quantity: Quantity) -> Any:
        """Return a plain value if every choice that it depends on is fixed, else differentiable weights."""
        return self.caches.values.get(quantity, lambda: self._value(quantity))

    def _value(self, quantity: Quantity) -> Any:
        if not self.masks(quantity):
            indices = tuple(self.fixed[choice.name] for choice in quantity.choices)
            if indices not in quantity.by_indices:
                raise ArchitectureError(f"no valid architecture has the option indices {indices} for {quantity.name}")
            return quantity.by_indices[indices]
        probabilities = [self._probabilities_of(choice) for choice in quantity.choices]
        return OptionWeights(quantity, quantity.weights(probabilities))

    def _probabilities_of(self, choice: Choice) -> Tensor:
        if choice.name not in self.fixed:
            return self.probabilities[choice.name]
        like = next(iter(self.probabilities.values()))
        one_hot = torch.zeros(len(choice.options), dtype=like.dtype, device=like.device)
        one_hot[self.fixed[choice.name]] = 1
        return one_hot

    def narrowed(self, choice: Choice, index: int) -> "Relaxed":
        """Return the same frame with one choice fixed to an option."""
        frame: Relaxed = self.caches.frames.get((choice, index), lambda: self._narrowed(choice, index))
        return frame

    def _narrowed(self, choice: Choice, index: int) -> "Relaxed":
        probabilities = {name: value for name, value in self.probabilities.items() if name != choice.name}
        return Relaxed(probabilities, {**self.fixed, choice.name: index})


class Unmasked:
    """A copy of another frame in which masked axes have their full size, without a mask."""

    def __init__(self, frame: Frame) -> None:
        self.caches = Caches(frame.caches.sources)
        self._frame = frame

    def masks(self, quantity: Quantity) -> bool:
        """Return whether the quantity is masked in the other frame and is not a number: branches only."""
        return self._frame.masks(quantity) and not quantity.is_number

    def value(self, quantity: Quantity) -> Any:
        """Return the other frame's value, or the largest option if it is a masked number."""
        value = self._frame.value(quantity)
        return max(quantity.options) if isinstance(value, OptionWeights) and quantity.is_number else value
