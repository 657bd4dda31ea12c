"""Columns that look like times are used or asked for, and numbers that look like dates are no seconds."""

from datetime import datetime, timezone

import polars as pl
import pytest

from easrec.data import read_frame, read_interactions
from elasticnas.errors import DataError

DATES = ["2020-01-03", "1/3/2020", "1/3/20", "Jan 3 2020", "January 3, 2020", "3 Jan 2020", "3rd March 2020"]
DATES += ["Fri Jan 03 12:00:00 +0000 2020", "Fri, 03 Jan 2020 12:00:00 GMT", "20200103", "20200103T120000Z", "12:30"]
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


@pytest.mark.parametrize("name", ["format", "category", "update", "at", "weekday", "rating", "release_year"])
def test_other_names_are_ignored(name):
    assert read_frame(pl.DataFrame({"user_id": ["u"], "item_id": ["a"], name: ["7"]}))["time"].to_list() == [None]


def test_without_header_the_time_is_asked_for(tmp_path):
    # small numbers could be anything, also days
    (tmp_path / "x.csv").write_text("1,10,5,12\n1,11,4,7\n")
    options = {"user": "1", "item": "2", "header": False}
    with pytest.raises(
        DataError, match=r"name the column of the time by position, for example --time 4, or use .* none"
    ):
        read_interactions(tmp_path / "x.csv", **options)
    assert read_interactions(tmp_path / "x.csv", **options, time="4")["time"].to_list() == [12 * 10**9, 7 * 10**9]
    assert read_interactions(tmp_path / "x.csv", **options, time="none")["time"].to_list() == [None, None]
    (tmp_path / "x.csv").write_text("1,10\n1,11\n")
    assert len(read_interactions(tmp_path / "x.csv", **options)) == 2


@pytest.mark.parametrize(
    ("value", "form"),
    [("20260131", "%Y%m%d"), ("202601311230", "%Y%m%d%H%M"), ("20260131123059", "%Y%m%d%H%M%S")],
)
@pytest.mark.parametrize("kind", [pl.String, pl.Int64])
def test_numbers_that_are_dates_are_no_seconds(value, form, kind):
    frame = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "timestamp": [value]}).cast({"timestamp": kind})
    with pytest.raises(DataError, match=f"row 1: the time '{value}', .* add --time-format {form}$"):
        read_frame(frame)
    moment = datetime.strptime(value, form).replace(tzinfo=timezone.utc)
    assert read_frame(frame, time_format=form)["time"].to_list() == [int(moment.timestamp()) * 10**9]


@pytest.mark.parametrize("values", [["20261331"], ["20260131", "5"], ["20260131", "20260132"], ["-20260131"]])
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
    for user, item, time, message in (
        ("user_id", "user_id", None, "--user and --item are one column, 'user_id'"),
        ("user_id", "item_id", "item_id", "the time is in the column 'item_id', which holds the items"),
        ("timestamp", "item_id", "timestamp", "which holds the users"),
    ):
        with pytest.raises(DataError, match=message):
            read_frame(frame, user, item, time)
