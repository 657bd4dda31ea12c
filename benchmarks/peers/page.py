"""The page about RecBole, made from the record alone."""

import statistics
from typing import Any

from benchmarks.record import heading

__all__ = ["page"]

_WHAT = {
    "train": "training, one epoch",
    "full": "evaluation, all items (ours: unseen ones, too)",
    "uni100": "evaluation, 100 uniform negatives (ours: by popularity)",
    "pop100": "evaluation, 100 negatives by popularity",
}


def page(record: dict[str, Any]) -> str:
    """Markdown with a table of all figures, and what was alike and what was not."""
    versions = ", ".join(f"{name} {version}" for name, version in record["recbole"]["versions"].items())
    data, environment = record["data"], record["environment"]
    return "\n".join(
        [
            *heading("Beside RecBole", environment),
            f"Ours: torch {environment['torch']}, numpy {environment['numpy']}, python {environment['python']}. "
            f"RecBole in an environment of its own, its files untouched: {versions}.",
            "",
            f"{data['file']}: {data['users']:,} users, {data['items']:,} items, {data['interactions']:,} interactions. "
            f"Both sides run in turns, {record['rounds']} rounds, with {environment['threads']} threads and denormals "
            "flushed. Seconds are medians over the rounds, the ratio is of them, with a 95 % bootstrap interval over "
            "rounds; a target is met where the interval reaches it. *extrapolated*: a sample was timed and scaled to "
            "the whole.",
            "",
            "| what | attention | RecBole, s | ours, s | RecBole / ours | target |",
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
        "What a round timed:",
        "",
        f"- RecBole's training: {sample['recbole_batches']} of {recbole['batches']:,} batches, {recbole['targets']:,} "
        f"targets in all, {recbole['settings']['train_batch_size']:,} prefixes in a batch",
        f"- our training: {sample['own_batches']} of {ours['batches']:,} batches, the same number of targets in all "
        f"({ours['targets']:,}), scaled by the targets in them",
        f"- RecBole's evaluation: {sample['users']:,} of {recbole['users']:,} users in full ranking, "
        f"{sample['sampled_users']:,} with negatives, drawing them included, making the samplers not",
        "- our evaluation: all users, with everything it takes",
        "",
    ]


def _whole(record: dict[str, Any]) -> list[str]:
    if not record["whole"]:
        return []
    seconds = ", ".join(f"{each['seconds']:.1f} s with {attention}" for attention, each in record["whole"].items())
    return [f"One whole epoch of ours, set-up included: {seconds}.", ""]


def _accuracy(record: dict[str, Any]) -> list[str]:
    accuracy = record["accuracy"]
    if accuracy is None:
        return []
    lines = [
        f"Time to accuracy of ours, softmax, {accuracy['minutes']:g} minutes of training from scratch with a "
        "validation after every epoch, all of it counted:",
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
        f"RecBole was not trained to any of these. A single epoch of it, validation left out, takes {theirs:,.0f} s, "
        "extrapolated: the least that any accuracy can cost there. What one epoch reaches is not known.",
        "",
    ]


def _conditions(record: dict[str, Any]) -> list[str]:
    theirs, ours = record["recbole"]["settings"], record["ours"]["settings"]
    return [
        f"Alike: {theirs['n_layers']} layers, hidden {theirs['hidden_size']}, inner {theirs['inner_size']}, "
        f"{theirs['n_heads']} heads, the last {theirs['MAX_ITEM_LIST_LENGTH']} items, cross entropy over all items, "
        "float32, Adam, leave-one-out, the same targets.",
        "",
        "Not alike, as each side does it:",
        "",
        "- RecBole makes a sample of every prefix, padded to full length; ours predicts every next item of a sequence "
        f"in one pass, {ours['train']['batch']} {ours['train']['unit']} in a batch.",
        f"- RecBole's dropout is {theirs['hidden_dropout_prob']:g}, and {theirs['attn_dropout_prob']:g} on softmax "
        f"attention's weights; ours {ours['model']['dropout']:g}, and none there.",
        "- LinRec in RecBole's SASRec is our module for Eq. 5 of arXiv:2402.00390, bidirectional over the prefix; ours "
        "is causal.",
        "- With negatives, RecBole encodes a user's sequence once for every candidate; ours encodes it once. RecBole "
        "draws with replacement, ours distinct items.",
        f"- RecBole's process held up to {record['recbole']['peak_memory_bytes'] / 2**30:.1f} GiB; preparing the data "
        f"took it {record['recbole']['prepare_seconds']:.0f} s, in no figure above.",
        "",
    ]
