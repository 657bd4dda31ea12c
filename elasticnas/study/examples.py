"""Values of single test examples, of which the metric is the mean."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from elasticnas.errors import CheckpointError, ConfigError
from elasticnas.files import write_bytes

__all__ = ["Values", "read_values", "split_values", "write_values"]

Values = NDArray[np.float64]


def split_values(given: Any, metric: str) -> tuple[Any, Values | None]:
    """What ``test`` gave, with the mean in place of one value per example; and these values.

    Args:
        given: A mapping; anything else is handed back as it is.
        metric: The name whose values are looked at.

    Returns:
        The mapping with a number, and the values; None where ``test`` gave a number alone.

    Raises:
        ConfigError: There are no values, or they are not one per example.
    """
    value = given.get(metric) if isinstance(given, Mapping) else None
    if not isinstance(value, (torch.Tensor, np.ndarray, list, tuple)):
        return given, None
    try:
        values = np.asarray(torch.as_tensor(value).detach().to("cpu", torch.float64).numpy())
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"test returns {metric}={value!r:.80}: numbers are needed, one per example ({error})"
        ) from None
    if values.ndim == 0:
        return given, None
    if values.ndim > 1 or len(values) == 0:
        raise ConfigError(
            f"test returns {metric} of shape {values.shape}; one value per example is needed: (examples,)"
        )
    return {**given, metric: float(values.mean())}, values


def write_values(path: Path, values: Values) -> None:
    """Keep the values, for comparisons of another sitting."""
    write_bytes(path, values.astype("<f8").tobytes())


def read_values(path: Path, count: int) -> Values | None:
    """Values that were kept; None where none are expected.

    Raises:
        CheckpointError: They are missing, or not so many.
    """
    if count == 0:
        return None
    try:
        values = np.frombuffer(path.read_bytes(), "<f8")
    except (OSError, ValueError):
        values = np.zeros(0)
    if len(values) != count:
        raise CheckpointError(f"{path}: missing or damaged; delete {path.with_suffix('.json').name} to make it again")
    return values
