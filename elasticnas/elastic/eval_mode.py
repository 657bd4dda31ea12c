"""Eval mode for the time of a comparison or measurement."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

__all__ = ["in_eval"]


@contextmanager
def in_eval(model: nn.Module) -> Iterator[None]:
    """Disable dropout, which draws different numbers for other shapes; restore the mode of every module at the end."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
