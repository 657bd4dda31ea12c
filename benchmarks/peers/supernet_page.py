"""Page of the comparison with other libraries of supernets, generated from its record."""

import statistics
from typing import Any

from benchmarks.interval import interval
from benchmarks.record import heading
from elasticnas.report import table

__all__ = ["page", "verdict"]

_TARGET = 1.0
_UNEVEN = 1.5
_TITLES = {"all": "Hidden size, heads, inner size and depth", "inner and depth": "Inner size and depth"}
_COUNTED = ("largest", "smallest", "random", "random")


def page(record: dict[str, Any]) -> str:
    """Return Markdown: the verdicts, one table per space, counts of the sub-networks, and what differs."""
    settings, environment, load = record["settings"], record["environment"], record["load"]
    lines = [
        *heading("A sandwich step compared with other libraries of supernets", environment),
        *[
            f"* {_TITLES[space]}: {verdict(_seconds(record, space), own)}"
            for space in _TITLES
            for own in _seconds(record, space)
            if own.startswith("ours")
        ],
        "",
        f"GPT-2 small, {settings['vocabulary']:,} tokens, {settings['batch']} x {settings['length']} of them in a "
        "batch, random weights. A step is forward, cross entropy and backward of four sub-networks, the largest, the "
        "smallest and two random ones, the same for all sides, then AdamW on the sum of their gradients. Sides run "
        f"alternately, every peer in a process of its own, {len(record['rounds'])} rounds after one of warm-up. "
        "Figures are medians over the rounds; how many times as fast ours is, is the median of the ratios within a "
        "round, with a 95 % bootstrap interval over rounds. "
        f"Load average before the run: {load['before']:.1f}, on {load['cores']} cores; AdamW, nearly the same work on "
        "every side and in every round, took {:.1f} to {:.1f} s.".format(*_optimizer_seconds(record)),
        *_unevenness(*_optimizer_seconds(record)),
    ]
    for space in _TITLES:
        lines += ["", f"## {_TITLES[space]}", "", *_figures(record, space), "", *_counts(record["counted"][space])]
    return "\n".join([*lines, "", *_conditions(record)])


def _seconds(record: dict[str, Any], space: str) -> dict[str, list[float]]:
    rounds = [measured[space]["steps"] for measured in record["rounds"]]
    return {name: [steps[name]["seconds"] for steps in rounds] for name in rounds[0]}


def _optimizer_seconds(record: dict[str, Any]) -> tuple[float, float]:
    """Return the shortest and longest time of AdamW, which shows how even the machine was."""
    steps = [step for found in record["rounds"] for measured in found.values() for step in measured["steps"].values()]
    seconds = [step["parts"][4] for step in steps]
    return min(seconds), max(seconds)


def _unevenness(shortest: float, longest: float) -> list[str]:
    """Warn of figures of a machine whose speed changed."""
    if longest < _UNEVEN * shortest:
        return []
    return ["", "**The speed of the machine changed during the run: repeat it on an idle one before relying on it.**"]


def verdict(seconds: dict[str, list[float]], own: str) -> str:
    """Return a sentence on a side of ours relative to the fastest peer; it says first if ours is slower."""
    peers = {name: times for name, times in seconds.items() if not name.startswith("ours")}
    best = min(peers, key=lambda name: statistics.median(peers[name]))
    value, low, high = _times_as_fast(peers[best], seconds[own])
    met = "met" if low >= _TARGET else "missed" if high < _TARGET else "undecided, it is within the interval"
    slower = "**slower than the fastest peer**: " if high < _TARGET else ""
    return (
        f"{slower}{own}: {value:.2f} ({low:.2f} to {high:.2f}) times as fast as {best}, the fastest peer; "
        f"target {_TARGET:g}: {met}."
    )


def _times_as_fast(peer: list[float], own: list[float]) -> tuple[float, float, float]:
    """Return the median of the ratios of the rounds, with its interval: the machine can change between rounds."""
    return interval(lambda value: value, [theirs / ours for theirs, ours in zip(peer, own, strict=True)])


def _figures(record: dict[str, Any], space: str) -> list[str]:
    seconds = _seconds(record, space)
    rows = []
    for name, times in seconds.items():
        steps = [measured[space]["steps"][name] for measured in record["rounds"]]
        parts = [statistics.median(step["parts"][number] for step in steps) for number in range(5)]
        middle, low, high = interval(lambda value: value, times)
        faster = "" if name == "ours" else "{:.2f} ({:.2f} to {:.2f})".format(*_times_as_fast(times, seconds["ours"]))
        shown = [f"{part:.2f}" for part in (parts[0], parts[1], sum(parts[2:4]), parts[4])]
        rows.append([name, f"{middle:.2f} ({low:.2f} to {high:.2f})", faster, *shown])
    columns = ["", "step, s", "ours is times as fast", "largest", "smallest", "two random", "AdamW"]
    return [table(columns, rows)]


def _counts(counted: dict[str, list[dict[str, int]]]) -> list[str]:
    """Return FLOPs and parameters of the sub-networks of the first step on every side."""
    rows = [
        [name, *(f"{count['flops'] / 1e9:.1f}, {count['parameters'] / 1e6:.2f}" for count in counts)]
        for name, counts in counted.items()
    ]
    return [
        "GFLOPs of the matrix products in forward and backward, as torch's counter counts them, and millions of "
        "parameters with a gradient, of the sub-networks of the first step:",
        "",
        table(["", *_COUNTED], rows),
    ]


def _conditions(record: dict[str, Any]) -> list[str]:
    described = record["described"]
    versions = {
        name: ", ".join(f"{what} {number}" for what, number in side["versions"].items()) + f", torch {side['torch']}"
        for name, side in described.items()
    }
    return [
        "## What differs",
        "",
        f"- Ours ({versions['ours']}): transformers' GPT-2, unchanged, as `elastify` wraps it; the proofs of "
        "`elastify` are not part of a step and were left out. A sub-network that was not among the last 32 is built "
        "anew in the step; this is timed. *Ours, model of ModelOpt* is the same on the plain GPT-2 that ModelOpt runs.",
        f"- whittle ({versions['whittle']}): its own GPT, which slices like ours. It has no table of positions, and "
        "rotary embeddings are off. `torchvision`, which it does not use here, was removed, because the available "
        "build does not fit the CPU build of torch.",
        f"- ModelOpt ({versions['ModelOpt']}): AutoNAS, a mode for vision models, knows `nn.Linear`, norms and "
        "`nn.Sequential`, but no embedding and no attention: the hidden size and heads are not in its space, so that "
        "it runs in the second table only, on a plain GPT-2 of `nn` modules. Its `select` chooses the sub-networks.",
        f"- masks ({versions['masks']}): a re-implementation, because NNI is archived. It multiplies the weights of "
        "transformers' GPT-2 by masks, and all products have full size, as NNI's mixed operations do with weighted "
        "sizes in its differentiable strategies (`nni/nas/oneshot/pytorch/supermodule/_operation_utils.py`); its path "
        "sampling slices. Its layer norms count the masked units, as NNI's do. Masks are made once, not in every "
        "pass, and layers beyond the depth are skipped, which favours it. It was not run in the second table.",
        "",
    ]
