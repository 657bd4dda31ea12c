"""Running: an input for the models of a proof, given or made, that all of them accept."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from elasticnas.elastic.behaviour import Behaviour
from elasticnas.elastic.examples import Maker, given, makers
from elasticnas.elastic.probe import Probe
from elasticnas.errors import AxisError, ConfigError, describe_error

__all__ = ["NoExample", "find_inputs", "inputs_of"]

Inputs = Callable[[Probe], Any]
"""Returns the input of a built model."""


class NoExample(Exception):
    """No input was found that the models accept."""


def find_inputs(probes: Sequence[Probe], example: Any, call: Callable[[Any], str]) -> Inputs:
    """Return a function that gives the input of each model.

    Args:
        probes: The models.
        example: Input of all of them, or a function of the architecture; None makes one.
        call: Returns the call of the build for an architecture, for messages.

    Raises:
        AxisError: A model writes to its weights.
        ConfigError: A model does not run on the example.
        NoExample: No input was found.
    """
    if example is not None:
        for probe in probes:
            try:
                _run(probe, given(example, probe.arch))
            except AxisError:  # it writes to weights
                raise
            except Exception as error:  # whatever the model raises
                raise ConfigError(
                    f"{call(probe.arch)} fails on the example ({describe_error(error)}): give an example that every "
                    "architecture accepts, such as a function of the architecture"
                ) from error
        return lambda probe: given(example, probe.arch)
    problem: Exception | None = None
    for make in makers(probes[0].model):
        try:
            for probe in probes:
                _run(probe, make(probe.model))
        except AxisError:  # it writes to weights
            raise
        except Exception as error:  # whatever a model raises for an unsuitable input
            problem = problem or error
            continue
        return _made_by(make)
    reason = f" ({describe_error(problem)})" if problem is not None else ""
    raise NoExample(
        f"elastify proves which units a sub-network keeps by running small models, and found no input that "
        f"{type(probes[0].model).__name__} accepts{reason}: give elastify(..., example=...), a tensor, a tuple of "
        "arguments, a mapping of keyword arguments, or a function of the architecture that returns one"
    )


def _run(probe: Probe, example: Any) -> None:
    """Run a model forward and backward."""
    Behaviour(probe.model, example).affects("")


def _made_by(make: Maker) -> Inputs:
    return lambda probe: make(probe.model)


def inputs_of(model: nn.Module, arch: Any, example: Any) -> Iterator[Any]:
    """Yield the input that is given for a model, or inputs that it may accept, in its own dtype."""
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())
    for made in (given(example, arch),) if example is not None else (make(model) for make in makers(model)):
        yield tree_map(lambda value: _cast(value, dtype), made)


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
