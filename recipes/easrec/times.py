"""Times of interactions as an input of the network: what needs them, and what they mean for the task."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from easrec.config import Config, ModelConfig
from easrec.data import Interactions
from easrec.data.dataset import LATEST
from elasticnas.errors import ConfigError, DataError, short_repr

__all__ = ["query_times", "require_given", "require_seconds", "require_times", "times_before", "times_fact"]

_FACTS = {
    "own": "the times of the history are an input (model.time_bias=own)",
    "target": "the time of the target is an input (model.time_bias=target), which is another task than ranking without "
    "it: compare the figures only with others of this task",
}


def query_times(time_bias: str, times: Tensor | None, until: Tensor | None) -> tuple[Tensor, ...]:
    """Return the times of the positions and of their queries, or nothing without a bias by time.

    Raises:
        ConfigError: Times are missing, or given without a bias by time.
    """
    if time_bias == "none":
        if times is not None or until is not None:
            raise ConfigError("times are given, but the network uses none (model.time_bias=none): leave them out")
        return ()
    asked = until if time_bias == "target" else times
    if times is None or asked is None:
        raise ConfigError(f"the network needs the times of its inputs (model.time_bias={time_bias}): give them too")
    return times, asked


def require_times(config: ModelConfig, data: Interactions) -> None:
    """Check that data has times if the network uses them.

    Raises:
        ConfigError: They are missing.
    """
    if config.uses_times and data.times is None:
        lost = "prepare the data again, as the file was prepared without keeping them"
        way_out = lost if data.statistics.timestamps else "name their column by --time"
        raise ConfigError(
            f"model.time_bias={config.time_bias} needs the times of interactions and the data has none: {way_out}, or "
            "set model.time_bias=none"
        )


def times_fact(config: Config) -> dict[str, str]:
    """Return in one line what times are to the task; empty if they are no input."""
    return {"times": _FACTS[config.model.time_bias]} if config.model.uses_times else {}


def require_given(
    config: ModelConfig, histories: Sequence[Sequence[str]], times: Sequence[Sequence[int]] | None, at: int | None
) -> None:
    """Check that histories come with the times that a network uses, and with no others.

    Raises:
        DataError: They do not.
    """
    if not config.uses_times and (times is not None or at is not None):
        raise DataError("times are given, but the network uses none (model.time_bias=none): leave times and at out")
    if not config.uses_times:
        return
    if times is None or list(map(len, times)) != list(map(len, histories)):
        raise DataError(
            f"the network uses the time of each item of a history (model.time_bias={config.time_bias}): give times, as "
            "many as items"
        )
    if (at is None) == (config.time_bias == "target"):
        use = "give at" if at is None else "leave at out"
        known = "uses" if at is None else "does not use"
        raise DataError(f"the network {known} the time of recommendation (model.time_bias={config.time_bias}): {use}")
    for each in (*times, [] if at is None else [at]):
        require_seconds(each)


def require_seconds(times: Sequence[int]) -> None:
    """Check that times are seconds, as the times of data: milliseconds would give other scores without a word.

    Raises:
        DataError: One is no whole number, or later than any time of data.
    """
    found = np.asarray(times)
    if not len(found):
        return
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise DataError(f"times are whole seconds since 1970, one for each item (got {short_repr(times)})")
    furthest = max(found.tolist(), key=abs)
    if abs(furthest) > LATEST:
        raise DataError(
            f"the time {furthest} is not in seconds since 1970, of which the latest is {LATEST}: convert it"
        )


def times_before(times: Sequence[Sequence[int]], at: int | None) -> tuple[Tensor, Tensor]:
    """Return the times of histories and of the event after each, ``(B, longest)`` int64, right padded with 0.

    Args:
        times: Seconds of the items of each history.
        at: Seconds after the last item; None for its own time.
    """
    own = torch.zeros(len(times), max(1, *map(len, times)), dtype=torch.long)
    after = own.clone()
    for row, each in enumerate(times):
        own[row, : len(each)] = torch.tensor(each)
        after[row, : len(each)] = torch.tensor([*each[1:], each[-1] if at is None else at])
    return own, after
