"""checkpoint: activation checkpointing that recomputes in the scope of the forward pass."""

from collections.abc import Callable
from typing import Any

import torch.utils.checkpoint

from elasticnas.axes import open_scopes, reopen

__all__ = ["checkpoint"]


def checkpoint(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run ``function(*args, **kwargs)`` without storing its activations; backward recomputes them in the same scope.

    ``torch.utils.checkpoint`` may recompute after the scope has closed, with other sizes, on which elastic modules
    raise AxisError. Uses the non-reentrant form.
    """
    scopes = open_scopes()

    def run(*inputs: Any, **named: Any) -> Any:
        with reopen(scopes):
            return function(*inputs, **named)

    return torch.utils.checkpoint.checkpoint(run, *args, use_reentrant=False, **kwargs)
