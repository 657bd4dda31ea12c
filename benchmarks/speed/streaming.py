"""One more event of a user: stepping the state on against reading the history again."""

from collections.abc import Callable

import torch
from interval import interval, ratio

from easrec.model import build
from easrec.space import space_for
from easrec.streaming import Streamer
from speed.measured import Measured, Row, medians
from speed.scale import Scale
from speed.turns import in_turns

__all__ = ["TEXT", "TITLE", "measure"]

TITLE = "Streaming"
TEXT = (
    "Scores after one more event, LinRec at full depth: `next_item` over the last N events of every user, over one "
    "`Streamer.update`. *With restarts*: the mean over a whole turn of N/2 events, in which a full window starts again "
    "once."
)
_TARGETS = (10.0, 100.0)
_STATE = 66 * 2**10


def measure(scale: Scale) -> Measured:
    """One user, and many at once."""
    found, config = Measured(), scale.config(attention="linrec")
    network = build(config, scale.items, space_for(config).largest(), True)
    streamer = Streamer(network)
    for batch, target in zip((1, scale.together), _TARGETS, strict=True):
        again = _again(streamer, scale, batch)
        forms = {"next_item": again, "update": _update(streamer, scale, batch)}
        times = in_turns(forms, min(scale.single_rounds, streamer.keep - 2), scale.limit_s)
        label, rounds = f"batch {batch}", len(times["update"])
        found.rows.append(
            Row(f"next_item / update, {label}", *ratio(*times.values()), target, at_least=True, rounds=rounds)
        )
        found.figures += medians(times, f"{label}: ")
        turn = {"next_item": again, "turn": _turn(streamer, scale, batch)}
        times, events = in_turns(turn, scale.rounds, scale.limit_s), _between_restarts(streamer)
        values = interval(lambda one, all_, events=events: one * events / all_, *times.values())
        found.rows.append(Row(f"next_item / update with restarts, {label}", *values, rounds=len(times["turn"])))
    stream, _ = streamer.start([[1]])
    found.rows.append(Row.counted("state of a user", stream.bytes_per_user, _STATE, unit="bytes"))
    return found


def _again(streamer: Streamer, scale: Scale, batch: int) -> Callable[[], object]:
    ids, lengths = scale.ids(batch), torch.full((batch,), scale.length)

    @torch.no_grad()
    def run() -> None:
        streamer.network.next_item(ids, lengths)

    return run


def _update(streamer: Streamer, scale: Scale, batch: int) -> Callable[[], object]:
    """One event; the state starts from half a window, so that it does not fill while it is timed."""
    stream, _ = streamer.start(scale.ids(batch)[:, : streamer.keep].tolist())
    items = scale.ids(batch)[:, 0]
    return lambda: streamer.update(stream, items)


def _between_restarts(streamer: Streamer) -> int:
    """Events from one restart to the next, which leaves ``keep`` of them in the state."""
    return streamer.length - streamer.keep + 1


def _turn(streamer: Streamer, scale: Scale, batch: int) -> Callable[[], object]:
    """As many events as lie between two restarts."""
    stream, _ = streamer.start(scale.ids(batch).tolist())
    items = scale.ids(batch)[:, 0]

    def run() -> None:
        for _ in range(_between_restarts(streamer)):
            streamer.update(stream, items)

    return run
