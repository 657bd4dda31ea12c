"""Times of interactions as an input of the network: what needs them, and what they mean for the task."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from easrec.config import Config, ModelConfig
from easrec.data import Interactions
from easrec.data.dataset import LATEST
from elasticnas.errors import ConfigError, DataError, short_repr

__all__ = [
    "query_times",
    "require_given",
    "require_seconds",
    "require_times",
    "setting_of_times",
    "times_before",
    "times_fact",
]

_FACTS = {
    "own": "the times of the history are an input (model.time_bias=own)",
    "target": "the time of the target is an input (model.time_bias=target), which is another task than ranking without "
    "it: compare the figures only with others of this task",
}
_CHOICE = "; a network whose architecture has time_bias=False uses no times"


def setting_of_times(declared: str, used: str) -> str:
    """Return, for messages, which setting and which choice of the architecture decide the times of a network.

    Args:
        declared: ``model.time_bias``.
        used: The same, or ``none`` if the architecture does not use it.
    """
    choice = "" if used == declared else ", and the architecture of this network has time_bias=False"
    return f"model.time_bias={declared}{choice}"


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
    if not config.model.uses_times:
        return {}
    fact = _FACTS[config.model.time_bias]
    return {"times": f"{fact}{_CHOICE}" if config.model.wide.time_bias else fact}


def require_given(
    declared: str,
    used: str,
    histories: Sequence[Sequence[str]],
    times: Sequence[Sequence[int]] | None,
    at: int | None,
) -> None:
    """Check that histories come with the times that a network uses, and with no others.

    Args:
        declared: ``model.time_bias``.
        used: The same, or ``none`` if the architecture does not use it.
        histories: Items of each history.
        times: Seconds of these items, if they are given.
        at: Seconds of the recommendation, if they are given.

    Raises:
        DataError: They do not.
    """
    setting = setting_of_times(declared, used)
    if used == "none":
        if times is not None or at is not None:
            raise DataError(f"times are given, but the network uses none ({setting}): leave times and at out")
        return
    if times is None or list(map(len, times)) != list(map(len, histories)):
        raise DataError(
            f"the network uses the time of each item of a history ({setting}): give times, as many as items"
        )
    if (at is None) == (used == "target"):
        use = "give at" if at is None else "leave at out"
        known = "uses" if at is None else "does not use"
        raise DataError(f"the network {known} the time of recommendation ({setting}): {use}")
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
