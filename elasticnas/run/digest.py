"""Digest of a batch, to check later whether another batch equals it."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from itertools import chain, islice
from types import ModuleType
from typing import Any

import numpy as np
import torch

__all__ = ["Sample", "digest", "sample"]

Sample = list[Any]  # strings, numbers, bytes, and copied elements of tensors and arrays, in order of traversal

_MOST_ELEMENTS = 1_024  # per tensor, array or sequence
_MOST_VALUES = 4_096  # per batch, in case it refers to the whole dataset


def sample(batch: Any) -> Sample:
    """Copy a sample of the values of a batch, without synchronising with its device.

    Args:
        batch: Tensors, arrays and plain values in mappings, sequences, dataclasses and objects with attributes. Of
            other objects, only the type is sampled.

    Returns:
        The input of `digest`; later changes of the batch do not affect it.
    """
    values: Sample = []
    stack = [batch]
    while stack and len(values) < _MOST_VALUES:
        value = stack.pop()
        values.append(_kind(value))
        if isinstance(value, torch.Tensor):
            values.extend(_tensor_elements(value))
        elif isinstance(value, (np.ndarray, np.generic)):
            elements = _array_elements(np.asarray(value))
            stack.append(elements.tolist()) if elements.dtype.hasobject else values.append(elements)
        elif value is None or isinstance(value, (str, bytes, int, float, complex)):
            values.append(value)
        else:
            parts = _parts(value)
            values.append(len(parts))
            stack.extend(reversed(parts))
    return values


def digest(sampled: Sample) -> str:
    """Return the SHA-256 of a sample, in hexadecimal; equal NaNs give equal digests."""
    whole = hashlib.sha256()
    for value in sampled:
        if isinstance(value, torch.Tensor):
            flat = value.cpu().reshape(-1)
            whole.update(flat.view(torch.uint8).numpy().tobytes())
        elif isinstance(value, np.ndarray):
            whole.update(value.tobytes())
        else:
            whole.update(repr(value).encode())
        whole.update(b"\0")
    return whole.hexdigest()


def _kind(value: Any) -> str:
    named = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, torch.Tensor):
        shape = "" if value.is_nested else tuple(value.shape)  # the shape of a nested tensor has generated names
        return f"{named} {value.dtype} {shape}"
    return f"{named} {value.dtype} {value.shape}" if isinstance(value, np.ndarray) else named


def _tensor_elements(tensor: torch.Tensor) -> list[torch.Tensor]:
    """Copy at most `_MOST_ELEMENTS` evenly spread elements; none of a tensor without a strided layout."""
    if tensor.layout is not torch.strided or tensor.is_nested or tensor.is_quantized or tensor.is_meta:
        return []
    tensor, step = tensor.detach(), _step(tensor.numel())
    if step == 1:
        return [tensor.clone(memory_format=torch.contiguous_format)]
    if tensor.is_contiguous():
        return [tensor.reshape(-1)[::step].clone()]
    position, index = torch.arange(0, tensor.numel(), step, device=tensor.device), []
    for size in reversed(tensor.shape):  # reshape(-1) would copy the whole tensor
        index.append(position % size)
        position = position // size
    return [tensor[tuple(reversed(index))]]


def _array_elements(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(array.flat[:: _step(array.size)])  # a copy


def _parts(value: Any) -> list[Any]:
    """Return the elements of a container or object; none of callables, modules and sets, whose order varies."""
    if isinstance(value, Mapping):
        return list(islice(chain.from_iterable(value.items()), _MOST_VALUES))
    if isinstance(value, Sequence):
        return [value[index] for index in range(0, len(value), _step(len(value)))]
    if callable(value) or isinstance(value, ModuleType):
        return []
    if dataclasses.is_dataclass(value):
        return [getattr(value, field.name, None) for field in dataclasses.fields(value)]
    return list(islice(chain.from_iterable(vars(value).items()), _MOST_VALUES)) if hasattr(value, "__dict__") else []


def _step(size: int) -> int:
    return max(1, -(-size // _MOST_ELEMENTS))
