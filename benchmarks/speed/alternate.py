"""Alternating timing of several forms of one computation."""

import time
from collections.abc import Callable, Mapping

__all__ = ["time_alternately"]

_FEWEST = 3


def time_alternately(
    forms: Mapping[str, Callable[[], object]], rounds: int, limit_s: float = float("inf")
) -> dict[str, list[float]]:
    """Return the seconds of every form in every round, timed alternately so that other load affects all forms.

    One warm-up round comes first. The order is reversed from round to round.

    Args:
        forms: Forms by name.
        rounds: Largest number of rounds.
        limit_s: Time in seconds after which no further round starts, except for the first three.
    """
    times: dict[str, list[float]] = {name: [] for name in forms}
    for form in forms.values():
        form()
    begun = time.perf_counter()
    for number in range(rounds):
        if number >= min(_FEWEST, rounds) and time.perf_counter() - begun > limit_s:
            break
        for name in list(forms)[:: -1 if number % 2 else 1]:
            started = time.perf_counter()
            forms[name]()
            times[name].append(time.perf_counter() - started)
    return times
