"""Generators: the random states that a source of batches has to itself."""

import hashlib
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.random.mtrand import get_bit_generator, set_bit_generator

__all__ = ["Generators", "derived_seed"]


class Generators:
    """Random states of one owner, swapped in while it works.

    Covers the global generators of torch (CPU, and CUDA once it is initialized), numpy and Python, and the generators
    that are added. Each starts from a seed derived from the key. The others' states are put back afterwards, so neither
    side sees what the other draws.

    Args:
        key: Identifies the owner, such as seed, name and epoch. Equal keys give equal draws, in every process.
    """

    def __init__(self, *key: str | int) -> None:
        self._key = key
        self._torch: dict[torch.Generator, torch.Tensor] = {}
        self._added: list[torch.Generator] = []
        self._numpy = np.random.MT19937(derived_seed(*key))
        self._python = random.Random(derived_seed(*key)).getstate()

    def add(self, generators: Iterable[torch.Generator]) -> None:
        """Own states for these too, from the next time on; each has a seed of its own."""
        for generator in generators:
            if generator not in self._torch:
                self._added.append(generator)
                self._torch[generator] = _state(generator.device, derived_seed(*self._key, len(self._added)))

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """While the owner works."""
        everyone = self._everyone()
        states, python = [generator.get_state() for generator in everyone], random.getstate()
        for generator in everyone:
            generator.set_state(self._torch[generator])
        random.setstate(self._python)
        try:
            with _numpy_draws_from(self._numpy):
                yield
        finally:
            for generator, state in zip(everyone, states, strict=True):
                self._torch[generator] = generator.get_state()
                generator.set_state(state)
            self._python = random.getstate()
            random.setstate(python)

    def _everyone(self) -> list[torch.Generator]:
        shared = [torch.default_generator]
        if torch.cuda.is_initialized():
            shared += torch.cuda.default_generators
        for generator in shared:
            if generator not in self._torch:
                self._torch[generator] = _state(generator.device, derived_seed(*self._key))
        return shared + self._added


@contextmanager
def _numpy_draws_from(source: np.random.BitGenerator) -> Iterator[None]:
    """Exchange numpy's bit generator: far faster than copying its 624 words in and out."""
    before, state = get_bit_generator(), _numpy_state()
    set_bit_generator(source)
    try:
        yield
    finally:
        set_bit_generator(before)
        if state["has_gauss"]:  # the second of a pair of normal draws, which the exchange drops
            np.random.set_state(state)


def _numpy_state() -> dict[str, Any]:
    return dict(np.random.get_state(legacy=False))


def _state(device: torch.device, seed: int) -> torch.Tensor:
    return torch.Generator(device).manual_seed(seed).get_state()


def derived_seed(*key: str | int) -> int:
    """A seed of 63 bits, the same in every process.

    Args:
        key: What it depends on.
    """
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big") >> 1
