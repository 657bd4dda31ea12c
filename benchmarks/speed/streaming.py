"""One more event of a user: stepping the state on against reading the history again."""

from collections.abc import Callable

import torch
from interval import interval, ratio
from torch import Tensor

from easrec.model import build
from easrec.space import space_for
from easrec.streaming import Streamer
from speed.measured import Measured, Row, medians
from speed.scale import Scale
from speed.turns import in_turns

__all__ = ["TEXT", "TITLE", "measure"]

TITLE = "Streaming"
TEXT = (
    "Scores after one more event, LinRec at full depth, with gates: `next_item` over the last N events of every user, "
    "over one `Streamer.update`. *Compiled*: both by torch.compile. *With restarts*: the mean over a whole turn of N/2 "
    "events, in which a full window starts again once."
)
_TARGETS = (10.0, 100.0)
_STATE = 66 * 2**10
_EVENTS = 6  # one after the other in a round


def measure(scale: Scale) -> Measured:
    """One user, and many at once."""
    found, config = Measured(), scale.config(attention="linrec")
    network = build(config, scale.items, space_for(config).largest(), True)
    streamer, compiled = Streamer(network), Streamer(network, backend=scale.backend)
    for batch, target in zip((1, scale.together), _TARGETS, strict=True):
        again = _again(streamer, scale, batch)
        once = torch.compile(again, backend=scale.backend, dynamic=False)
        forms = {
            "next_item": _events(again),
            "update": _events(_update(streamer, scale, batch)),
            "compiled next_item": _events(once),
            "compiled update": _events(_update(compiled, scale, batch)),
        }
        times = in_turns(forms, max(2, streamer.keep // _EVENTS - 2), scale.limit_s)
        times = {name: [each / _EVENTS for each in values] for name, values in times.items()}
        label, rounds = f"batch {batch}", len(times["update"])
        for form in ("", "compiled "):
            values = ratio(times[f"{form}next_item"], times[f"{form}update"])
            found.rows.append(Row(f"{form}next_item / update, {label}", *values, target, at_least=True, rounds=rounds))
        found.figures += medians(times, f"{label}: ")
        turn = {"next_item": again, "turn": _turn(streamer, scale, batch)}
        times, events = in_turns(turn, scale.rounds, scale.limit_s), _between_restarts(streamer)
        values = interval(lambda one, all_, events=events: one * events / all_, *times.values())
        found.rows.append(Row(f"next_item / update with restarts, {label}", *values, rounds=len(times["turn"])))
    stream, _ = streamer.start([[1]])
    recurrent = sum(
        part.element_size() * part.numel() for branch in stream.branches for state in branch.layers for part in state
    )
    found.rows.append(Row.counted("state of a user", stream.bytes_per_user, _STATE, unit="bytes"))
    found.rows.append(Row.counted("of it the recurrence", recurrent, unit="bytes"))
    return found


def _again(streamer: Streamer, scale: Scale, batch: int) -> Callable[[], object]:
    ids, lengths = scale.ids(batch), torch.full((batch,), scale.length)

    @torch.no_grad()
    def run() -> Tensor:
        # returned: what nobody reads is not computed in a compiled graph
        return streamer.network.next_item(ids, lengths)

    return run


def _update(streamer: Streamer, scale: Scale, batch: int) -> Callable[[], object]:
    """One event; the state starts from half a window, so that it does not fill while it is timed."""
    stream, _ = streamer.start(scale.ids(batch)[:, : streamer.keep].tolist())
    items = scale.ids(batch)[:, 0]
    return lambda: streamer.update(stream, items)


def _events(run: Callable[[], object]) -> Callable[[], object]:
    """Several, one after the other."""

    def repeated() -> None:
        for _ in range(_EVENTS):
            run()

    return repeated


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
