"""Page of the comparison with RecBole, generated from its record."""

import statistics
from typing import Any

from benchmarks.record import heading

__all__ = ["page"]

_WHAT = {
    "train": "training, one epoch",
    "full": "evaluation, all items (ours: also unseen items)",
    "uni100": "evaluation, 100 uniform negatives (ours: by popularity)",
    "pop100": "evaluation, 100 negatives by popularity",
}


def page(record: dict[str, Any]) -> str:
    """Return Markdown with a table of all figures, and the conditions that were equal and different."""
    versions = ", ".join(f"{name} {version}" for name, version in record["recbole"]["versions"].items())
    data, environment = record["data"], record["environment"]
    return "\n".join(
        [
            *heading("Speed compared with RecBole", environment),
            f"Ours: torch {environment['torch']}, numpy {environment['numpy']}, python {environment['python']}. "
            f"RecBole unmodified, in a separate environment: {versions}.",
            "",
            f"{data['file']}: {data['users']:,} users, {data['items']:,} items, {data['interactions']:,} interactions. "
            f"Both run alternately, {record['rounds']} rounds, with {environment['threads']} threads and denormals "
            "flushed. Seconds are medians over the rounds; the ratio is that of the medians, with a 95 % bootstrap "
            "interval over rounds; a target is met if the interval reaches it. *extrapolated*: a sample was timed and "
            "scaled to the complete work.",
            "",
            "| measurement | attention | RecBole, s | ours, s | RecBole / ours | target |",
            "|---|---|---:|---:|---:|---|",
            *[_row(figure) for figure in record["figures"]],
            "",
            *_samples(record),
            *_whole(record),
            *_accuracy(record),
            *_conditions(record),
        ]
    )


def _row(figure: dict[str, Any]) -> str:
    theirs, ours = (statistics.median(figure[side]) for side in ("recbole_seconds", "own_seconds"))
    marks = ["*extrapolated* " if figure[side] else "" for side in ("recbole_extrapolated", "own_extrapolated")]
    value, low, high = figure["ratio"]
    if "target_ratio" in figure:
        target, met = f"ratio {figure['target_ratio']:,}", high >= figure["target_ratio"]
    else:
        target, met = f"ours below {figure['target_seconds']:g} s", figure["own"][1] < figure["target_seconds"]
    return (
        f"| {_WHAT[figure['what']]} | {figure['attention']} | {marks[0]}{_short(theirs)} | {marks[1]}{_short(ours)} | "
        f"{_short(value)} ({_short(low)} to {_short(high)}) | {target}: {'met' if met else 'missed'} |"
    )


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}"


def _samples(record: dict[str, Any]) -> list[str]:
    sample, recbole, ours = record["sample"], record["recbole"], record["ours"]
    return [
        "Timed in each round:",
        "",
        f"- RecBole's training: {sample['recbole_batches']} of {recbole['batches']:,} batches, {recbole['targets']:,} "
        f"targets in total, {recbole['settings']['train_batch_size']:,} prefixes per batch",
        f"- our training: {sample['own_batches']} of {ours['batches']:,} batches, the same number of targets in total "
        f"({ours['targets']:,}), scaled by the number of targets",
        f"- RecBole's evaluation: {sample['users']:,} of {recbole['users']:,} users in full ranking, "
        f"{sample['sampled_users']:,} with negatives, including sampling, without the set-up of samplers",
        "- our evaluation: all users, including all preparation",
        "",
    ]


def _whole(record: dict[str, Any]) -> list[str]:
    if not record["whole"]:
        return []
    seconds = ", ".join(f"{each['seconds']:.1f} s with {attention}" for attention, each in record["whole"].items())
    return [f"One complete epoch of ours, including set-up: {seconds}.", ""]


def _accuracy(record: dict[str, Any]) -> list[str]:
    accuracy = record["accuracy"]
    if accuracy is None:
        return []
    lines = [
        f"Time to accuracy of ours, softmax, {accuracy['minutes']:g} minutes of training from scratch, including a "
        "validation after every epoch:",
        "",
        "| validation full/ndcg@10 | seconds | epochs |",
        "|---:|---:|---:|",
    ]
    for level in accuracy["levels"]:
        first = next((each for each in accuracy["risen"] if each["metric"] >= level), None)
        reached = "not reached | |" if first is None else f"{first['seconds']:,.0f} | {first['epochs']} |"
        lines.append(f"| {level:g} | {reached}")
    epoch = next(f for f in record["figures"] if (f["what"], f["attention"]) == ("train", "softmax"))
    theirs = statistics.median(epoch["recbole_seconds"])
    return [
        *lines,
        "",
        f"RecBole was not trained to these levels. One epoch of it, without validation, takes {theirs:,.0f} s "
        "(extrapolated), a lower bound for any level. The accuracy after one epoch is not known.",
        "",
    ]


def _conditions(record: dict[str, Any]) -> list[str]:
    theirs, ours = record["recbole"]["settings"], record["ours"]["settings"]
    return [
        f"Equal: {theirs['n_layers']} layers, hidden {theirs['hidden_size']}, inner {theirs['inner_size']}, "
        f"{theirs['n_heads']} heads, the last {theirs['MAX_ITEM_LIST_LENGTH']} items, cross entropy over all items, "
        "float32, Adam, leave-one-out, the same targets.",
        "",
        "Different:",
        "",
        "- RecBole uses every prefix as a sample, padded to full length; ours predicts every next item of a sequence "
        f"in one pass, {ours['train']['batch']} {ours['train']['unit']} per batch.",
        f"- RecBole's dropout is {theirs['hidden_dropout_prob']:g}, and {theirs['attn_dropout_prob']:g} on softmax "
        f"attention weights; ours {ours['model']['dropout']:g}, without dropout of attention weights.",
        "- LinRec in RecBole's SASRec is our code for Eq. 5 of arXiv:2402.00390, bidirectional over the prefix; ours "
        "is causal.",
        "- With negatives, RecBole encodes a user's sequence once per candidate; ours encodes it once. RecBole "
        "samples with replacement, ours without.",
        f"- RecBole's process used up to {record['recbole']['peak_memory_bytes'] / 2**30:.1f} GiB; preparing its data "
        f"took {record['recbole']['prepare_seconds']:.0f} s, which no figure above includes.",
        "",
    ]
