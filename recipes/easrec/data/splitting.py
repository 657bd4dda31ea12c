"""SplitRule: which interactions become validation and test targets, as given by text such as ``time:80%,90%``."""

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from easrec.data.dates import date_of
from easrec.data.partition import Partition, by_session, by_time, given, leave_one_out, points_of_shares
from elasticnas.errors import ConfigError, DataError

__all__ = ["SplitRule"]

_EXAMPLES = "'last', 'time:80%,90%', 'sessions:80%,90%', or dates: 'time:2025-11-01,2025-12-01'"


@dataclass(frozen=True)
class SplitRule:
    """How sequences are split.

    Attributes:
        kind: ``last``: each user's last two items are the targets; ``time``: the first item after a point in time, the
            same for all users; ``sessions``: the last item of sessions that end after a point in time.
        validation: Where the validation window begins: the share of earlier interactions, or nanoseconds; None for
            ``last``.
        test: Where the test window begins.
    """

    kind: Literal["last", "time", "sessions"] = "last"
    validation: float | int | None = None
    test: float | int | None = None

    @classmethod
    def parse(cls, text: str) -> "SplitRule":
        """Parse a rule.

        Raises:
            ConfigError: The text is none.
        """
        kind, _, points = text.partition(":")
        if kind == "last" and not points:
            return cls()
        if kind not in ("time", "sessions"):
            raise ConfigError(f"--split {text!r}: give {_EXAMPLES}")
        values = [_point(text, part) for part in (points or "80%,90%").split(",")]
        if len(values) != 2 or type(values[0]) is not type(values[1]) or not values[0] < values[1]:
            raise ConfigError(f"--split {text!r}: the beginnings of validation and test, in this order: {_EXAMPLES}")
        return cls("time" if kind == "time" else "sessions", *values)

    def apply(self, offsets: NDArray[np.int64], times: NDArray[np.int64] | None, source: str) -> tuple[Partition, str]:
        """Split sequences.

        Args:
            offsets: ``(users + 1,)``.
            times: ``(interactions,)``; None without times.
            source: Name of the data in errors.

        Returns:
            The partition, and a description of it.

        Raises:
            DataError: There are no times, or a part is empty.
        """
        if self.kind == "last":
            return leave_one_out(offsets), "leave-one-out"
        if times is None or self.validation is None or self.test is None:
            raise DataError(
                f"{source}: --split {self.kind} needs times; name their column by --time, or use --split last"
            )
        ends = times if self.kind == "time" else times[offsets[1:] - 1]
        if isinstance(self.validation, float):
            points = points_of_shares(ends, self.validation, self.test)
        else:
            points = self.validation, int(self.test)
        split = by_time if self.kind == "time" else by_session
        first, second = (str(np.datetime64(point, "ns").astype("datetime64[s]")) for point in points)
        described = f"{self.kind}, validation from {first}, test from {second}"
        if points[0] == points[1]:
            raise DataError(
                f"{source}: with --split {self.kind} both windows would begin at {first}, as so many interactions have "
                "that time; choose points further apart"
            )
        try:
            return split(times, offsets, *points), described
        except DataError as error:
            raise DataError(f"{source}: --split {described}: {error}") from None


def of_parts(parts: NDArray[np.int8], offsets: NDArray[np.int64], source: str) -> tuple[Partition, str]:
    """Split sequences whose interactions came in parts of their own for training, validation and test.

    Raises:
        DataError: A part is empty, or has no user with a history.
    """
    try:
        return given(parts, offsets), "given parts"
    except DataError as error:
        raise DataError(f"{source}: {error}") from None


def _point(text: str, part: str) -> float | int:
    part = part.strip()
    if re.fullmatch(r"\d+(\.\d+)?%", part) and 0 < float(part[:-1]) < 100:
        return float(part[:-1]) / 100
    if (date := date_of(part)) is not None:
        return date
    raise ConfigError(f"--split {text!r}: {part!r} is neither a percentage nor a date; give {_EXAMPLES}")
