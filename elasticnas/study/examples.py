"""Metric values of single test examples."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from elasticnas.errors import CheckpointError, ConfigError
from elasticnas.files import read_bytes, write_bytes

__all__ = ["Values", "read_values", "split_values", "write_values"]

Values = NDArray[np.float64]


def split_values(given: Any, metric: str) -> tuple[Any, Values | None]:
    """Replace the values per example in a result of ``test`` by their mean.

    Args:
        given: Result of ``test``; anything but a mapping is returned unchanged.
        metric: Name of the metric.

    Returns:
        The mapping with the mean, and the values; None instead of values if ``test`` returned a single number.

    Raises:
        ConfigError: The values are empty, not numbers, or not one per example.
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
    """Save the values, for comparisons after resuming."""
    write_bytes(path, values.astype("<f8").tobytes())


def read_values(path: Path, count: int) -> Values | None:
    """Read saved values; None if ``count`` is 0.

    Raises:
        CheckpointError: They are missing, or their number is not ``count``.
    """
    if count == 0:
        return None
    try:
        values = np.frombuffer(read_bytes(path), "<f8")
    except (OSError, ValueError):
        values = np.zeros(0)
    if len(values) != count:
        raise CheckpointError(f"{path}: missing or damaged; delete {path.with_suffix('.json').name} to make it again")
    return values
