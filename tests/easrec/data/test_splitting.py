"""Splits by points in time, by sessions and by given files, from raw rows."""

import numpy as np
import polars as pl
import pytest

from easrec.data import Columns, Interactions, Split, SplitRule, prepare
from easrec.source import Source
from elasticnas.errors import ConfigError, DataError

DAY = 86_400 * 10**9
# user, item, day
ROWS = [
    *[("u", "a", 1), ("u", "b", 3), ("u", "c", 8), ("u", "a", 10)],
    *[("v", "b", 2), ("v", "c", 4), ("v", "d", 11)],
    *[("w", "a", 9), ("w", "b", 12)],  # nothing before the validation window
    *[("x", "c", 5), ("x", "b", 6)],  # nothing after training
    ("y", "e", 12),  # one interaction, in the test window
]


def frame(rows=ROWS):
    users, items, days = zip(*rows, strict=True)
    return pl.DataFrame({"user": users, "item": items, "time": [day * DAY for day in days]})


def named(data, sequences):
    return [[data.item_ids[item] for item in sequence] for sequence in sequences]


def stage(data, name):
    split = Split(data)
    users = [data.user_ids[u] for u in split.users(name)]
    targets = [data.item_ids[item] for item in split.targets(name)]
    return {u: (h, t) for u, h, t in zip(users, named(data, split.history(name)), targets, strict=True)}


def date(day):
    return str(np.datetime64(0, "D") + day)


def test_points_in_time():
    data = prepare(frame(), split=f"time:{date(8)},{date(10)}")
    training = dict(zip(data.user_ids, named(data, Split(data).training), strict=True))
    assert training == {"u": ["a", "b"], "v": ["b", "c"], "w": [], "x": ["c", "b"], "y": []}
    assert stage(data, "validation") == {"u": (["a", "b"], "c")}
    assert stage(data, "test") == {"u": (["a", "b", "c"], "a"), "v": (["b", "c"], "d"), "w": (["a"], "b")}
    counts = data.statistics
    assert counts.short_users_dropped == 0 and counts.cold_targets == 1 and counts.repeat_targets == 1  # d; a of u
    assert Split(data).cold_users == {"validation": 1, "test": 1} and counts.untrained_users == 2
    assert counts.split == "time, validation from 1970-01-09T00:00:00, test from 1970-01-11T00:00:00"


def test_ties_of_targets():
    def ties(rows, split):
        return prepare(frame(rows), split=split).statistics.last_ties

    more = [*ROWS, ("v", "a", 11), ("w", "c", 12)]  # after the test targets of v and w, at the same time
    split = f"time:{date(8)},{date(10)}"
    assert ties(ROWS, split) == 0 and ties(more, split) == 2
    # leave-one-out: the last two of v and of w
    assert ties(more, "last") == 2 and ties(ROWS, "last") == 0


def test_shares_count_interactions():
    # of 12 interactions, 6 are before day 8 and 9 before day 11
    by_share = prepare(frame(), split="time:50%,75%")
    by_date = prepare(frame(), split=f"time:{date(8)},{date(11)} 00:00:00+00:00")
    assert by_share.fingerprint == by_date.fingerprint


def test_sessions():
    data = prepare(frame(), split=f"sessions:{date(7)},{date(11)}")
    training = dict(zip(data.user_ids, named(data, Split(data).training), strict=True))
    assert training == {"u": [], "v": [], "w": [], "x": ["c", "b"], "y": []}
    assert stage(data, "validation") == {"u": (["a", "b", "c"], "a")}
    assert stage(data, "test") == {"v": (["b", "c"], "d"), "w": (["a"], "b")}


def test_shares_of_sessions_count_their_ends():
    # ends on days 10, 11, 12, 6 and 12: in order, 6 is before 40 % of the five, and 10 too; 11 is before 60 %
    data = prepare(frame(), split="sessions:40%,60%")
    assert data.statistics.split == "sessions, validation from 1970-01-12T00:00:00, test from 1970-01-13T00:00:00"
    assert stage(data, "validation") == {"v": (["b", "c"], "d")} and stage(data, "test") == {"w": (["a"], "b")}


def test_points_are_shares_or_nanoseconds_of_utc():
    assert SplitRule.parse("time:80%,97.5%") == SplitRule("time", 0.8, 0.975)
    found = SplitRule.parse("sessions:1970-01-01 00:00:00.000001,1970-01-02T01:00+01:00")
    assert found == SplitRule("sessions", 1_000, DAY)


