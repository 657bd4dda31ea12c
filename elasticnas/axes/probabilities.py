"""Probabilities over options, converted to one form: a tensor for each choice."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from elasticnas.axes.modes import is_transformed
from elasticnas.axes.quantity import Choice
from elasticnas.errors import ArchitectureError, did_you_mean, short_repr

__all__ = ["by_choice"]

_ROUNDING = 1e-2  # of a sum of probabilities, in bfloat16 too


def by_choice(probabilities: Mapping[str, Any], choices: Sequence[Choice]) -> dict[str, Tensor]:
    """Return the given probabilities ``(..., options)`` by choice name, in the order of the choices.

    Args:
        probabilities: By choice name; a per-layer field may be one ``(layers, options)``, a nested space a mapping.
        choices: The choices of the space.

    Raises:
        ArchitectureError: A name is unknown, a shape does not match the options, a value is negative or not finite,
            or the probabilities of a choice do not sum to 1.
    """
    given = _flatten(probabilities, [choice.name for choice in choices])
    found = {}
    for choice in choices:
        if choice.name not in given:
            continue
        value = given[choice.name]
        value = value if isinstance(value, Tensor) else _tensor(choice, value)
        if value.ndim < 1 or value.shape[-1] != len(choice.options):
            raise ArchitectureError(
                f"{choice.name} has {len(choice.options)} options {list(choice.options)}, "
                f"but the probabilities have the shape {tuple(value.shape)}: give one for each option"
            )
        found[choice.name] = value if value.is_floating_point() else value.float()
    _require_probabilities(found)
    return found


def _tensor(choice: Choice, value: Any) -> Tensor:
    try:
        return torch.tensor(value, device="cpu")
    except (TypeError, ValueError, RuntimeError):
        raise ArchitectureError(
            f"{choice.name} has the probabilities {short_repr(value)}: give a tensor or a list of numbers, one for "
            f"each of its options {list(choice.options)}"
        ) from None


def _require_probabilities(given: Mapping[str, Tensor]) -> None:
    # under a trace or a transform there are no values to look at
    if is_transformed():
        return
    right = [_proper(value) & _whole(value) for value in given.values()]
    # one look at all of them: each waits for the device
    by_device = {flag.device: [each for each in right if each.device == flag.device] for flag in right}
    if all(bool(torch.stack(flags).all()) for flags in by_device.values()):
        return
    wrong = next(name for name, flag in zip(given, right, strict=True) if not flag)
    rule = "they must sum to 1" if _proper(given[wrong]) else "each must be finite and at least 0"
    raise ArchitectureError(
        f"{wrong} has the probabilities {short_repr(given[wrong].tolist())}: {rule}, as a softmax of finite logits "
        "gives them"
    )


def _proper(value: Tensor) -> Tensor:
    return ((value >= 0) & (value < torch.inf)).all()


def _whole(value: Tensor) -> Tensor:
    return ((value.sum(-1) - 1).abs() <= _ROUNDING).all()


def _flatten(target: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for key, value in target.items():
        below = [name.removeprefix(f"{key}.") for name in names if name.startswith(f"{key}.")]
        if key in names:
            given[key] = value
        elif below and isinstance(value, Mapping):
            given |= {f"{key}.{name}": inner for name, inner in _flatten(value, below).items()}
        elif hasattr(value, "__len__") and below == [str(position) for position in range(len(value))]:
            given |= {f"{key}.{position}": value[position] for position in range(len(below))}
        else:
            raise ArchitectureError(f"no choice is named {key!r}{did_you_mean(str(key), names)}")
    return given
