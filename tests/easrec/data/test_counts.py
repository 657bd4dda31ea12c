"""Every interaction that is read is kept or counted as dropped, for one reason."""

import io

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from easrec.data import Columns, Split
from easrec.source import Source, show_statistics
from elasticnas.errors import ElasticNASError

# 13 rows: one is blank (row 4), which is none
FILE = """user_id,item_id,timestamp,rating
u,a,1,5
u,b,2,5

u,b,2,5
u,c,3,5
u,d,4,1
v,a,1,5
v,b,2,5
w,a,1,5
w,b,2,5
w,c,3,5
,,4,5
,a,5,5
"""


def shown(data, width=80):
    console = Console(file=io.StringIO(), width=width)
    show_statistics(data, Split(data), console)
    return console.file.getvalue().splitlines()


def test_counts_by_hand(tmp_path):
    (tmp_path / "x.csv").write_text(FILE)
    found = Source(tmp_path / "x.csv", Columns(where="rating > 1")).read(0, 0)
    s = found.statistics
    assert (s.rows, s.interactions, s.left_out, s.empty_dropped, s.duplicates_dropped) == (12, 6, 1, 2, 1)
    assert (s.short_users_dropped, s.short_dropped, s.core_dropped) == (1, 2, 0)
    assert (
        "interactions: 12 read, 6 kept, 6 dropped: 1 by --where, 2 without a user or an item, 1 that repeat another "
        "row, 2 of 1 users with too few"
    ) in shown(found, 200)


def test_nothing_dropped():
    found = Source(pl.DataFrame({"user_id": ["u"] * 3, "item_id": ["a", "b", "c"]})).read(0, 0)
    assert "interactions: 3 read, 3 kept" in shown(found)


def test_what_was_read_is_said_in_one_line(tmp_path):
    (tmp_path / "x.csv").write_text(FILE)
    first = shown(Source(tmp_path / "x.csv").read(0, 0), width=40)[0]
    assert first == "read: csv (separator ','), user user_id, item item_id, time timestamp in seconds"


IDS = st.sampled_from(["", "a", "b", "c", "d"])
ROW = st.tuples(IDS, IDS, st.integers(0, 3), st.integers(0, 2))


@settings(max_examples=100, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=40), st.integers(0, 3), st.booleans())
def test_counts_add_up(rows, core, timed):
    names = ["user_id", "item_id", "timestamp" if timed else "n", "rating"]
    frame = pl.DataFrame(rows, schema=names, orient="row").with_columns(pl.col("user_id", "item_id"))
    try:
        s = Source(frame, Columns(where="rating > 0")).read(core, core).statistics
    except ElasticNASError:
        return
    dropped = s.left_out + s.empty_dropped + s.duplicates_dropped + s.core_dropped + s.short_dropped
    assert s.rows == len(rows) == s.interactions + dropped
    kept = [row for row in rows if row[3] > 0]
    assert s.left_out == len(rows) - len(kept)
    full = [row[:3] for row in kept if row[0] and row[1]]
    assert s.empty_dropped == len(kept) - len(full)
    assert s.duplicates_dropped == (len(full) - len(set(full)) if timed else 0)


@pytest.mark.parametrize("option", ["where", "user", "separator", "tie_break", "validation"])
def test_generated_interactions_take_no_options_of_reading(option, tmp_path):
    from easrec import run

    given = {
        "where": "rating > 1",
        "user": "u",
        "separator": ";",
        "tie_break": "file",
        "validation": [tmp_path / "v.csv"],
    }
    more = {"test": [tmp_path / "t.csv"]} if option == "validation" else {}
    name = option.replace("_", "-")
    with pytest.raises(ElasticNASError, match=f"--{name}: the generated interactions need no reading"):
        run(None, "demo", tmp_path / "run", **{option: given[option]}, **more)
