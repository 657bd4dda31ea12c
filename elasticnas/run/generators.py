"""Generators: private random states of a source of batches."""

import hashlib
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.random.mtrand import get_bit_generator, set_bit_generator

__all__ = ["Generators", "derived_seed"]

_MERSENNE = np.random.MT19937()  # stands in for a bit generator of another kind; never freed


class Generators:
    """Private states of the global random generators, swapped in while their owner draws.

    Covers the global generators of torch (CPU, and CUDA once it is initialised), numpy and Python, and added
    generators. Each starts from a seed derived from the key. The previous states are restored afterwards, so that the
    draws of the owner and of other code do not affect each other.

    Args:
        key: Identifies the owner, such as seed, name and epoch. Equal keys give equal draws in every process.
    """

    def __init__(self, *key: str | int) -> None:
        self._key = key
        self._torch: dict[torch.Generator, torch.Tensor] = {}
        self._added: list[torch.Generator] = []
        self._numpy: dict[str, Any] = dict(np.random.MT19937(derived_seed(*key)).state)
        self._python = random.Random(derived_seed(*key)).getstate()

    def add(self, generators: Iterable[torch.Generator]) -> None:
        """Add generators, each with its own seed, from the next :meth:`swapped_in` on."""
        for generator in generators:
            if generator not in self._torch:
                self._added.append(generator)
                self._torch[generator] = _state(generator.device, derived_seed(*self._key, len(self._added)))

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Swap the states in for the duration of a ``with`` block."""
        generators = self._all()
        states, python = [generator.get_state() for generator in generators], random.getstate()
        for generator in generators:
            generator.set_state(self._torch[generator])
        random.setstate(self._python)
        try:
            with self._numpy_swapped_in():
                yield
        finally:
            for generator, state in zip(generators, states, strict=True):
                self._torch[generator] = generator.get_state()
                generator.set_state(state)
            self._python = random.getstate()
            random.setstate(python)

    @contextmanager
    def _numpy_swapped_in(self) -> Iterator[None]:
        """Copy numpy's state in and out.

        Exchanging the bit generators is faster, but one that another thread reads meanwhile could be freed under it.
        """
        kept, before = get_bit_generator(), _numpy_state()
        if not isinstance(kept, np.random.MT19937):
            set_bit_generator(_MERSENNE)
        np.random.set_state({**self._numpy, "has_gauss": 0, "gauss": 0.0})
        try:
            yield
        finally:
            self._numpy = _numpy_state()
            if get_bit_generator() is not kept:
                set_bit_generator(kept)
            np.random.set_state(before)

    def _all(self) -> list[torch.Generator]:
        shared = [torch.default_generator]
        if torch.cuda.is_initialized():
            shared += torch.cuda.default_generators
        for generator in shared:
            if generator not in self._torch:
                self._torch[generator] = _state(generator.device, derived_seed(*self._key))
        return shared + self._added


def _numpy_state() -> dict[str, Any]:
    return dict(np.random.get_state(legacy=False))


def _state(device: torch.device, seed: int) -> torch.Tensor:
    return torch.Generator(device).manual_seed(seed).get_state()


def derived_seed(*key: str | int) -> int:
    """Return a seed of 63 bits that depends on the key alone, the same in every process."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big") >> 1
