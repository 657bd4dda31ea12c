"""MetaNetwork: extracted networks on the meta device, to count costs without computing."""

import copy
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.utils._pytree import tree_map

from elasticnas.errors import ConfigError, ElasticNASError
from elasticnas.extraction import extract_unverified

__all__ = ["Call", "MetaNetwork", "example_of", "run"]

Call = Callable[[nn.Module, Any], Any]


class MetaNetwork:
    """A copy of a model on the meta device, in eval mode, from which architectures are extracted.

    No weight is read or copied. The original keeps its device and its training mode.

    Attributes:
        network: The copy.

    Args:
        model: A model made of elastic primitives.
        example: As for :class:`~elasticnas.cost.Cost`.
        call: Runs a part of the network on the example; None runs the network.
    """

    def __init__(self, model: nn.Module, example: Any = None, call: Call | None = None) -> None:
        # deepcopy takes tensors in the memo as already copied; shared parameters stay shared
        memo: dict[Any, Any] = {id(tensor): _on_meta(tensor) for tensor in _tensors(model)}
        self.network = copy.deepcopy(model, memo).eval()
        self._example, self._call = example, call

    def extract(self, arch: Any) -> nn.Module:
        """Extract the plain network of an architecture, on the meta device."""
        return extract_unverified(self.network, arch)

    def example(self, arch: Any) -> Any:
        """Return the example for an architecture, on the meta device."""
        return tree_map(lambda x: x.to("meta") if isinstance(x, Tensor) else x, example_of(self._example, arch))

    def run(self, plain: nn.Module, example: Any) -> None:
        """Run one inference pass.

        Raises:
            ConfigError: The network cannot run on the example, or not on the meta device.
        """
        for module in plain.modules():
            if isinstance(module, nn.TransformerEncoder):
                module.use_nested_tensor = False  # nested tensors need the values of the padding mask
        try:
            # tensors that the forward creates without a device are on meta too
            with torch.no_grad(), torch.device("meta"):
                run(plain, example, self._call)
        except ElasticNASError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"{type(plain).__name__} cannot run on its example on the meta device ({type(error).__name__}: "
                f"{reason[:200]}): give an example that fits the architecture (a function of it where the input's "
                "width is elastic), and a forward that reads no tensor's values"
            ) from error


def example_of(example: Any, arch: Any) -> Any:
    """Return the example for an architecture.

    Raises:
        ConfigError: There is no example.
    """
    if callable(example) and not isinstance(example, Tensor):
        example = example(arch)
    if example is None:
        raise ConfigError("this cost runs the network: give an example input")
    return example


def run(network: nn.Module, example: Any, call: Call | None) -> Any:
    """Run the network on an example, or the part that ``call`` runs."""
    if call is not None:
        return call(network, example)
    if isinstance(example, Mapping):
        return network(**example)
    return network(*(example if isinstance(example, tuple) else (example,)))


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    """Iterate over parameters, buffers, and tensors in plain attributes of modules."""
    yield from chain(model.parameters(), model.buffers())
    for module in model.modules():
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


def _on_meta(tensor: Tensor) -> Tensor:
    if isinstance(tensor, (UninitializedBuffer, UninitializedParameter)):
        raise ConfigError(
            "the model has parameters without a shape (lazy modules): run it once before counting its cost"
        )
    empty = torch.empty_like(tensor, device="meta", requires_grad=False)
    return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
