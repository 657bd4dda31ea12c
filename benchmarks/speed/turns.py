"""Forms of one computation, timed in turns."""

import time
from collections.abc import Callable, Mapping

__all__ = ["in_turns"]

_FEWEST = 3


def in_turns(
    forms: Mapping[str, Callable[[], object]], rounds: int, limit_s: float = float("inf")
) -> dict[str, list[float]]:
    """Seconds of every form in every round; whatever else the machine does hits all of them.

    One round before warms up. The order turns round from one round to the next.

    Args:
        forms: By name.
        rounds: At most.
        limit_s: Time after which no further round begins, except for the first three.
    """
    times: dict[str, list[float]] = {name: [] for name in forms}
    for form in forms.values():
        form()
    begun = time.perf_counter()
    for turn in range(rounds):
        if turn >= min(_FEWEST, rounds) and time.perf_counter() - begun > limit_s:
            break
        for name in list(forms)[:: -1 if turn % 2 else 1]:
            started = time.perf_counter()
            forms[name]()
            times[name].append(time.perf_counter() - started)
    return times
