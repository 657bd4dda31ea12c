"""Facts about the data of a run, as names and lines: the terminal, both pages and ``evaluate`` show the same."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from easrec.times import times_fact
from elasticnas.errors import printable

if TYPE_CHECKING:
    from easrec.data import Statistics
    from easrec.data.partition import Kind
    from easrec.result import RunResult, SplitSummary, Stage

__all__ = ["data_facts", "repeats", "run_facts", "split_facts"]

_TIES = {"random": "a seeded random order", "item": "item id", "file": "the order of the rows"}
_SPLITS: "dict[Kind, str]" = {
    "last": "leave-one-out",
    "time": "two points in time",
    "sessions": "sessions by two points in time",
    "given": "given parts",
}


def run_facts(result: "RunResult[Any]") -> dict[str, str]:
    """Return everything that the result of a run has about its data and its steering."""
    data, features = result.data, result.data.features
    facts = data_facts(data.statistics, data.split, result.evaluated_users)
    if features is not None:
        without = features.items_missing + features.items_without
        facts["features"] = f"{features.features:,} of {', '.join(features.columns)}; {without:,} items have none"
    facts |= (
        times_fact(result.config)
        | repeats(result.repeat_targets)
        | ({"steering": result.steering} if result.steering else {})
    )
    return facts | {"fingerprint": data.fingerprint[:12]}


def data_facts(s: "Statistics", split: "SplitSummary | None", evaluated: "Mapping[Stage, int]") -> dict[str, str]:
    """Return what was read and counted, in which order, what the test targets are, and what was dropped.

    Args:
        s: Counts of the preparation.
        split: What the split leaves out; None to leave it out here.
        evaluated: Number of evaluated users by stage; empty in results that did not record it.
    """
    facts = {"read": printable(s.source)} if s.source else {}
    facts["data"] = (
        f"{s.users:,} users, {s.items:,} items, {s.interactions:,} interactions "
        f"({s.actions_per_user:.2f} per user, {s.actions_per_item:.2f} per item), "
        + (f"ordered by time, ties by {_TIES[s.tie_break]}" if s.timestamps else "in row order, without times")
    )
    facts |= split_facts(split, evaluated)
    facts[f"test targets ({s.split})"] = _targets(s, evaluated.get("test", s.users))
    if text := _read_and_kept(s):
        facts["interactions"] = text
    return facts


def split_facts(split: "SplitSummary | None", evaluated: "Mapping[Stage, int]") -> dict[str, str]:
    """Return what a split evaluates and leaves out as a line of a page; empty for results that did not record it."""
    if split is None:
        return {}
    stages = (
        f"{stage}: {users:,} users evaluated, {split.cold_users[stage]:,} cold users left out, "
        f"{split.cold_targets[stage]:,} cold targets"
        for stage, users in evaluated.items()
    )
    return {"split": f"{_SPLITS[split.kind]}, {split.training_users:,} users with training items; {'; '.join(stages)}"}


def repeats(shares: "Mapping[Stage, float]") -> dict[str, str]:
    """Return the share of repeat targets as a line of a page; empty for results that did not record it."""
    if not shares:
        return {}
    shown = ", ".join(f"{share:.1%} of {stage}" for stage, share in shares.items())
    meaning = (
        "unseen counts them as misses, as recommend leaves seen items out; full ranks them, as recommend --repeats"
    )
    return {"repeat targets": f"{shown}; {meaning}"}


def _targets(s: "Statistics", users: int) -> str:
    ties = f"{_share(s.last_ties, users)} at the same time as a neighbour, " if s.timestamps else ""
    early = f", {_share(s.early_targets, users)} are earlier than a training item" if s.early_targets else ""
    return (
        f"{ties}{_share(s.repeat_targets, users)} repeat an earlier item, {_share(s.cold_targets, users)} never occur "
        f"in training{early}; {_share(s.untrained_users, s.users)} of users have no training target"
    )


def _share(count: int | None, users: int) -> str:
    return "an uncounted share" if count is None else f"{count / max(1, users):.1%}"


def _read_and_kept(s: "Statistics") -> str:
    """Return how many interactions were read and why some were dropped; files that did not count all have a part."""
    few = f"{s.short_users_dropped:,} users with too few"
    reasons = {
        "by --where": s.left_out,
        "without a user or an item": s.empty_dropped,
        "that repeat another row": s.duplicates_dropped,
        "by the k-core filter": s.core_dropped,
        f"of {few}": s.short_dropped or 0,
    }
    why = [f"{count:,} {reason}" for reason, count in reasons.items() if count]
    if s.rows is None:
        why += [few] if s.short_users_dropped else []
        return f"{s.interactions:,} kept, dropped: {', '.join(why)}" if why else ""
    dropped = f", {s.rows - s.interactions:,} dropped: {', '.join(why)}" if why else ""
    return f"{s.rows:,} read, {s.interactions:,} kept{dropped}"
