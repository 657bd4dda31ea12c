"""Times of interactions: kept in seconds, in the order of the items, saved, and given to batches and evaluations."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from easrec.data import Interactions, Sequences, Split, prepare, training_batches
from easrec.evaluation import Evaluator
from elasticnas.errors import DataError

SECOND = 10**9
ROWS = [("u", "a", 5), ("u", "b", 3), ("v", "a", 9), ("u", "c", 8), ("v", "b", 10), ("v", "c", 12), ("v", "d", 30)]


def data_of(rows=ROWS, unit=SECOND):
    columns = [[row[i] for row in rows] for i in range(3)]
    frame = pl.DataFrame({"user": columns[0], "item": columns[1], "time": [t * unit for t in columns[2]]})
    return prepare(frame)


def by_user(data):
    return {
        user: [(data.item_ids[i], int(t)) for i, t in zip(data.items[a:b], data.times[a:b], strict=True)]
        for user, a, b in zip(data.user_ids, data.offsets, data.offsets[1:], strict=False)
    }


def test_every_item_keeps_its_time_in_seconds():
    expected = {"u": [("b", 3), ("a", 5), ("c", 8)], "v": [("a", 9), ("b", 10), ("c", 12), ("d", 30)]}
    assert by_user(data_of()) == by_user(data_of(unit=1.0)) == expected
    early = data_of([("u", "a", -7), ("u", "b", -3), ("u", "c", 0), ("u", "a", 0)])
    assert early.times.tolist() == [-7, -3, 0, 0] and early.times.dtype == np.int64


def test_a_part_of_a_second_is_cut_off():
    assert data_of([("u", x, t) for x, t in (("a", 1.999), ("b", 2.0), ("c", -0.5))], 1.0).times.tolist() == [-1, 1, 2]


def test_without_times_nothing_is_kept():
    frame = pl.DataFrame(
        {"user": ["u"] * 3, "item": ["a", "b", "c"], "time": [None] * 3}, schema_overrides={"time": int}
    )
    assert prepare(frame).times is None


def test_times_are_saved_in_a_format_of_their_own(tmp_path):
    data = data_of()
    for each, form in ((data, 3), (replace(data, times=None), 1)):
        each.save(tmp_path / "data.npz")
        with np.load(tmp_path / "data.npz") as content:
            assert json.loads(content["description"].tobytes())["format"] == form
            assert ("times" in content) == (form == 3)
        again = Interactions.load(tmp_path / "data.npz")
        assert (again.times is None) == (form == 1) and again.fingerprint == data.fingerprint
    assert by_user(data) == by_user(replace(again, times=data.times))


def test_times_that_do_not_match_are_damage(tmp_path):
    for wrong in (np.arange(3), np.arange(7, dtype=np.float64)):
        replace(data_of(), times=wrong).save(tmp_path / "data.npz")
        with pytest.raises(DataError, match=r"times are not one integer for each item.*prepare the data again"):
            Interactions.load(tmp_path / "data.npz")


def test_times_beyond_nanoseconds_are_damage(tmp_path):
    for wrong in (2**62, -(2**63)):
        replace(data_of(), times=np.full(7, wrong)).save(tmp_path / "data.npz")
        with pytest.raises(DataError, match=r"times are not between -9223372036 and 9223372036 seconds"):
            Interactions.load(tmp_path / "data.npz")


def test_the_fingerprint_knows_times_only_if_they_are_used():
    data = data_of()
    later = replace(data, times=data.times + 1)
    assert data.fingerprint == later.fingerprint == replace(data, times=None).fingerprint == data.fingerprint_of(False)
    assert len({data.fingerprint, data.fingerprint_of(True), later.fingerprint_of(True)}) == 3


def timed_sequences():
    """Two sequences whose time is a hundred times the item."""
    items = np.arange(1, 10, dtype=np.int32)
    return Sequences(items, np.array([0, 4]), np.array([4, 9]), items.astype(np.int64) * 100)


@pytest.mark.parametrize("form", ["causal", "prefixes"])
def test_batches_have_the_times_of_inputs_and_of_what_follows(form):
    seen = 0
    for batch in training_batches(timed_sequences(), 3, 2, "users", form, 0, 0):
        times, until = batch.to(torch.device("cpu")).when
        assert torch.equal(times, batch.inputs * 100)
        real = batch.inputs > 0
        assert torch.equal(until, torch.where(real, (batch.inputs + 1) * 100, 0))
        last = until.gather(1, real.sum(1, keepdim=True) - 1).squeeze(1)
        if form == "prefixes":
            assert torch.equal(last, batch.targets * 100)
        else:
            assert torch.equal(until, batch.targets * 100)
        assert torch.equal(batch.rows(slice(1)).when[0], times[:1])
        seen += len(last)
    assert seen


def test_without_times_batches_have_none():
    plain = timed_sequences()
    plain = Sequences(plain.items, plain.starts, plain.stops)
    assert all(batch.when == () for batch in training_batches(plain, 3, 2, "users", "causal", 0, 0))


def test_the_evaluation_gives_the_time_of_each_target():
    data = data_of()
    told = {}

    def score(inputs, lengths, times, until):
        for row, n in zip(range(len(inputs)), lengths.tolist(), strict=True):
            told[tuple(inputs[row, :n].tolist())] = times[row, :n].tolist(), until[row, :n].tolist()
        return torch.zeros(len(inputs), 5)

    split = Split(data, timed=True)
    number = {item: n for n, item in enumerate(data.item_ids)}
    Evaluator(split.history("test"), split.targets("test"), None, 2, items=4).evaluate(score, protocols=["full"])
    assert told == {
        (number["b"], number["a"]): ([3, 5], [5, 8]),
        (number["b"], number["c"]): ([10, 12], [12, 30]),
    }
    untimed = Split(data)
    assert untimed.training.times is untimed.history("test").times is untimed.complete().times is None
