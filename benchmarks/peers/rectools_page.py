"""Page of the comparison with RecTools, generated from its record."""

import statistics
from typing import Any

from benchmarks.interval import ratio
from benchmarks.peers.accuracy import first_at
from benchmarks.record import heading

__all__ = ["page"]

_WHAT = {
    "train": "training, targets a second",
    "train, auto": "the same, ours with `train.precision=auto`",
    "recommend": "recommending 10 unseen items to all users, s",
    "rank": "RecTools: the same; ours: rank of every user's target among unseen items, s",
}
_ACCURACY_RATIO = 6.0


def page(record: dict[str, Any]) -> str:
    """Return Markdown with a table of all figures, and the conditions that were equal and different."""
    versions = ", ".join(f"{name} {version}" for name, version in record["rectools"]["versions"].items())
    data, environment = record["data"], record["environment"]
    return "\n".join(
        [
            *heading("Speed compared with RecTools", environment),
            f"Ours: torch {environment['torch']}, numpy {environment['numpy']}, python {environment['python']}. "
            f"RecTools unmodified, in a separate environment: {versions}.",
            "",
            f"{data['file']}: {data['users']:,} users, {data['items']:,} items, {data['interactions']:,} interactions. "
            f"Both run alternately, {record['rounds']} rounds, with {environment['threads']} "
            f"thread{'s' * (environment['threads'] > 1)} and denormals flushed. Figures are medians over the rounds; "
            "the ratio, how many times as fast ours is, is that of the medians, with a 95 % bootstrap interval over "
            "rounds.",
            "",
            *_load(record.get("load")),
            "| measurement | RecTools | ours | times as fast | target |",
            "|---|---:|---:|---:|---|",
            *[_row(figure) for figure in record["figures"]],
            "",
            *_samples(record),
            *_accuracy(record["accuracy"]),
            *_conditions(record),
        ]
    )


def _load(load: dict[str, Any] | None) -> list[str]:
    """Say how busy the machine was, where it was recorded."""
    if load is None:
        return []
    return [f"Load average before the run: {load['before']:.1f}, on {load['cores']} cores.", ""]


def _row(figure: dict[str, Any]) -> str:
    theirs, ours = (statistics.median(figure[side]) for side in ("rectools", "own"))
    shown = format if not figure["what"].startswith("train") else lambda value, _: f"{value:,.0f}"
    return (
        f"| {_WHAT[figure['what']]} | {shown(theirs, '.1f')} | {shown(ours, '.1f')} | {_ratio(*figure['ratio'])} | "
        f"{_target(figure)} |"
    )


def _ratio(value: float, low: float, high: float) -> str:
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def _target(figure: dict[str, Any]) -> str:
    if "target_ratio" in figure:
        value, _, high = figure["ratio"]
        wanted = figure["target_ratio"]
        return f"{wanted:g} times: {_verdict(value >= wanted, high >= wanted)}"
    if "target_seconds" in figure:
        value, low, _ = figure["own_interval"]
        wanted = figure["target_seconds"]
        return f"ours below {wanted:g} s: {_verdict(value < wanted, low < wanted)}"
    return ""


def _verdict(figure_meets: bool, interval_reaches: bool) -> str:
    return "met" if figure_meets else "within the interval" if interval_reaches else "missed"


def _samples(record: dict[str, Any]) -> list[str]:
    sample, rectools, ours = record["sample"], record["rectools"], record["ours"]
    return [
        "Timed in each round:",
        "",
        f"- RecTools' training: {sample['rectools_batches']} of {rectools['batches']:,} batches of "
        f"{rectools['settings']['batch_size']} users, after one of warm-up; an epoch has {rectools['targets']:,} "
        "targets. Its preparation of the data is not timed",
        f"- our training: {sample['own_batches']} of {ours['batches']:,} batches of "
        f"{ours['settings']['train']['batch']} windows, after one of warm-up; an epoch has {ours['targets']:,} targets",
        f"- recommending: all {rectools['users']:,} users, {sample['top']} items each, after all but their last item; "
        "`recommend(filter_viewed=True)` of RecTools on a dataset, `Recommender.recommend` of ours on lists of ids",
        "",
    ]


