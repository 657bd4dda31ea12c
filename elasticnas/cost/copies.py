"""Copies of networks with other tensors: without values on the meta device, or with cheap values on the CPU."""

import copy
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.utils._pytree import tree_map

from elasticnas.errors import ConfigError
from elasticnas.parallel import unsharded, unwrapped

__all__ = ["example_on_cpu", "example_on_meta", "on_cpu", "on_meta"]

_DRAWN = 65_537  # random values, repeated in larger tensors: a prime, so that rows differ


def on_meta(network: nn.Module) -> nn.Module:
    """Return a copy on the meta device, in eval mode; no weight is read or copied."""
    return _with_tensors(network, lambda tensor: torch.empty_like(tensor, device="meta", requires_grad=False))


def on_cpu(network: nn.Module, seed: int) -> nn.Module:
    """Return a copy on the CPU, in eval mode, with random parameters and the network's buffers.

    What is counted must not depend on the weights, and drawing them costs no more than copying them.

    Args:
        network: The network, on any device.
        seed: Seed of the parameters.
    """
    generator = torch.Generator().manual_seed(seed)

    def value(tensor: Tensor) -> Tensor:
        drawn = isinstance(tensor, nn.Parameter) or tensor.is_meta
        return _drawn(tensor, generator) if drawn else tensor.detach().to("cpu", copy=True)

    return _with_tensors(network, value)


def example_on_meta(example: Any) -> Any:
    """Return an example with its tensors on the meta device."""
    return tree_map(lambda x: x.to("meta") if isinstance(x, Tensor) else x, example)


def example_on_cpu(example: Any) -> Any:
    """Return an example with copies of its tensors on the CPU; zeros in place of those on the meta device."""

    def value(x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        return torch.zeros_like(x, device="cpu") if x.is_meta else x.detach().to("cpu", copy=True)

    return tree_map(value, example)


def _drawn(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Return values of a usual scale for a weight: activations neither vanish nor overflow."""
    if (tensor.is_floating_point() and tensor.itemsize > 1) or tensor.is_complex():
        count = tensor.numel()
        drawn = torch.randn(min(count, _DRAWN), dtype=tensor.dtype, generator=generator, device="cpu")
        scale = max([1, *tensor.shape[-1:]]) ** -0.5
        return drawn.mul_(scale).repeat(-(-count // _DRAWN))[:count].view(tensor.shape)
    return torch.zeros_like(tensor, device="cpu") if tensor.is_meta else tensor.detach().to("cpu", copy=True)


def _with_tensors(network: nn.Module, value: Callable[[Tensor], Tensor]) -> nn.Module:
    # deepcopy takes tensors in the memo as already copied; shared parameters stay shared
    network, memo = unsharded(unwrapped(network)), dict[Any, Any]()
    for tensor in _tensors(network):
        if id(tensor) not in memo:
            _require_shape(tensor)
            made = value(tensor)
            memo[id(tensor)] = nn.Parameter(made, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else made
    return copy.deepcopy(network, memo).eval()


def _tensors(network: nn.Module) -> Iterator[Tensor]:
    """Iterate over parameters, buffers, and tensors in plain attributes of modules."""
    yield from chain(network.parameters(), network.buffers())
    for module in network.modules():
        for name, value in vars(module).items():
            if name not in ("_parameters", "_buffers", "_modules"):
                yield from _tensors_in(value)


def _tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors_in(item)


def _require_shape(tensor: Tensor) -> None:
    if isinstance(tensor, (UninitializedBuffer, UninitializedParameter)):
        raise ConfigError(
            "the model has parameters without a shape (lazy modules): run it once before counting its cost"
        )
