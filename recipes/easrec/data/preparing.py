"""Preparation of interactions: duplicates, time order, k-core filter, numbers of users and items, split, statistics."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from easrec.data.dataset import Interactions, Statistics
from easrec.data.partition import Partition, cold_targets, tied
from easrec.data.repeats import repeat_targets
from easrec.data.split import Sequences
from easrec.data.splitting import SplitRule, of_parts
from elasticnas.errors import DataError

__all__ = ["TieBreak", "prepare"]

TieBreak: TypeAlias = Literal["random", "item", "file"]
"""Order of a user's interactions at the same time."""

_SHORTEST = 3  # leave-one-out: one item each for training, validation and test


def prepare(
    frame: pl.DataFrame,
    min_user: int = 0,
    min_item: int = 0,
    source: str = "the data",
    tie_break: TieBreak = "random",
    split: str = "last",
) -> Interactions:
    """Convert interactions to sequences.

    Rows without a user or an item are dropped and counted. Rows that repeat user, item and time exactly are dropped;
    repeat visits at other times are kept, and without timestamps no row is dropped. The items of each user are sorted
    by time, and ties by ``tie_break``. The k-core filter repeatedly drops users and items with too few interactions.
    Then, for leave-one-out, users with fewer than 3 are dropped, because training, validation and test need one item
    each. Users and items are numbered in order of first appearance in time. With timestamps, and unless
    ``tie_break="file"``, the order of the rows does not matter.

    Args:
        frame: ``user``, ``item``, ``time`` (integers of nanoseconds, or floats of seconds), see
            :func:`easrec.data.read_interactions`; with a column ``part`` of 0, 1 and 2, the interactions of training,
            validation and test are given.
        min_user: Minimum interactions of a user.
        min_item: Minimum interactions of an item.
        source: Name of the data in errors.
        tie_break: Order of a user's interactions at the same time: ``"random"`` (seeded, the same for the same
            interactions), ``"item"`` (by item id) or ``"file"`` (by row).
        split: ``"last"`` for leave-one-out, or points in time such as ``"time:80%,90%"``, see
            :class:`easrec.data.SplitRule`.

    Raises:
        ConfigError: ``split`` is no split.
        DataError: No user is left, or only one item, or a part of the split is empty.
    """
    rule, given = SplitRule.parse(split), "part" in frame.columns
    shortest = 1 if given or rule.kind != "last" else _SHORTEST
    counts: dict[str, Any] = {"min_user": min_user, "min_item": min_item, "tie_break": tie_break, "rows": len(frame)}
    user_names, item_names, events = _numbered(frame)
    del frame
    counts["empty_dropped"] = events.keep((events.user >= 0) & (events.item >= 0))
    counts["duplicates_dropped"] = events.sort(tie_break, source)
    counts["core_dropped"] = events.require_core(min_user, min_item)
    users_before = len(np.unique(events.user))
    counts["short_dropped"] = events.keep(np.bincount(events.user, minlength=1)[events.user] >= shortest)
    users, items = _in_order(events.user), _in_order(events.item)
    counts["short_users_dropped"] = users_before - len(users)
    _require_enough(source, users, items, item_names, counts, shortest)
    offsets = events.group_by_user(users, items)
    if given:
        partition, described = of_parts(events.part, offsets, source)  # type: ignore[arg-type]
    else:
        partition, described = rule.apply(offsets, events.time, source)
    statistics = Statistics(
        users=len(users),
        items=len(items),
        interactions=len(events.item),
        timestamps=events.time is not None,
        split=described,
        **counts,
        **_target_counts(events, offsets, partition),
    )
    user_ids, item_ids = user_names.gather(users).to_list(), ["", *item_names.gather(items).to_list()]
    usual = partition.kind == "last"  # as in files of other versions
    split_of = None if usual else partition
    return Interactions(events.item, offsets, user_ids, item_ids, statistics, partition=split_of, times=events.seconds)