def _accuracy(accuracy: dict[str, Any] | None) -> list[str]:
    if accuracy is None or not accuracy["runs"]:
        return []
    level = accuracy["level"]
    lines = [
        f"Training time from random weights to NDCG@10 = {level:g} among unseen items on the validation targets, "
        f"at most {accuracy['minutes']:g} minutes of training each, epochs of both sides alternating, without the time "
        "of evaluations:",
        "",
        "| seed | RecTools, s (epochs) | ours, s (epochs) | best of RecTools | best of ours |",
        "|---:|---:|---:|---:|---:|",
    ]
    reached: list[tuple[float, float]] = []
    for run in accuracy["runs"]:
        firsts = [first_at(run[side], level) for side in ("rectools", "own")]
        bests = [max(point["metric"] for point in run[side]) for side in ("rectools", "own")]
        shown = [f"{first['seconds']:,.0f} ({first['epochs']:g})" if first else "not reached" for first in firsts]
        lines.append(f"| {run['seed']} | {' | '.join(shown)} | {' | '.join(f'{best:.4f}' for best in bests)} |")
        if all(firsts):
            reached.append(tuple(first["seconds"] for first in firsts if first))  # type: ignore[arg-type]
    if len(reached) == len(accuracy["runs"]):
        value, low, high = ratio(*([pair[side] for pair in reached] for side in (0, 1)))
        met = _verdict(value >= _ACCURACY_RATIO, high >= _ACCURACY_RATIO)
        lines += ["", f"Ours is {_ratio(value, low, high)} times as fast to it; target {_ACCURACY_RATIO:g}: {met}."]
    return [*lines, ""]


def _precision(record: dict[str, Any]) -> list[str]:
    """Say what ``auto`` chose, where it was measured."""
    if "auto" not in record:
        return []
    products = "products in bfloat16 with sums in float32" if record["auto"] == "bfloat16" else "as float32"
    return [f"- `train.precision=auto` chose {record['auto']} on this machine: {products}."]


def _conditions(record: dict[str, Any]) -> list[str]:
    theirs, settings = record["rectools"], record["ours"]["settings"]
    model, train, given = settings["model"], settings["train"], theirs["settings"]
    memory = [side["peak_memory_bytes"] / 2**30 for side in (theirs, record["ours"])]
    return [
        f"Equal: {given['n_blocks']} layers, hidden and inner size {given['n_factors']}, {given['n_heads']} heads, the "
        f"last {given['session_max_len']} items, causal, every position a target, cross entropy over all items, "
        "float32 unless `auto` is named, Adam, leave-one-out: the last two items of every user are left out of "
        "training. Only real targets are counted, no padding.",
        "",
        "Different:",
        "",
        f"- RecTools trains on the last {given['session_max_len']} targets of every user, and knows the "
        f"{theirs['items']:,} items among them; ours on all windows, with all {record['data']['items']:,} items.",
        *_precision(record),
        "- RecTools pads every sequence to full length; ours groups windows of similar length, and computes losses "
        "of real positions only.",
        f"- RecTools' layers are those of SASRec's authors; ours normalizes the sum after each part. RecTools' dropout "
        f"is {given['dropout_rate']:g}, also of attention weights; ours {model['dropout']:g}, not of these.",
        f"- RecTools' rate is constant, {given['lr']:g}; ours {train['learning_rate']:g}, schedule "
        f"{train['schedule']}, gradients clipped to norm {train['clip_norm']:g}.",
        "- RecTools' `recommend` includes the preparation of its dataset, and returns a table; ours returns lists.",
        f"- Peak memory of the process: RecTools {memory[0]:.1f} GiB, ours {memory[1]:.1f} GiB.",
        "",
    ]
