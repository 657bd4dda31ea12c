"""Interactions with a partition: what trains, what is evaluated, and what the file keeps."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from easrec.data import Interactions, Split, prepare, training_batches
from easrec.data.partition import Partition, by_time, leave_one_out
from elasticnas.errors import DataError

TIMES = {"a": [1, 2, 3, 11, 12, 21], "b": [4, 5, 22], "c": [13, 23, 24], "d": [6, 7, 14], "e": [25, 26, 27]}


def interactions(item_at=lambda t: "i1" if t == 23 else f"i{t}"):
    """Five users; item t is bought at time t, but user c also buys item 1 at 23."""
    rows = [(user, item_at(t), t) for user, times in TIMES.items() for t in times]
    data = prepare(pl.DataFrame(rows, schema={"user": pl.String, "item": pl.String, "time": pl.Int64}, orient="row"))
    times = np.array([t for user in data.user_ids for t in TIMES[user]])
    return replace(data, partition=by_time(times, data.offsets, 10, 20))


def test_by_hand():
    data = interactions()
    split, named = Split(data), np.array(data.item_ids)

    def names(sequence):
        return named[sequence].tolist()

    assert data.user_ids == ["a", "b", "d", "c", "e"]  # by first appearance
    assert split.kind == "time" and split.cold_users == {"validation": 1, "test": 1}
    assert [names(split.training[u]) for u in range(5)] == [["i1", "i2", "i3"], ["i4", "i5"], ["i6", "i7"], [], []]
    assert split.users("validation").tolist() == [0, 2] and names(split.targets("validation")) == ["i11", "i14"]
    assert [names(split.history("validation")[n]) for n in range(2)] == [["i1", "i2", "i3"], ["i6", "i7"]]
    assert split.users("test").tolist() == [0, 1, 3] and names(split.targets("test")) == ["i21", "i22", "i1"]
    assert [names(split.history("test")[n]) for n in range(3)] == [
        ["i1", "i2", "i3", "i11", "i12"],
        ["i4", "i5"],
        ["i13"],
    ]
    assert split.cold_targets() == {"validation": 2, "test": 2}
    assert [len(split.complete()[u]) for u in range(5)] == [6, 3, 3, 3, 3]
    assert split.training.counts(split.items).sum() == 7


def trained(data):
    """Item ids of each user's training part, the popularity of each, and the batches of an epoch."""
    split = Split(data)
    batches = training_batches(split.training, 5, 2, "users", "causal", 0, 0)
    return (
        {user: [data.item_ids[i] for i in split.training[n]] for n, user in enumerate(data.user_ids)},
        {data.item_ids[i]: n for i, n in enumerate(split.training.counts(split.items)) if n},
        [(batch.inputs.tolist(), batch.targets.tolist()) for batch in batches],
    )


@pytest.mark.parametrize("seed", range(5))
def test_what_happens_after_the_first_point_does_not_reach_training(seed):
    later = [t for times in TIMES.values() for t in times if t >= 10]
    shuffled = dict(zip(later, np.random.default_rng(seed).permutation(later).tolist(), strict=True))
    changed = interactions(lambda t: f"i{shuffled.get(t, t)}")
    assert trained(changed) == trained(interactions(lambda t: f"i{t}"))


@pytest.mark.parametrize("form", ["causal", "prefixes"])
def test_training_batches_hold_training_items_only_and_survive_users_without_any(form):
    data = interactions()
    split = Split(data)
    batches = list(training_batches(split.training, 5, 2, "users", form, 0, 0))
    known = {item for u in range(5) for item in split.training[u].tolist()}
    assert {int(i) for batch in batches for i in batch.inputs.unique() if i} <= known
    assert sum(int((batch.targets > 0).sum()) for batch in batches) == 2 + 1 + 1


def test_without_a_partition_it_is_leave_one_out():
    data = replace(interactions(), partition=None)
    split = Split(data)
    assert split.kind == "last" and split.users("test").tolist() == [0, 1, 2, 3, 4]
    assert [data.item_ids[i] for i in split.targets("validation")] == ["i12", "i5", "i7", "i1", "i26"]


def test_save_and_load(tmp_path):
    data, path = interactions(), tmp_path / "data.npz"
    data.save(path)
    again = Interactions.load(path)
    assert again.fingerprint == data.fingerprint and again.partition.kind == "time"
    assert again.partition.cold_users == (1, 1)
    for name in ("training", "validation", "test"):
        assert (getattr(again.partition, name) == getattr(data.partition, name)).all()


def test_the_fingerprint_depends_on_the_split_but_not_on_how_leave_one_out_is_said():
    data = interactions()
    plain = replace(data, partition=None)
    assert data.fingerprint != plain.fingerprint
    assert replace(data, partition=leave_one_out(data.offsets)).fingerprint == plain.fingerprint
    assert replace(data, partition=replace(data.partition, kind="given")).fingerprint != data.fingerprint
    other = replace(data.partition, test=np.where(data.partition.test == 8, -1, data.partition.test))
    assert (other.test != data.partition.test).any()
    assert replace(data, partition=other).fingerprint != data.fingerprint


def test_a_version_that_only_knows_leave_one_out_refuses_the_file(tmp_path):
    import json

    data = interactions()
    formats = {}
    untimed = replace(data, times=None)
    for name, each in (("time", untimed), ("last", replace(untimed, partition=None)), ("with times", data)):
        each.save(tmp_path / "data.npz")
        with np.load(tmp_path / "data.npz") as content:
            formats[name] = json.loads(content["description"].tobytes())["format"]
    assert formats == {"time": 2, "last": 1, "with times": 3}


def test_short_users_are_kept_unless_the_split_is_leave_one_out(tmp_path):
    offsets, items = np.array([0, 2, 4, 5]), np.array([1, 2, 2, 1, 2], dtype=np.int32)
    partition = Partition("given", np.array([1, 3, 4]), np.array([1, -1, -1]), np.array([-1, 3, -1]))
    statistics = replace(interactions().statistics, users=3, items=2, interactions=5)
    data = Interactions(items, offsets, ["u", "v", "w"], ["", "x", "y"], statistics, partition=partition)
    data.save(tmp_path / "data.npz")
    assert len(Split(Interactions.load(tmp_path / "data.npz")).users("test")) == 1
    replace(data, partition=None).save(tmp_path / "data.npz")
    with pytest.raises(DataError, match="offsets, items and users do not match"):
        Interactions.load(tmp_path / "data.npz")


def test_positions_outside_the_users_are_refused(tmp_path):
    data = interactions()
    wrong = replace(data.partition, test=data.partition.test + 1)
    replace(data, partition=wrong).save(tmp_path / "data.npz")
    with pytest.raises(DataError, match=r"data\.npz: .*test targets lie outside their users"):
        Interactions.load(tmp_path / "data.npz")
