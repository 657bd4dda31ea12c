"""checkpoint: activation checkpointing that runs again what ran before."""

from collections.abc import Callable
from typing import Any

import torch.utils.checkpoint

from elasticnas.axes import open_scopes, reopen

__all__ = ["checkpoint"]


def checkpoint(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run ``function(*args, **kwargs)`` without keeping its activations; backward runs it again in the same scope.

    torch's own checkpoint would run it again after the scope has closed, at other sizes; elastic modules refuse that.
    The form is the non-reentrant one.
    """
    scopes = open_scopes()

    def run(*inputs: Any, **named: Any) -> Any:
        with reopen(scopes):
            return function(*inputs, **named)

    return torch.utils.checkpoint.checkpoint(run, *args, use_reentrant=False, **kwargs)
