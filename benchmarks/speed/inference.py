"""What recommending the next item costs: found networks against the usual way, time and memory."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from interval import ratio

from easrec.model import EASRecModel, build
from easrec.space import space_for
from speed.measured import Measured, Row, medians
from speed.own_process import in_own_process
from speed.scale import Scale
from speed.turns import in_turns

__all__ = ["TEXT", "TITLE", "measure", "scoring"]

TITLE = "The next item"
TEXT = (
    "Scores of all items after histories of full length. *SASRec*: softmax attention, 2 layers of full width, no "
    "gates, every layer working out every position, as is usual; its time, and its peak memory, over those of networks "
    "with gates that a search can find, whose last layer works out the last position alone. *Last position alone*: the "
    "same network finishing all positions, over that. Memory: the rise of the resident set in a process of its own. "
    "Which of these a search finds, and how accurate it is, stands in [the reproduction](reproduce/README.md)."
)
_SASREC: dict[str, Any] = {"kind": "softmax", "layers": 2, "gates": 0, "everywhere": True}
_FASTER, _SMALLER = 4.0, 2.6
_LAST_ALONE = {2: 1.5, 4: 1.2}


def measure(scale: Scale) -> Measured:
    """Throughput and memory against SASRec, then the last position alone against all."""
    found = Measured()
    _against_sasrec(found, scale)
    _last_alone(found, scale)
    return found


def _against_sasrec(found: Measured, scale: Scale) -> None:
    kinds = {"SASRec": _SASREC}
    for kind in ("linrec", "softmax"):
        for layers, narrow in ((2, False), (2, True), (1, False), (1, True)):
            name = f"{kind}, {layers} layers, {'half' if narrow else 'full'} width".replace("1 layers", "1 layer")
            kinds[name] = {"kind": kind, "layers": layers, "narrow": narrow}
    times = in_turns({name: scoring(scale, **each) for name, each in kinds.items()}, 2 * scale.rounds, scale.limit_s)
    figures = {each["form"]: each for each in medians(times)}
    for name, each in kinds.items():
        figures[name]["memory_mib"] = in_own_process("speed.inference:scoring", scale, **each)["memory_bytes"] / 2**20
    memory = {name: max(figures[name]["memory_mib"], 2**-8) for name in kinds}  # no less than a page
    for name in list(kinds)[1:]:
        values, rounds = ratio(times["SASRec"], times[name]), len(times[name])
        found.rows.append(Row(f"time, SASRec / {name}", *values, _FASTER, at_least=True, rounds=rounds))
    for name in list(kinds)[1:]:
        label = f"memory, SASRec / {name}"
        found.rows.append(Row.counted(label, memory["SASRec"] / memory[name], _SMALLER, at_least=True))
    found.figures += figures.values()


def _last_alone(found: Measured, scale: Scale) -> None:
    for kind in ("linrec", "softmax"):
        for layers, target in _LAST_ALONE.items():
            forms = {
                name: scoring(scale, kind=kind, layers=layers, everywhere=name == "all positions")
                for name in ("all positions", "last alone")
            }
            times = in_turns(forms, 2 * scale.rounds, scale.limit_s)
            label = f"{kind}, {layers} layers"
            values, rounds = ratio(*times.values()), len(times["last alone"])
            found.rows.append(Row(f"last position alone, {label}", *values, target, at_least=True, rounds=rounds))
            found.figures += medians(times, f"{label}: ")


def scoring(
    scale: Scale, kind: str, layers: int, gates: int = 2, narrow: bool = False, everywhere: bool = False
) -> Callable[[], None]:
    """Get a network ready and return what scores one batch."""
    config = scale.config(attention=kind, layers=layers, gate_layers=gates)
    space: Any = space_for(config)
    arch = space(candidate=0, depth=layers) if narrow else space.largest()
    network = build(config, scale.items, arch, True)
    ids = scale.ids(scale.together)
    lengths = torch.full((len(ids),), scale.length)
    return partial(_everywhere if everywhere else _alone, network.eval(), ids, lengths)


@torch.no_grad()
def _everywhere(network: EASRecModel, ids: torch.Tensor, lengths: torch.Tensor) -> None:
    network.scores(network(ids)[torch.arange(len(ids)), lengths - 1])


@torch.no_grad()
def _alone(network: EASRecModel, ids: torch.Tensor, lengths: torch.Tensor) -> None:
    network.next_item(ids, lengths)
