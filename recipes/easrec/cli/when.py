"""When: the times with which ``recommend`` asks a network that uses them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import typer

from easrec.artifact import Recommender
from easrec.data import Interactions
from easrec.data.dataset import LATEST
from easrec.data.dates import date_of
from easrec.times import setting_of_times
from elasticnas.errors import ConfigError, DataError

__all__ = ["When", "seconds_of"]


@dataclass(frozen=True)
class When:
    """Times of the users of the data, and of the recommendation; nothing for a network that uses no times.

    Attributes:
        data: The data; None for such a network.
        at: Seconds of the recommendation, if the network uses it.
    """

    data: Interactions | None = None
    at: int | None = None

    @classmethod
    def of(cls, recommender: Recommender, data: Interactions | None, at: str | None, histories: bool) -> "When":
        """Return what a network needs; says the time of the recommendation on the standard error if none is given.

        Args:
            recommender: The network with its settings.
            data: The data of its run; None if no user is asked for.
            at: The option ``--at``.
            histories: Whether histories are given, which have no times.

        Raises:
            ConfigError: The network does not use ``at``, or histories are given to one that needs times.
            DataError: ``at`` is no time, or the data has no times.
        """
        used = recommender.network.time_bias
        setting = setting_of_times(recommender.config.model.time_bias, used)
        if at is not None and used != "target":
            raise ConfigError(
                f"--at {at}: the network does not use the time of recommendation ({setting}): leave it out"
            )
        if used == "none":
            return cls()
        if histories:
            raise ConfigError(
                "--history has no times, which this network uses "
                f"({setting}): give --user, or times to Recommender.recommend in Python"
            )
        if data is None or data.times is None:
            raise DataError("the data of the run has no times, which its network uses: restore data.npz, or run again")
        if used == "own":
            return cls(data)
        return cls(data, _last(data) if at is None else seconds_of(at, "--at "))

    def of_users(self, users: Sequence[str]) -> dict[str, Any]:
        """Return the arguments ``times`` and ``at`` of :meth:`easrec.Recommender.recommend` for some users."""
        if self.data is None or self.data.times is None:
            return {}
        numbers = {name: number for number, name in enumerate(self.data.user_ids)}
        edges = [self.data.offsets[numbers[name] : numbers[name] + 2] for name in users]
        return {"times": [self.data.times[first:last].tolist() for first, last in edges], "at": self.at}


def _last(data: Interactions) -> int:
    assert data.times is not None
    last = int(data.times.max())
    shown = datetime.fromtimestamp(last, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    typer.echo(f"recommending at {shown}, the last time in the data; --at gives another", err=True)
    return last


def seconds_of(text: str, option: str = "the time ") -> int:
    """Return seconds since 1970, from such a number or from an ISO date.

    Raises:
        DataError: The text is neither; the message begins with the option.
    """
    date = date_of(text.strip())
    if date is not None:
        return date // 10**9
    if re.fullmatch(r"-?\d{1,12}", text.strip()) and abs(int(text)) <= LATEST:
        return int(text)
    raise DataError(
        f"{option}{text[:80]!r} is no time: give seconds since 1970, or a date such as 2026-11-27T10:00:00 (UTC)"
    )