@dataclass
class _Events:
    """Columns of interactions; users and items as ranks of their ids in text order, -1 for none."""

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    time: NDArray[np.int64] | None
    part: NDArray[np.int8] | None

    def keep(self, chosen: NDArray[Any]) -> int:
        """Keep the interactions that a mask or positions choose, and return how many were dropped."""
        before = len(self.user)
        if chosen.dtype != np.bool_ or not chosen.all():
            self.user, self.item = self.user[chosen], self.item[chosen]
            self.time = None if self.time is None else self.time[chosen]
            self.part = None if self.part is None else self.part[chosen]
        return before - len(self.user)

    def sort(self, tie_break: TieBreak, source: str) -> int:
        """Sort by part and time, and ties as asked; drop exact repetitions, and return how many there were."""
        if self.time is None:
            if self.part is not None:
                self._refuse_pairs_in_two_parts(source)
                self.keep(np.argsort(self.part, kind="stable"))
            return 0
        order = np.lexsort((self.item, self.user, *self._when))
        same = _repeats(order, (self.user, self.item, self.time))
        if self.part is not None:
            self._refuse_leaks(source)
        if tie_break == "file":
            kept = np.ones(len(order), dtype=bool)
            kept[order[same]] = False
            dropped = self.keep(kept)
            self.keep(np.lexsort(self._when))
            return dropped
        self.keep(order[~same])
        if tie_break == "random":
            self._shuffle_ties()
        return int(same.sum())

    @property
    def seconds(self) -> NDArray[np.int64] | None:
        """Whole seconds; integers count nanoseconds, and other numbers seconds."""
        if self.time is None:
            return None
        whole = self.time // 10**9 if np.issubdtype(self.time.dtype, np.integer) else np.floor(self.time)
        return whole.astype(np.int64)

    @property
    def _when(self) -> tuple[NDArray[Any], ...]:
        """Keys of the order of interactions: time, within their part."""
        assert self.time is not None
        return (self.time,) if self.part is None else (self.time, self.part)

    def _refuse_leaks(self, source: str) -> None:
        """Check that no interaction occurs in two parts."""
        assert self.part is not None and self.time is not None
        order = np.lexsort((self.part, self.item, self.user, self.time))
        same = _repeats(order, (self.user, self.item, self.time))
        part = self.part[order]
        if leaked := int((same[1:] & (part[1:] != part[:-1])).sum()):
            raise DataError(
                f"{source}: {leaked:,} interactions occur in two of the parts for training, validation and test; "
                "keep each in one of them"
            )

    def _refuse_pairs_in_two_parts(self, source: str) -> None:
        """Check that most items of later parts are new to their user, and all of them if none recurs within training.

        Without times, repeats and leaks look alike.
        """
        assert self.part is not None
        order = np.lexsort((self.part, self.item, self.user))
        same = _repeats(order, (self.user, self.item))
        within = _repeats(order, (self.user, self.item, self.part))
        part = self.part[order]
        share = float(within[part == 0].mean()) if (part == 0).any() else 0.0
        repeated, later = int((same & ~within).sum()), int((part > 0).sum())
        if repeated > later / 2 or (repeated and not share):
            raise DataError(
                f"{source}: {repeated:,} pairs of user and item occur in two of the parts for training, validation and "
                f"test, while {share:.1%} of the training part repeats a pair; keep each in one of them, or, if users "
                "return to items, give their times"
            )

    def _shuffle_ties(self) -> None:
        """Order each user's interactions at the same time at random.

        The order so far is that of a set, without repetitions: keys drawn in it do not depend on the file.
        """
        assert self.time is not None
        keys = np.random.default_rng(0).random(len(self.user))
        again = _repeats(np.arange(len(keys)), (self.user, *self._when))
        tied = again.copy()
        tied[:-1] |= again[1:]
        where = np.flatnonzero(tied)
        groups = np.cumsum(~again)[where]
        order = np.arange(len(keys))
        order[where] = where[np.lexsort((keys[where], groups))]
        self.keep(order)

    def require_core(self, min_user: int, min_item: int) -> int:
        """Drop users and items with too few interactions until none is left, and return how many were dropped."""
        dropped = 0
        while len(self.user):
            enough = np.bincount(self.item)[self.item] >= min_item
            enough &= np.bincount(self.user)[self.user] >= min_user
            before = self.keep(enough)
            dropped += before
            if not before:
                break
        return dropped

    def group_by_user(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number users from 0 and items from 1, sort by user, and return where each user begins."""
        numbers = np.zeros(int(users.max()) + 1, dtype=np.int32)
        numbers[users] = np.arange(len(users), dtype=np.int32)
        self.user = numbers[self.user]
        numbers = np.zeros(int(items.max()) + 1, dtype=np.int32)
        numbers[items] = np.arange(1, len(items) + 1, dtype=np.int32)
        self.item = numbers[self.item]
        self.keep(np.argsort(self.user, kind="stable"))
        return np.concatenate([[0], np.cumsum(np.bincount(self.user))]).astype(np.int64)


def _repeats(order: NDArray[np.int64], columns: tuple[NDArray[Any], ...]) -> NDArray[np.bool_]:
    """Return which rows, in an order, equal the one before in all columns."""
    same = np.zeros(len(order), dtype=bool)
    same[1:] = True
    for column in columns:
        ordered = column[order]
        same[1:] &= ordered[1:] == ordered[:-1]
    return same


def _numbered(frame: pl.DataFrame) -> tuple[pl.Series, pl.Series, _Events]:
    """Return the ids of users and items, sorted, and the interactions with their ranks."""
    users, user = _ranked(frame["user"])
    items, item = _ranked(frame["item"])
    timed = frame["time"].null_count() < len(frame)
    # rows that will be dropped have no time; with nulls, numpy would get floats, which are too coarse
    time = frame["time"].fill_null(0).to_numpy() if timed else None
    part = frame["part"].to_numpy() if "part" in frame.columns else None
    return users, items, _Events(user, item, time, part)


def _ranked(ids: pl.Series) -> tuple[pl.Series, NDArray[np.int32]]:
    if ids.dtype != pl.Categorical:
        ids = ids.cast(pl.Categorical(pl.Categories.random(ids.name)))
    distinct = ids.drop_nulls().unique()
    texts, codes = distinct.cast(pl.String), distinct.to_physical().to_numpy()
    order = texts.arg_sort().to_numpy()
    ranks = np.full(int(codes.max(initial=0)) + 2, -1, dtype=np.int32)
    ranks[codes[order]] = np.arange(len(order), dtype=np.int32)
    # the last entry is for null
    return texts.gather(order), ranks[ids.to_physical().fill_null(len(ranks) - 1).to_numpy()]


def _in_order(codes: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the distinct codes in order of first appearance."""
    first = np.full(int(codes.max(initial=0)) + 1, len(codes), dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)  # of several positions, the last one assigned counts
    there = np.flatnonzero(first < len(codes))
    ordered: NDArray[np.int64] = there[np.argsort(first[there])]
    return ordered


def _require_enough(
    source: str,
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    item_names: pl.Series,
    counts: dict[str, Any],
    shortest: int,
) -> None:
    if len(users) == 0:
        core = f"by the k-core filter (min_user={counts['min_user']}, min_item={counts['min_item']})"
        reasons = {
            core: counts["core_dropped"],
            f"of {counts['short_users_dropped']:,} users with fewer than {shortest}": counts["short_dropped"],
            "that repeat another row": counts["duplicates_dropped"],
            "without a user or an item": counts["empty_dropped"],
        }
        why = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items() if count)
        raise DataError(
            f"{source}: no user is left of {counts['rows']:,} interactions ({why}); give more data, or filter less"
        )
    if len(items) < 2:
        raise DataError(
            f"{source}: only one item ({item_names[int(items[0])]!r}) is left; a recommender needs at least two"
        )


def _early_targets(events: _Events, partition: Partition, evaluated: NDArray[np.int64]) -> int | None:
    """Count the test targets of given parts that are earlier than the user's last training item."""
    if events.time is None or partition.kind != "given":
        return None
    trained = evaluated[partition.training[evaluated] > 0]
    last = partition.training[trained] - 1
    own = events.user[last] == trained
    return int((events.time[partition.test[trained]] < events.time[last])[own].sum())


def _target_counts(events: _Events, offsets: NDArray[np.int64], partition: Partition) -> dict[str, Any]:
    """Count what makes test targets special."""
    evaluated = np.flatnonzero(partition.test >= 0)
    at, items = partition.test[evaluated], events.item
    histories = Sequences(items, offsets[evaluated], at)
    return {
        "repeat_targets": int(repeat_targets(histories, items[at]).sum()),
        "cold_targets": cold_targets(partition, items, offsets)[1],
        "untrained_users": int((partition.training - offsets[:-1] < 2).sum()),
        "last_ties": None if events.time is None else int(tied(events.time, offsets, evaluated, at).sum()),
        "early_targets": _early_targets(events, partition, evaluated),
    }
