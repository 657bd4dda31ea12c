"""Ties: a supernet's state dict names tied weights once, as files of safetensors need it."""

from collections.abc import Iterator
from typing import Any

from torch import nn

__all__ = ["fill_tied", "name_tied_once"]


def name_tied_once(model: nn.Module, state: dict[str, Any], prefix: str, metadata: object) -> None:
    """Hook for state dicts: leave out all names of a tied parameter but the first."""
    for first, *others in _tied(model):
        if f"{prefix}{first}" in state:
            for name in others:
                state.pop(f"{prefix}{name}", None)


def fill_tied(model: nn.Module, state: dict[str, Any], prefix: str, *unused: object) -> None:
    """Hook for loading: give every name of a tied parameter the tensor of the name that is there."""
    for names in _tied(model):
        given = next((f"{prefix}{name}" for name in names if f"{prefix}{name}" in state), None)
        if given is not None:
            for name in names:
                state.setdefault(f"{prefix}{name}", state[given])


def _tied(model: nn.Module) -> Iterator[list[str]]:
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    yield from (each for each in names.values() if len(each) > 1)
