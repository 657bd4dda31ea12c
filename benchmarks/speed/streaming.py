"""Time of one more event of a user: encoding the history again, relative to a step of the state."""

from collections.abc import Callable

import torch
from interval import interval, ratio
from torch import Tensor

from easrec.model import build
from easrec.space import space_for
from easrec.streaming import Streamer
from speed.alternate import time_alternately
from speed.measured import Measured, Row, medians
from speed.scale import Scale

__all__ = ["TEXT", "TITLE", "measure"]

TITLE = "Streaming"
TEXT = (
    "Time to score after one more event, LinRec at full depth, with gates: `next_item` on the last N events of every "
    "user, relative to one `Streamer.update`. *Compiled*: `next_item` by torch.compile, the step by "
    "`Streamer(network, compiled=True)`. *With restarts*: the "
    "mean over a full cycle of N/2 events, in which a full window restarts once."
)
_TARGETS = (10.0, 100.0)
_STATE = 66 * 2**10
_EVENTS = 6  # per round


def measure(scale: Scale) -> Measured:
    """Measure one user, and a batch of users."""
    found, config = Measured(), scale.config(attention="linrec")
    network = build(config, scale.items, space_for(config).largest(), True)
    streamer, compiled = Streamer(network), Streamer(network, compiled=True)
    for batch, target in zip((1, scale.together), _TARGETS, strict=True):
        next_item = _next_item(streamer, scale, batch)
        compiled_next_item = torch.compile(next_item, backend=scale.backend, dynamic=False)
        forms = {
            "next_item": _events(next_item),
            "update": _events(_update(streamer, scale, batch)),
            "compiled next_item": _events(compiled_next_item),
            "compiled update": _events(_update(compiled, scale, batch)),
        }
        times = time_alternately(forms, max(2, streamer.keep // _EVENTS - 2), scale.limit_s)
        times = {name: [each / _EVENTS for each in values] for name, values in times.items()}
        label, rounds = f"batch {batch}", len(times["update"])
        for one, other in (("", ""), ("compiled ", "compiled "), ("", "compiled ")):
            values = ratio(times[f"{one}next_item"], times[f"{other}update"])
            name = f"{one}next_item / {other}update, {label}"
            found.rows.append(Row(name, *values, target, at_least=True, rounds=rounds))
        found.figures += medians(times, f"{label}: ")
        cycle = {"next_item": next_item, "cycle": _cycle(streamer, scale, batch)}
        times, events = time_alternately(cycle, scale.rounds, scale.limit_s), _between_restarts(streamer)
        values = interval(lambda one, all_, events=events: one * events / all_, *times.values())
        found.rows.append(Row(f"next_item / update with restarts, {label}", *values, rounds=len(times["cycle"])))
    stream, _ = streamer.start([[1]])
    recurrent = sum(
        part.element_size() * part.numel() for branch in stream.branches for state in branch.layers for part in state
    )
    found.rows.append(Row.counted("state of a user", stream.bytes_per_user, _STATE, unit="bytes"))
    found.rows.append(Row.counted("of which the recurrence", recurrent, unit="bytes"))
    return found


def _next_item(streamer: Streamer, scale: Scale, batch: int) -> Callable[[], object]:
    ids, lengths = scale.ids(batch), torch.full((batch,), scale.length)

    @torch.no_grad()
    def run() -> Tensor:
        # returned, because a compiled graph does not compute unused values
        return streamer.network.next_item(ids, lengths)

    return run


def _update(streamer: Streamer, scale: Scale, batch: int) -> Callable[[], object]:
    """Return a function for one event; the state starts from half a window, so that it never restarts."""
    stream, _ = streamer.start(scale.ids(batch)[:, : streamer.keep].tolist())
    items = scale.ids(batch)[:, 0]
    return lambda: streamer.update(stream, items)


def _events(run: Callable[[], object]) -> Callable[[], object]:
    """Return a function that runs several events."""

    def repeated() -> None:
        for _ in range(_EVENTS):
            run()

    return repeated


def _between_restarts(streamer: Streamer) -> int:
    """Return the number of events between restarts, after which ``keep`` events stay in the state."""
    return streamer.length - streamer.keep + 1


def _cycle(streamer: Streamer, scale: Scale, batch: int) -> Callable[[], object]:
    """Return a function for all events between two restarts."""
    stream, _ = streamer.start(scale.ids(batch).tolist())
    items = scale.ids(batch)[:, 0]

    def run() -> None:
        for _ in range(_between_restarts(streamer)):
            streamer.update(stream, items)

    return run
