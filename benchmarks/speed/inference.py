"""Time and memory of next-item prediction: networks that a search can find, relative to SASRec."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from interval import ratio

from easrec.model import EASRecModel, build
from easrec.space import space_for
from speed.alternate import time_alternately
from speed.measured import Measured, Row, medians
from speed.scale import Scale
from speed.separate_process import in_separate_process

__all__ = ["TEXT", "TITLE", "measure", "scoring"]

TITLE = "Next-item prediction"
TEXT = (
    "Scores of all items after histories of full length. *SASRec*: softmax attention, 2 layers of full width, no "
    "gates, all positions computed in every layer, as is usual; its time and peak memory relative to those of networks "
    "with gates that a search can find, whose last layer computes the last position only. *Last position only*: time "
    "of the same network computing all positions, relative to that. Memory: increase of the resident set in a separate "
    "process. [The reproduction](reproduce/README.md) shows which of these a search finds, and their accuracy."
)
_SASREC: dict[str, Any] = {"kind": "softmax", "layers": 2, "gates": 0, "everywhere": True}
_FASTER, _SMALLER = 4.0, 2.6
_LAST_POSITION = {2: 1.5, 4: 1.2}


def measure(scale: Scale) -> Measured:
    """Measure time and memory relative to SASRec, then all positions relative to the last one."""
    found = Measured()
    _compare_with_sasrec(found, scale)
    _compare_last_position(found, scale)
    return found


def _compare_with_sasrec(found: Measured, scale: Scale) -> None:
    kinds = {"SASRec": _SASREC}
    for kind in ("linrec", "softmax"):
        for layers, narrow in ((2, False), (2, True), (1, False), (1, True)):
            name = f"{kind}, {layers} layers, {'half' if narrow else 'full'} width".replace("1 layers", "1 layer")
            kinds[name] = {"kind": kind, "layers": layers, "narrow": narrow}
    times = time_alternately(
        {name: scoring(scale, **each) for name, each in kinds.items()}, 2 * scale.rounds, scale.limit_s
    )
    figures = {each["form"]: each for each in medians(times)}
    for name, each in kinds.items():
        figures[name]["memory_mib"] = (
            in_separate_process("speed.inference:scoring", scale, **each)["memory_bytes"] / 2**20
        )
    memory = {name: max(figures[name]["memory_mib"], 2**-8) for name in kinds}  # at least one page
    for name in list(kinds)[1:]:
        values, rounds = ratio(times["SASRec"], times[name]), len(times[name])
        found.rows.append(Row(f"time, SASRec / {name}", *values, _FASTER, at_least=True, rounds=rounds))
    for name in list(kinds)[1:]:
        label = f"memory, SASRec / {name}"
        found.rows.append(Row.counted(label, memory["SASRec"] / memory[name], _SMALLER, at_least=True))
    found.figures += figures.values()


def _compare_last_position(found: Measured, scale: Scale) -> None:
    for kind in ("linrec", "softmax"):
        for layers, target in _LAST_POSITION.items():
            forms = {
                name: scoring(scale, kind=kind, layers=layers, everywhere=name == "all positions")
                for name in ("all positions", "last position")
            }
            times = time_alternately(forms, 2 * scale.rounds, scale.limit_s)
            label = f"{kind}, {layers} layers"
            values, rounds = ratio(*times.values()), len(times["last position"])
            found.rows.append(Row(f"last position only, {label}", *values, target, at_least=True, rounds=rounds))
            found.figures += medians(times, f"{label}: ")


def scoring(
    scale: Scale, kind: str, layers: int, gates: int = 2, narrow: bool = False, everywhere: bool = False
) -> Callable[[], None]:
    """Build a network and return a function that scores one batch."""
    config = scale.config(attention=kind, layers=layers, gate_layers=gates)
    space: Any = space_for(config)
    arch = space(candidate=0, depth=layers) if narrow else space.largest()
    network = build(config, scale.items, arch, True)
    ids = scale.ids(scale.together)
    lengths = torch.full((len(ids),), scale.length)
    return partial(_all_positions if everywhere else _last_position, network.eval(), ids, lengths)


@torch.no_grad()
def _all_positions(network: EASRecModel, ids: torch.Tensor, lengths: torch.Tensor) -> None:
    network.scores(network(ids)[torch.arange(len(ids)), lengths - 1])


@torch.no_grad()
def _last_position(network: EASRecModel, ids: torch.Tensor, lengths: torch.Tensor) -> None:
    network.next_item(ids, lengths)