def test_given_parts_count_before_times():
    rows = pl.DataFrame(
        {"user": ["u"] * 4, "item": list("abdc"), "time": [5, 60, 7, 6], "part": pl.Series([0, 0, 1, 2], dtype=pl.Int8)}
    )
    data = prepare(rows)
    assert named(data, Split(data).training) == [["a", "b"]]
    assert stage(data, "validation") == {"u": (["a", "b"], "d")} and stage(data, "test") == {
        "u": (["a", "b", "d"], "c")
    }


def test_it_is_kept_in_prepared_data(tmp_path):
    data = prepare(frame(), split=f"time:{date(8)},{date(10)}")
    data.save(tmp_path / "data.npz")
    again = Interactions.load(tmp_path / "data.npz")
    assert again.fingerprint == data.fingerprint and stage(again, "test") == stage(data, "test")
    with pytest.raises(ConfigError, match=r"is prepared already; leave --split out"):
        Source(tmp_path / "data.npz", split="time").load("default", None, None)


@pytest.mark.parametrize("text", ["time:80%", "time:90%,80%", "time:80%,2020-01-01", "time:0%,50%", "time:x,y", "random", "last:3", "time:2020-13-01,2021-01-01"])  # fmt: skip  # noqa: E501
def test_what_is_no_split_is_refused(text):
    with pytest.raises(ConfigError, match="--split"):
        SplitRule.parse(text)


def test_splits_that_leave_nothing_are_refused():
    for split, message in (
        (f"time:{date(0)},{date(5)}", "the training part is empty"),
        (f"time:{date(8)},{date(50)}", "no user can be evaluated in the test window"),
    ):
        with pytest.raises(DataError, match=message):
            prepare(frame(), split=split)
    with pytest.raises(DataError, match="--split time needs times; name their column by --time, or use --split last"):
        prepare(frame().with_columns(time=pl.lit(None, dtype=pl.Int64)), split="time")


def files(folder, **texts):
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text("user_id,item_id,timestamp\n" + text)
    return [folder / f"{name}.csv" for name in texts]


TRAIN = "u,b,2\nu,a,1\nv,a,1\nv,c,5\n"


def test_given_files(tmp_path):
    train, validation, test = files(tmp_path, train=TRAIN, validation="u,c,3\nv,b,9\n", test="u,a,8\nu,d,7\nw,a,9\n")
    data = Source(train, validation=validation, test=test).read(0, 0)
    training = dict(zip(data.user_ids, named(data, Split(data).training), strict=True))
    assert training == {"u": ["a", "b"], "v": ["a", "c"], "w": []}
    assert stage(data, "validation") == {"u": (["a", "b"], "c"), "v": (["a", "c"], "b")}
    assert stage(data, "test") == {"u": (["a", "b", "c"], "d")}  # the first of the test file by time
    assert Split(data).cold_users == {"validation": 0, "test": 1} and data.statistics.split == "given parts"


def test_an_interaction_in_two_files_is_refused(tmp_path):
    train, validation, test = files(tmp_path, train=TRAIN, validation="u,c,3\nv,b,9\n", test="u,a,1\nu,d,7\n")
    with pytest.raises(DataError, match="1 interactions occur in two of the parts"):
        Source(train, validation=validation, test=test).read(0, 0)


def test_given_files_come_together_and_exclude_a_split(tmp_path):
    train, validation, _ = files(tmp_path, train=TRAIN, validation="u,c,3\n", test="u,a,8\n")
    with pytest.raises(ConfigError, match="give both, or neither"):
        Source(train, validation=validation)
    with pytest.raises(ConfigError, match="the split is given; leave it out"):
        Source(train, validation=validation, test=validation, split="time")


def test_conditions_and_counts_are_kept(tmp_path):
    (tmp_path / "x.csv").write_text("user_id,item_id,n\nu,a,1\nu,b,2\nu,c,3\nu,d,4\n,d,5\n")
    found = Source(tmp_path / "x.csv", Columns(where=("n >= 2",))).read(0, 0).statistics
    assert (found.left_out, found.empty_dropped, found.interactions) == (1, 1, 3)
    assert found.source == "csv (separator ','), user user_id, item item_id, no time"
