"""Columns that look like times are used or asked for, and numbers that look like dates are no seconds."""

from datetime import datetime, time, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest

from easrec.data import read_frame, read_interactions
from elasticnas.errors import DataError, ElasticNASError

DATES = ["2020-01-03", "1/3/2020", "1/3/20", "Jan 3 2020", "January 3, 2020", "3 Jan 2020", "3rd March 2020"]
DATES += ["Fri Jan 03 12:00:00 +0000 2020", "Fri, 03 Jan 2020 12:00:00 GMT", "20200103", "20200103T120000Z", "12:30"]
DATES += ["31/Jan/2026:12:00:00 +0000", "/Date(1767225600000)/", "31JAN2026", "Jan 2026", "2026-W05-6", "31 janv. 2026"]
DATES += ["2020-01", "2020年1月3日", "SEP 5 1998", "03.01.2020 12:30"]
NOT_DATES = [
    "abc",
    "1.2.3",
    "192.168.1.1",
    "12-34-5678-9",
    "Action 12",
    "Mayor 3",
    "Marvin 3",
    "5",
    "3.5",
    "0671023209x",
]


@pytest.mark.parametrize("value", [*DATES, "874965758", "631152000", "1581234567890", "1.5812e9"])
def test_values_that_are_times_are_not_ignored(value):
    with pytest.raises(DataError, match="x looks like a time"):
        read_frame(pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "x": [value]}))


@pytest.mark.parametrize("value", [*NOT_DATES, "631151999", "2208988801"])
def test_other_values_are_ignored(value):
    assert read_frame(pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "x": [value]}))["time"].to_list() == [None]


@pytest.mark.parametrize(
    "name", ["created", "createdAt", "updated_at", "utc", "when", "playedAt", "date_added", "week"]
)
def test_names_that_mean_times_are_not_ignored(name):
    with pytest.raises(DataError, match=f"{name} looks like a time"):
        read_frame(pl.DataFrame({"user_id": ["u"], "item_id": ["a"], name: ["7"]}))


@pytest.mark.parametrize(
    "name", ["format", "category", "update", "at", "runtime", "candidate", "rating", "release_year"]
)
def test_other_names_are_ignored(name):
    assert read_frame(pl.DataFrame({"user_id": ["u"], "item_id": ["a"], name: ["7"]}))["time"].to_list() == [None]


def test_without_header_the_time_is_asked_for(tmp_path):
    # small numbers could be anything, also days
    (tmp_path / "x.csv").write_text("1,10,5,12\n1,11,4,7\n")
    options = {"user": "1", "item": "2", "header": False}
    with pytest.raises(
        DataError, match=r"give the position of the time by --time, or, if no column holds times, .* none"
    ):
        read_interactions(tmp_path / "x.csv", **options)
    assert read_interactions(tmp_path / "x.csv", **options, time="4")["time"].to_list() == [12 * 10**9, 7 * 10**9]
    assert read_interactions(tmp_path / "x.csv", **options, time="none")["time"].to_list() == [None, None]
    (tmp_path / "x.csv").write_text("1,10\n1,11\n")
    assert len(read_interactions(tmp_path / "x.csv", **options)) == 2


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("20260131", "%Y%m%d"),
        ("2026013112", "%Y%m%d%H"),
        ("202601311230", "%Y%m%d%H%M"),
        ("20260131123059", "%Y%m%d%H%M%S"),
    ],
)
@pytest.mark.parametrize("kind", [pl.String, pl.Int64])
def test_numbers_that_are_dates_are_no_seconds(value, form, kind):
    frame = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "timestamp": [value]}).cast({"timestamp": kind})
    with pytest.raises(DataError, match=f"row 1: the time '{value}', .* add --time-format {form}"):
        read_frame(frame)
    moment = datetime.strptime(value, form).replace(tzinfo=timezone.utc)
    assert read_frame(frame, time_format=form)["time"].to_list() == [int(moment.timestamp()) * 10**9]


@pytest.mark.parametrize("values", [["20261331"], ["20260131", "5", "6"], ["20260131", "20260132", "2"], ["-20260131"]])
def test_other_numbers_are_seconds(values):
    frame = pl.DataFrame({"user_id": "u", "item_id": "a", "timestamp": values})
    assert read_frame(frame)["time"].to_list() == [int(value) * 10**9 for value in values]


