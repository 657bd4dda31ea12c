"""One inference pass of a network on an example, and the error when it fails."""

import traceback
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from elasticnas.errors import ConfigError

__all__ = ["Call", "example_of", "failure", "run", "with_dict"]

Call = Callable[[nn.Module, Any], Any]


def example_of(example: Any, arch: Any) -> Any:
    """Return the example for an architecture.

    Raises:
        ConfigError: There is no example.
    """
    if callable(example) and not isinstance(example, Tensor):
        example = example(arch)
    if example is None:
        raise ConfigError("this cost runs the network: give an example input")
    return with_dict(example)


def with_dict(example: Any) -> Any:
    """Return a mapping of any class as a dict: a tokenizer's output is a leaf for ``tree_map``."""
    return dict(example) if isinstance(example, Mapping) else example


def run(network: nn.Module, example: Any, call: Call | None) -> Any:
    """Run the network on an example, or the part that ``call`` runs."""
    if call is not None:
        return call(network, example)
    if isinstance(example, Mapping):
        return network(**example)
    return network(*(example if isinstance(example, tuple) else (example,)))


def failure(error: Exception, network: nn.Module) -> ConfigError:
    """Return the error for a network whose forward raises on its example; it names the module that raised."""
    dtype = next((p.dtype for p in network.parameters() if p.is_floating_point()), None)
    weights = "" if dtype is None else f" (its weights are {dtype})"
    reason = " ".join(str(error).split())
    return ConfigError(
        f"{type(network).__name__} cannot run on its example ({_origin(error, network)}{type(error).__name__}: "
        f"{reason[:200]}): give an example that fits the architecture{weights}; where the input's width is elastic, "
        "a function of it"
    )


def _origin(error: Exception, network: nn.Module) -> str:
    """Return the innermost module below the network whose method was running; empty if there is none."""
    names = {id(module): name for name, module in network.named_modules() if name}
    running = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
    inside = [module for module in running if id(module) in names]
    return f"in {names[id(inside[-1])]}, {type(inside[-1]).__name__}: " if inside else ""
