"""Disturbance: random changes of weights that can be undone exactly without a copy."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["disturbed"]

_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
_MANTISSA = {torch.float16: 10, torch.bfloat16: 7, torch.float32: 23, torch.float64: 52}
_KEPT_BITS = 2  # leading bits of the mantissa that do not change: a weight changes by less than a quarter
_PART = 2**18  # elements that are changed at once


@contextmanager
def disturbed(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Change floating-point weights at random, so that equal or zero weights do not hide the effect of an order.

    Every weight is combined with random bits by exclusive or, which is its own inverse: the low bits of the mantissa,
    or for a zero the bits of a small random number. The zeros take one bit of memory each. Tensors whose elements are
    all equal, such as new norms, are replaced by noise around their value.

    Args:
        tensors: The weights, restored exactly at the end.
    """
    done: list[tuple[Tensor, int, _Held]] = []
    try:
        for seed, tensor in enumerate(tensors):
            if tensor.dtype in _MANTISSA and tensor.numel():
                held = _Held.of(tensor)
                done.append((tensor, seed, held))
                _disturb(tensor, seed, held)
        yield
    finally:
        for tensor, seed, held in done:
            if held.constant is None:
                _exclusive_or(tensor, seed, held)
            else:
                tensor.copy_(held.constant.expand_as(tensor))


@dataclass(frozen=True)
class _Held:
    """What is needed to restore a tensor.

    Attributes:
        constant: The value of all elements, if they are equal.
        zeros: One bit for each element that is zero, in parts; None if there is none.
        scale: Root mean square of the elements.
    """

    constant: Tensor | None
    zeros: list[npt.NDArray[np.uint8]] | None
    scale: float

    @staticmethod
    def of(tensor: Tensor) -> "_Held":
        first = tensor[(0,) * tensor.ndim]
        if all(bool((part == first).all()) for part in _parts(tensor)):
            return _Held(first.clone(), None, 0.0)
        zeros = [np.packbits((part == 0).cpu().numpy()) for part in _parts(tensor)]
        if not any(part.any() for part in zeros):
            return _Held(None, None, 0.0)
        squares = sum(float(part.double().square().sum()) for part in _parts(tensor))
        return _Held(None, zeros, (squares / tensor.numel()) ** 0.5)


def _disturb(tensor: Tensor, seed: int, held: _Held) -> None:
    if held.constant is None:
        _exclusive_or(tensor, seed, held)
        return
    generator = torch.Generator().manual_seed(seed)
    for part in _parts(tensor):
        part.add_(0.1 * torch.randn(part.shape, generator=generator).to(part))


def _exclusive_or(tensor: Tensor, seed: int, held: _Held) -> None:
    generator, integers = torch.Generator().manual_seed(seed), _INTEGERS[tensor.element_size()]
    limit = 2 ** (_MANTISSA[tensor.dtype] - _KEPT_BITS)
    for number, part in enumerate(_parts(tensor)):
        bits = torch.randint(0, limit, part.shape, generator=generator, dtype=integers)
        if held.zeros is not None and held.zeros[number].any():
            zero = np.unpackbits(held.zeros[number], count=part.numel()).reshape(part.shape).astype(bool)
            noise = (0.1 * held.scale * torch.randn(part.shape, generator=generator)).to(part.dtype)
            bits = torch.where(torch.from_numpy(zero), noise.view(integers), bits)
        part.view(integers).bitwise_xor_(bits.to(part.device))


def _parts(tensor: Tensor) -> tuple[Tensor, ...]:
    rows = tensor if tensor.ndim else tensor.unsqueeze(0)
    parts: tuple[Tensor, ...] = rows.split(max(1, _PART * len(rows) // rows.numel()))
    return parts