def test_hours_of_a_time_zone():
    values = ["2020-01-01 00:00:00+00", "2020-01-01 00:00:00.5+02", "2020-01-01T00:00:00-03"]
    found = read_frame(pl.DataFrame({"user_id": "u", "item_id": "a", "timestamp": values}))["time"]
    start = 1577836800
    assert found.to_list() == [start * 10**9, (start - 7200) * 10**9 + 5 * 10**8, (start + 10800) * 10**9]


def test_one_column_is_not_two(tmp_path):
    frame = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "timestamp": [1]})
    for user, item, moment, message in (
        ("user_id", "user_id", None, "--user and --item are one column, 'user_id'"),
        ("user_id", "item_id", "item_id", "the time is in the column 'item_id', which holds the items"),
        ("timestamp", "item_id", "timestamp", "which holds the users"),
    ):
        with pytest.raises(DataError, match=message):
            read_frame(frame, user, item, moment)


SECONDS = [1700000003, 1700000002, 1700000001]
MOMENTS = [datetime(2026, 1, day, tzinfo=timezone.utc) for day in (3, 2, 1)]


@pytest.mark.parametrize(
    "values",
    [
        ["0", "1700000003", "1700000002", "1700000001"],
        ["NULL", "1700000003", "1700000002", "1700000001"],
        ["unknown", "1700000003", "1700000002", "1700000001"],
        ["", "1700000003"],
        [-1, *SECONDS],
        [None] * 150 + SECONDS,
        pl.Series([SECONDS, SECONDS]),
        pl.Series([MOMENTS, MOMENTS]),
        ["1700000003 1700000002", "1700000001"],
        ["[1700000003, 1700000002]", "[1700000001]"],
        pl.Series(["2026-01-03"]).cast(pl.Categorical),
        pl.Series([1700000003], dtype=pl.Decimal(12, 0)),
        [timedelta(days=3)],
        [time(12, 30)],
    ],
)
def test_placeholders_nulls_lists_and_kinds_do_not_hide_times(values):
    frame = pl.DataFrame({"x": values}).with_columns(user_id=pl.lit("u"), item_id=pl.lit("a"))
    with pytest.raises(DataError, match="x looks like a time"):
        read_frame(frame)


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(SECONDS, dtype=object),
        pd.Series([np.datetime64("2026-01-03"), None], dtype=object),
        pd.Series([Decimal(1700000003)], dtype=object),
        pd.Series([time(12, 30)], dtype=object),
        pd.Series(pd.period_range("2026-01-01", periods=2)),
        pd.Series([timedelta(days=3)]),
        pd.Series([SECONDS, SECONDS]),
        pd.Series(["NULL", "NULL", "NULL", "1700000003"]),
    ],
)
def test_columns_of_pandas_do_not_hide_times(values):
    with pytest.raises(DataError, match="x looks like a time"):
        read_frame(pd.DataFrame({"user_id": "u", "item_id": "a", "x": values}))


def test_times_in_an_index_are_not_ignored():
    frame = pd.DataFrame({"user_id": ["u"], "item_id": ["a"]}, index=pd.DatetimeIndex(["2026-01-01"]))
    with pytest.raises(DataError, match="its index holds times, and is not read; make it a column by reset_index"):
        read_frame(frame)
    several = pd.MultiIndex.from_tuples([(1, 5)], names=["n", "timestamp"])
    for index in (pd.Index([5], name="timestamp"), pd.period_range("2026-01-01", periods=1), several):
        frame.index = index
        with pytest.raises(DataError, match="its index holds times"):
            read_frame(frame)


@pytest.mark.parametrize(
    "values",
    [
        ["20260131.0", "20260130.0"],
        [" 20260131 ", "20260130"],
        [20260131.0, float("nan")],
        ["0", "20260131"],
        ["20260100", "20260131", "20260130"],
        ["20260131123059123"],
    ],
)
def test_numbers_that_are_dates_in_disguise(values):
    frame = pl.DataFrame({"user_id": "u", "item_id": "a", "timestamp": values})
    with pytest.raises(DataError, match="looks like a date, not like seconds; add --time-format %Y%m%d"):
        read_frame(frame.with_columns(pl.col("timestamp").fill_null(20260130)))


