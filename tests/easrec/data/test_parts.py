"""Training, validation and test given as parts: files or data frames, with and without times."""

import pandas as pd
import polars as pl
import pytest

from easrec.data import Columns, Split
from easrec.source import Source
from elasticnas.errors import ElasticNASError

TRAIN = {"user_id": ["u", "u", "v", "v"], "item_id": ["a", "b", "a", "c"], "timestamp": [1, 2, 1, 5]}
VALIDATION = {"user_id": ["u", "v"], "item_id": ["c", "b"], "timestamp": [3, 9]}
TEST = {"user_id": ["u", "v"], "item_id": ["d", "d"], "timestamp": [7, 9]}


def targets(data, stage):
    return [data.item_ids[item] for item in Split(data).targets(stage)]


def as_file(folder, name, columns):
    pl.DataFrame(columns).write_csv(folder / f"{name}.csv")
    return folder / f"{name}.csv"


def without_times(columns):
    return {name: values for name, values in columns.items() if name != "timestamp"}


@pytest.mark.parametrize("kinds", ["ppp", "ddd", "pfd", "ffp"])
def test_parts_may_be_files_and_data_frames(tmp_path, kinds):
    made = {"p": lambda _, columns: pl.DataFrame(columns), "d": lambda _, columns: pd.DataFrame(columns)}
    made["f"] = lambda name, columns: as_file(tmp_path, name, columns)
    parts = zip(kinds, ("train", "validation", "test"), (TRAIN, VALIDATION, TEST), strict=True)
    train, validation, test = (made[kind](name, columns) for kind, name, columns in parts)
    data = Source(train, validation=validation, test=test).read(0, 0)
    assert data.user_ids == ["u", "v"] and Split(data).kind == "given"
    assert (targets(data, "validation"), targets(data, "test")) == (["c", "b"], ["d", "d"])
    assert data.statistics.rows == 8


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"validation": [], "test": []}, "--validation: an empty list of files"),
        ({"test": pl.DataFrame(TEST)}, "--validation and --test: give both, or neither"),
        ({"validation": pl.DataFrame(VALIDATION), "test": None}, "--validation and --test: give both, or neither"),
        ({"validation": pl.DataFrame(VALIDATION), "test": 5}, "the data of test is of type int"),
        ({"validation": pl.DataFrame(VALIDATION), "test": pl.DataFrame(TEST).clear()}, "of test is empty"),
        ({"columns": Columns(format="csv")}, "--format is for files, not for a data frame; leave it out"),
        ({"columns": Columns(header=False)}, "--no-header is for files"),
        ({"columns": Columns(separator=";")}, "--separator is for files"),
        ({"columns": Columns(encoding="latin1")}, "--encoding is for files"),
    ],
)
def test_nothing_that_is_given_is_ignored(given, message):
    with pytest.raises(ElasticNASError, match=message):
        Source(pl.DataFrame(TRAIN), **given).read(0, 0)


@pytest.mark.parametrize("tie_break", ["random", "item", "file"])
def test_one_time_on_both_sides_of_a_boundary(tie_break):
    # validation and test lie at the same second as the item before them
    train = pl.DataFrame({"user_id": ["u"] * 3, "item_id": ["a", "b", "z"], "timestamp": [1, 5, 5]})
    validation = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["c", "y"], "timestamp": [5, 8]})
    test = pl.DataFrame({"user_id": ["u"], "item_id": ["d"], "timestamp": [8]})
    data = Source(train, validation=validation, test=test, tie_break=tie_break).read(0, 0)
    assert (targets(data, "validation"), targets(data, "test")) == (["c"], ["d"])
    trained = Split(data).training[0]
    assert {data.item_ids[item] for item in trained} == {"a", "b", "z"} and data.item_ids[trained[0]] == "a"


