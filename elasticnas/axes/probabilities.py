"""Probabilities over options, converted to one form: a tensor for each choice."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from elasticnas.axes.modes import is_transformed
from elasticnas.axes.quantity import Choice
from elasticnas.errors import ArchitectureError

__all__ = ["by_choice"]


def by_choice(probabilities: Mapping[str, Any], choices: Sequence[Choice]) -> dict[str, Tensor]:
    """Return the given probabilities ``(..., options)`` by choice name, in the order of the choices.

    Args:
        probabilities: By choice name; a per-layer field may be one ``(layers, options)``, a nested space a mapping.
        choices: The choices of the space.

    Raises:
        ArchitectureError: A name is unknown, a shape does not match the options, or a value is negative or not finite.
    """
    given = _flatten(probabilities, [choice.name for choice in choices])
    found = {}
    for choice in choices:
        if choice.name not in given:
            continue
        value = given[choice.name]
        value = value if isinstance(value, Tensor) else torch.tensor(value, device="cpu")
        if value.ndim < 1 or value.shape[-1] != len(choice.options):
            raise ArchitectureError(
                f"{choice.name} has {len(choice.options)} options {list(choice.options)}, "
                f"but the probabilities have the shape {tuple(value.shape)}"
            )
        _require_finite(choice, value)
        found[choice.name] = value if value.is_floating_point() else value.float()
    return found


def _require_finite(choice: Choice, value: Tensor) -> None:
    # under a trace or a transform there are no values to look at
    if not is_transformed() and not bool(((value >= 0) & (value < torch.inf)).all()):
        raise ArchitectureError(
            f"{choice.name} has the probabilities {value.tolist()}: each must be finite and at least 0, "
            "as a softmax of finite logits gives them"
        )


def _flatten(target: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for key, value in target.items():
        below = [name.removeprefix(f"{key}.") for name in names if name.startswith(f"{key}.")]
        if key in names:
            given[key] = value
        elif below and isinstance(value, Mapping):
            given |= {f"{key}.{name}": inner for name, inner in _flatten(value, below).items()}
        elif below == [str(position) for position in range(len(value))]:
            given |= {f"{key}.{position}": value[position] for position in range(len(below))}
        else:
            raise ArchitectureError(f"no choice is named {key!r}; the space has {sorted(names)}")
    return given
