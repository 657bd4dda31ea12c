"""Preparation, split and statistics."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easrec.data import Interactions, Split, hold_out_users, prepare, read_interactions
from elasticnas.errors import DataError


def frame(rows):
    times = [row[2] if len(row) > 2 else None for row in rows]
    return pl.DataFrame(
        {"user": [row[0] for row in rows], "item": [row[1] for row in rows], "time": times},
        schema={"user": pl.String, "item": pl.String, "time": pl.Float64},
    )


def sequences(data):
    """Original ids by user."""
    bounds = zip(data.offsets[:-1], data.offsets[1:], strict=True)
    return {
        user: [data.item_ids[i] for i in data.items[a:b]] for user, (a, b) in zip(data.user_ids, bounds, strict=True)
    }


def test_order_duplicates_and_repeat_visits():
    rows = [("u", "c", 3.0), ("u", "a", 1.0), ("v", "a", 9.0), ("u", "a", 1.0), ("u", "b", 3.0), ("v", "b", 9.0)]
    rows += [("v", "a", 8.0), ("u", "a", 5.0)]
    data = prepare(frame(rows), tie_break="file")
    # by time, ties by row; the exact repetition of (u, a, 1) is gone, the later visit stays
    assert sequences(data) == {"u": ["a", "c", "b", "a"], "v": ["a", "a", "b"]}
    assert data.statistics.duplicates_dropped == 1 and data.statistics.interactions == 7
    assert data.statistics.timestamps and data.item_ids[0] == ""


def test_without_times_rows_are_the_order_and_no_row_is_a_repetition():
    data = prepare(frame([("u", "b"), ("u", "a"), ("u", "a"), ("v", "a"), ("v", "b"), ("v", "b")]))
    assert sequences(data) == {"u": ["b", "a", "a"], "v": ["a", "b", "b"]}
    assert data.statistics.duplicates_dropped == 0 and not data.statistics.timestamps


def test_short_users_are_dropped_and_counted():
    data = prepare(frame([("u", x, float(t)) for t, x in enumerate("abc")] + [("v", "a", 1.0), ("v", "b", 2.0)]))
    assert list(sequences(data)) == ["u"] and data.statistics.short_users_dropped == 1


def test_k_core_repeats_until_nothing_falls():
    # dropping item z leaves user w with 2, which leaves item y with 1, and so on
    rows = [(u, i) for u in "uv" for i in "abc"] + [("w", "y"), ("w", "z"), ("w", "a"), ("v", "y")]
    data = prepare(frame(rows), min_user=3, min_item=2)
    assert sequences(data) == {"u": list("abc"), "v": list("abc")}
    assert data.statistics.core_dropped == 4


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.sampled_from("uvwxy"), st.sampled_from("abcde")), min_size=1, max_size=60),
    fewest=st.tuples(st.integers(0, 4), st.integers(0, 4)),
)
def test_what_is_left_is_a_k_core(rows, fewest):
    try:
        data = prepare(frame(rows), *fewest)
    except DataError:
        return
    lengths = np.diff(data.offsets)
    counts = np.bincount(data.items)[1:]
    assert (lengths >= max(3, fewest[0])).all() and len(counts) == len(data.item_ids) - 1 and (counts > 0).all()
    if not data.statistics.short_users_dropped:
        assert (counts >= fewest[1]).all()
    dropped = data.statistics
    assert dropped.interactions == lengths.sum() <= len(rows) - dropped.core_dropped


@pytest.mark.parametrize(
    ("rows", "fewest", "message"),
    [
        ([("u", "a"), ("u", "b")], (0, 0), "no user is left of 2 interactions (2 of 1 users with fewer than 3)"),
        (
            [("u", x) for x in "abc"],
            (5, 0),
            "no user is left of 3 interactions (3 by the k-core filter (min_user=5",
        ),
        ([("u", "a")] * 3, (0, 0), "only one item ('a') is left; a recommender needs at least two"),
    ],
)
def test_what_leaves_nothing_is_one_line(rows, fewest, message):
    with pytest.raises(DataError) as raised:
        prepare(frame(rows), *fewest, source="log.csv")
    assert message in str(raised.value) and str(raised.value).startswith("log.csv: ")


def test_leave_one_out():
    split = Split(prepare(frame([("u", x) for x in "abcd"] + [("v", x) for x in "bca"])))
    assert split.items == 4
    assert [list(split.training[u]) for u in range(2)] == [[1, 2], [2]]
    assert list(split.targets("validation")) == [3, 3] and list(split.targets("test")) == [4, 1]
    assert [list(split.history("validation")[u]) for u in range(2)] == [[1, 2], [2]]
    assert [list(split.history("test")[u]) for u in range(2)] == [[1, 2, 3], [2, 3]]
    assert [list(split.complete()[u]) for u in range(2)] == [[1, 2, 3, 4], [2, 3, 1]]
    assert split.training.counts(4).tolist() == [0, 1, 2, 0, 0]


@given(lengths=st.lists(st.integers(1, 9), max_size=200), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 99))
@settings(deadline=None)
def test_held_out_users_are_a_fraction_and_seeded(lengths, fraction, seed):
    lengths = np.array(lengths, dtype=np.int64)
    able = (lengths >= 2).sum()
    if able < 2:
        with pytest.raises(DataError, match=f"{able} users have two training items or more .* needs at least 2"):
            hold_out_users(lengths, fraction, seed)
        return
    chosen = hold_out_users(lengths, fraction, seed)
    assert 1 <= chosen.sum() <= able - 1 and (lengths[chosen] >= 2).all()
    assert abs(chosen.sum() - fraction * able) <= 1
    assert (chosen == hold_out_users(lengths, fraction, seed)).all()


def test_prepared_data_is_saved_whole(tmp_path):
    data = prepare(frame([("ü", x, float(t)) for t, x in enumerate("abca")]))
    data.save(tmp_path / "data.npz")
    again = Interactions.load(tmp_path / "data.npz")
    assert sequences(again) == sequences(data) and again.statistics == data.statistics
    assert again.fingerprint == data.fingerprint
    content = (tmp_path / "data.npz").read_bytes()
    for spoiled in (content[:-20], b"nothing", content[: len(content) // 2]):
        (tmp_path / "data.npz").write_bytes(spoiled)
        with pytest.raises(DataError, match="prepare the data again") as raised:
            Interactions.load(tmp_path / "data.npz")
        assert "\n" not in str(raised.value)


def test_the_fingerprint_knows_order_and_ids():
    prints = {
        prepare(frame([("u", x) for x in order] + [("v", x) for x in "abc"])).fingerprint
        for order in ("abc", "acb", "abcd", "xbc")
    }
    assert len(prints) == 4


@pytest.mark.parametrize(
    ("name", "core", "users", "items", "interactions", "duplicates"),
    [
        ("ml-1m.tsv.gz", 0, 6040, 3706, 1000209, 0),
        ("ml-100k.tsv.gz", 0, 943, 1682, 100000, 0),
        ("gowalla-nyc.tsv.gz", 5, 3456, 6568, 101682, 6),
    ],
)
def test_statistics_of_real_data(real_data, name, core, users, items, interactions, duplicates):
    data = prepare(read_interactions(real_data / name), core, core)
    found = data.statistics
    assert (found.users, found.items, found.interactions) == (users, items, interactions)
    assert found.duplicates_dropped == duplicates
    assert found.timestamps == (name != "ml-1m.tsv.gz")
    assert data.offsets[-1] == len(data.items) == interactions and data.items.min() == 1 and data.items.max() == items


def test_the_order_of_the_rows_does_not_matter():
    rows = [(u, i, float(t)) for u in "uvw" for t, i in ((1, "a"), (1, "b"), (1, "c"), (2, "d"), (2, "a"))]
    for tie_break in ("random", "item"):
        prepared = {
            prepare(frame(rows).sample(fraction=1, shuffle=True, seed=seed), tie_break=tie_break).fingerprint
            for seed in range(5)
        }
        assert len(prepared) == 1
    assert sequences(prepare(frame(rows), tie_break="item"))["u"] == ["a", "b", "c", "a", "d"]


def test_targets_are_counted():
    rows = [("u", "a", 1.0), ("u", "b", 2.0), ("u", "c", 3.0), ("u", "a", 4.0), ("v", "a", 1.0), ("v", "b", 2.0)]
    rows += [("v", "z", 2.0), ("", "a", 1.0), ("v", None, 1.0)]
    found = prepare(frame(rows).with_columns(pl.col("user").replace("", None)), tie_break="item").statistics
    # u repeats a; v's z is cold and at the time of b; v has one training item
    assert (found.repeat_targets, found.cold_targets, found.last_ties, found.untrained_users) == (1, 1, 1, 1)
    assert found.empty_dropped == 2


def test_the_order_of_the_rows_of_a_public_file_does_not_matter(real_data):
    frame = read_interactions(real_data / "ml-100k.tsv.gz")
    orders = (frame.sort("user", "item"), frame.sample(fraction=1, shuffle=True, seed=0), frame.sort("time"))
    first, *others = (prepare(order) for order in orders)
    for other in others:
        assert other.user_ids == first.user_ids and other.item_ids == first.item_ids
        assert (other.items == first.items).all() and (other.offsets == first.offsets).all()