def test_without_times_pairs_in_two_parts_are_refused_unless_items_recur():
    train, validation, test = (pl.DataFrame(without_times(each)) for each in (TRAIN, VALIDATION, TEST))
    leaked = pl.concat([test, train.head(1)])
    with pytest.raises(ElasticNASError, match="1 pairs of user and item occur in two of the parts"):
        Source(train, validation=validation, test=leaked).read(0, 0)
    again = pl.concat([train, train.head(1)])
    data = Source(again, validation=validation, test=leaked.reverse()).read(0, 0)
    assert targets(data, "test") == ["a", "d"] and data.statistics.repeat_targets == 1
    # one repeat in training does not excuse that all targets are in it
    wide = pl.DataFrame({"user_id": [f"u{n}" for n in range(40)], "item_id": ["a"] * 40})
    with pytest.raises(ElasticNASError, match=r"20 pairs .* while 2.4% of the training part repeats a pair"):
        Source(pl.concat([wide, wide.head(1)]), validation=wide.head(10), test=wide.tail(10)).read(0, 0)


def test_targets_earlier_than_training_items_are_counted():
    # v's test item at 4 is earlier than its last training item at 5
    early = {**TEST, "timestamp": [7, 4]}
    parts = {"validation": pl.DataFrame(VALIDATION), "test": pl.DataFrame(early)}
    assert Source(pl.DataFrame(TRAIN), **parts).read(0, 0).statistics.early_targets == 1
    parts["test"] = pl.DataFrame(TEST)
    assert Source(pl.DataFrame(TRAIN), **parts).read(0, 0).statistics.early_targets == 0


def test_options_without_an_effect_are_refused():
    frame = pl.DataFrame(without_times(TRAIN))
    with pytest.raises(ElasticNASError, match="--tie-break item: the data has no times, hence no ties; leave it out"):
        Source(pl.concat([frame] * 2), tie_break="item").read(0, 0)
    with pytest.raises(ElasticNASError, match="--feature-separator ';': of which file"):
        Source(frame, separator=";")


def test_parquet_has_no_encoding(tmp_path):
    pl.DataFrame(TRAIN).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(ElasticNASError, match="--encoding is for text, and Parquet has none; leave it out"):
        Source(tmp_path / "x.parquet", Columns(encoding="latin1")).read(0, 0)


def test_structs_are_columns_and_no_ids():
    frame = pl.DataFrame({"user": [{"id": "u"}] * 3, "item_id": [{"x": "a"}, {"x": "b"}, {"x": "c"}]})
    data = Source(frame, Columns(user="user.id", item="item_id.x")).read(0, 0)
    assert data.item_ids == ["", "a", "b", "c"]
    with pytest.raises(ElasticNASError, match="no column 'item_id'"):
        Source(frame, Columns(user="user.id", item="item_id")).read(0, 0)
    nested = pl.DataFrame({"user_id": ["u"], "item_id": [[["a", "b"], ["c"]]]})
    with pytest.raises(ElasticNASError, match="cannot be read as text"):
        Source(nested).read(0, 0)


def test_single_items_in_lists_have_their_time():
    frame = pl.DataFrame({"user_id": ["u"] * 3, "item_id": ["b", "a", "c"], "timestamp": [2, 1, 3]})
    data = Source(frame, Columns(item_separator=",")).read(0, 0)
    assert data.item_ids == ["", "a", "b", "c"]


def test_errors_name_what_dropped_all():
    frame = pl.DataFrame({"user_id": ["u", "u", ""], "item_id": ["a", "b", "c"], "timestamp": [1, 2, 3]})
    message = r"no user is left of 3 interactions \(2 of 1 users with fewer than 3, 1 without a user or an item\)"
    with pytest.raises(ElasticNASError, match=message):
        Source(frame).read(0, 0)
    with pytest.raises(ElasticNASError, match="none of the 3 rows has both a user and an item"):
        Source(frame.with_columns(user_id=pl.lit(""))).read(0, 0)