def test_months_need_their_days():
    with pytest.raises(DataError, match="looks like a date, not like seconds; write it with its day"):
        read_frame(pl.DataFrame({"user_id": "u", "item_id": "a", "timestamp": ["202601", "202602"]}))


def test_one_large_number_does_not_change_the_unit():
    frame = pl.DataFrame({"user_id": "u", "item_id": "a", "timestamp": [*SECONDS, 9999999999]})
    with pytest.raises(DataError, match=r"holds milliseconds, .* others that are times of today in a coarser unit"):
        read_frame(frame)
    # milliseconds since the start, over half a year
    since = [0, 10**9, 5 * 10**9, 10**10, 15 * 10**9]
    frame = pl.DataFrame({"user_id": "u", "item_id": "a", "timestamp": since})
    assert read_frame(frame)["time"].to_list() == [value * 10**6 for value in since]


def test_names_of_zones_are_refused():
    frame = pl.DataFrame({"user_id": "u", "item_id": "a", "timestamp": ["2026-01-01 13:00:00 PST"]})
    with pytest.raises(DataError, match="names of zones are not read; write offsets such as \\+0100, read by %z"):
        read_frame(frame, time_format="%Y-%m-%d %H:%M:%S %Z")


@pytest.mark.parametrize("name", ["user_id", "item_id"])
def test_floats_too_coarse_for_ids_are_refused(name):
    frame = pl.DataFrame({"user_id": [1.0], "item_id": [2.0]}).with_columns(
        pl.lit(2.0**24).cast(pl.Float32).alias(name)
    )
    with pytest.raises(DataError, match="larger than Float32 counts exactly; store them as text"):
        read_frame(frame)


def test_floats_too_coarse_for_times_are_refused():
    frame = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "timestamp": pl.Series([1.7e9], dtype=pl.Float32)})
    with pytest.raises(DataError, match="are Float32, too coarse for them; store them as integers"):
        read_frame(frame)


def test_formats_without_a_use_are_refused():
    frame = pl.DataFrame({"user_id": ["u"], "item_id": ["a"]})
    with pytest.raises(ElasticNASError, match="--time-format without a column of times"):
        read_frame(frame, time_format="%Y")
    with pytest.raises(ElasticNASError, match="beside --time none: leave one of them out"):
        read_frame(frame, time="none", time_format="%Y")
    with pytest.raises(ElasticNASError, match="the column holds dates already; leave it out"):
        read_frame(frame.with_columns(timestamp=MOMENTS[0]), time_format="%Y")


def test_times_in_dictionaries_are_found_and_named():
    frame = pd.DataFrame({"user_id": "u", "item_id": ["a", "b"], "meta": [{"ts": 1700000002}, {"ts": 1700000001}]})
    with pytest.raises(DataError, match=r"meta.ts looks like a time"):
        read_frame(frame)
    assert read_frame(frame, time="meta.ts")["time"].to_list() == [1700000002 * 10**9, 1700000001 * 10**9]
    assert read_frame(frame, time="meta.ts", where="meta.ts < 1700000002")["item"].to_list() == ["b"]


def test_the_time_that_is_proposed_holds_times():
    frame = pl.DataFrame({"user_id": "u", "item_id": "a", "day": [3], "session_id": [5], "click_stamp": [1700000002]})
    with pytest.raises(DataError, match="name it by --time click_stamp,"):
        read_frame(frame)
    with pytest.raises(DataError, match="name it by --time, or"):
        read_frame(frame.drop("click_stamp").with_columns(month=pl.lit(4)))


def test_days_as_floats_are_read_by_their_format():
    frame = pl.DataFrame({"user_id": "u", "item_id": "a", "timestamp": [20200705.0, 20200704.0]})
    found = read_frame(frame, time_format="%Y%m%d")["time"].to_list()
    assert [value // 10**9 for value in found] == [1593907200, 1593820800]


def test_numbers_twice_in_a_first_row_are_data(tmp_path):
    (tmp_path / "x.txt").write_text("1 1\n1 2\n2 1\n")
    with pytest.raises(DataError, match=r"occurs twice in the header; .* add --no-header and give columns by position"):
        read_interactions(tmp_path / "x.txt", separator="blanks")
