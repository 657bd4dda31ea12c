"""ExactMode: run a model in float64 throughout, with smooth activations, to tell zero gradients from small ones."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["ExactMode"]

_NARROW = frozenset((torch.float32, torch.float16, torch.bfloat16))
_CASTS = frozenset(("float", "half", "bfloat16"))
# activations with dead regions, where a unit looks as if it did not matter; silu is 0 at 0 like them
_DEAD = frozenset(("relu", "relu_", "relu6", "hardswish", "hardtanh", "threshold", "threshold_", "leaky_relu"))


class ExactMode(TorchFunctionMode):
    """Replace casts to narrower types by float64, and what hides structure by functions that keep it.

    Activations with dead regions become silu. Layer norms do not subtract the mean. Any two models still depend on
    their units alike if they did before.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call the function with float64 in place of narrower types."""
        name = getattr(func, "__name__", "")
        if name in _CASTS and args and isinstance(args[0], Tensor):
            return args[0].double()
        if name in _DEAD:
            return F.silu(args[0])
        if name.lstrip("_") == "grouped_mm":
            return _grouped(*args, **(kwargs or {}))
        if name == "layer_norm":
            return _scaled(*args, **(kwargs or {}))
        if name == "rms_norm":
            return _without_tiny_eps(*args, **(kwargs or {}))
        wide = {key: _wide(value) for key, value in (kwargs or {}).items()}
        return func(*map(_wide, args), **wide)


def _wide(value: Any) -> Any:
    return torch.float64 if isinstance(value, torch.dtype) and value in _NARROW else value


def _grouped(x: Tensor, weights: Tensor, offs: Tensor | None = None, bias: Tensor | None = None, **_: Any) -> Tensor:
    """Multiply each group of rows with its own matrix; torch has no float64 kernel."""
    if offs is None:
        return torch.bmm(x, weights)
    ends = [0, *offs.tolist()]
    rows = [x[start:end] @ weight for start, end, weight in zip(ends[:-1], ends[1:], weights, strict=True)]
    rest = x.new_zeros(len(x) - ends[-1], weights.shape[-1])
    return torch.cat([*rows, rest])


def _scaled(
    x: Tensor,
    shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: Any,
) -> Tensor:
    """Normalise without subtracting the mean, through which every unit would depend on every other."""
    found = F.rms_norm(x, shape, weight, eps)
    return found if bias is None else found + bias


def _without_tiny_eps(
    x: Tensor, shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None, **_: Any
) -> Tensor:
    """Normalise with the eps of float32 where none is given: that of float64 makes gradients at zeros huge."""
    return F.rms_norm(x, shape, weight, torch.finfo(torch.float32).eps if eps is None else eps)
