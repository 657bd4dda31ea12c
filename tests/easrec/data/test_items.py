"""The items file: what is read, how features are numbered, and what is refused."""

import gzip
import io
import os
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from easrec.data import Interactions, ItemFeatures, number_features, prepare, read_interactions, read_items
from elasticnas.errors import ConfigError, DataError

TABLE = "item_id\tgenres\tyear\n7\tDrama| Comedy|Drama\t1995\n3\t\t1996\n9\tComedy||Noir\t\n4\tWestern\t1995\n"
KINDS = "items come as .csv, .tsv, .txt or .parquet with a header, or as MovieLens' movies.dat; this is"


def written(folder, text, name="items.tsv"):
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def by_item(features, item_ids):
    bounds = zip(features.offsets[:-1], features.offsets[1:], strict=True)
    return {item: [features.names[i] for i in features.ids[a:b]] for item, (a, b) in zip(item_ids, bounds, strict=True)}


@pytest.mark.parametrize("name", ["items.tsv", "items.tsv.gz", "items.csv", "items.parquet", "lists.parquet"])
def test_every_kind_of_file_gives_the_same(tmp_path, name):
    text = TABLE if "tsv" in name else TABLE.replace("\t", ",")
    path = written(tmp_path, text, name)
    if "parquet" in name:
        frame = pl.read_csv(text.encode(), schema_overrides={"genres": pl.String})
        if name.startswith("lists"):
            frame = frame.with_columns(pl.col("genres").str.split("|"))
        frame.write_parquet(path)
    frame = read_items(path, ["genres", "year"])
    assert frame["item"].to_list() == ["7", "3", "9", "4"]
    features = number_features(frame, ["", "9", "7", "3", "unknown"], ["genres", "year"], str(path))
    # numbered in order of the items, item 4 without interactions left out, repetitions within a cell once
    assert features.names == ["", "genres=Comedy", "genres=Noir", "genres=Drama", "year=1995", "year=1996"]
    assert by_item(features, ["", "9", "7", "3", "unknown"]) == {
        "": [],
        "9": ["genres=Comedy", "genres=Noir"],
        "7": ["genres=Drama", "genres=Comedy", "year=1995"],
        "3": ["year=1996"],
        "unknown": [],
    }
    assert features.padded().tolist() == [[0, 0, 0], [1, 2, 0], [3, 1, 4], [5, 0, 0], [0, 0, 0]]


def test_items_without_features_and_unknown_items_are_counted(tmp_path):
    frame = read_items(written(tmp_path, TABLE), ["genres"])
    features = number_features(frame, ["", "9", "7", "3", "unknown"], ["genres"], "items.tsv")
    assert (features.missing, features.empty) == (1, 1)
    assert "3 of genres; without any: 1 items with empty cells, 1 that the items file" in features.describe()
    assert features.summary()["items_missing"] == 1 and features.summary()["items_without"] == 1


def test_equal_values_of_two_columns_are_two_features_and_row_order_does_not_matter(tmp_path):
    text = "item_id,first,second\na,x,x\nb,y,\n"
    frame = read_items(written(tmp_path, text, "i.csv"), ["first", "second"])
    one, other = (number_features(f, ["", "a", "b"], ["first", "second"], "i.csv") for f in (frame, frame.reverse()))
    assert one.names == ["", "first=x", "second=x", "first=y"] and one.fingerprint == other.fingerprint


def test_another_separator_and_another_item_column(tmp_path):
    path = written(tmp_path, "movie,tags\n1,a|b;c\n", "i.csv")
    assert read_items(path, ["tags"], "movie", ";")["tags"].to_list() == [["a|b", "c"]]


@pytest.mark.parametrize("item", ["item_id", "item"])
@pytest.mark.parametrize("name", ["row", "number", "item", "value", "feature", "id", "item_", "0"])
def test_columns_may_have_any_name(tmp_path, name, item):
    columns = list(dict.fromkeys((name, "item", "kind")))
    rest = [column for column in columns if column != item]
    text = ",".join([item, *rest]) + "\n" + "".join(f"{i}{',x|y' * len(rest)}\n" for i in "ab")
    path = written(tmp_path, text, "i.csv")
    frame = read_items(path, columns, item)
    assert frame.to_series(0).to_list() == ["a", "b"] and frame.columns[1:] == columns
    features = number_features(frame, ["", "b", "a"], columns, "i.csv")
    cells = {column: ["{}"] if column == item else ["x", "y"] for column in columns}
    expected = {i: {f"{c}={v.format(i)}" for c, values in cells.items() for v in values} for i in "ab"}
    found = by_item(features, ["", "b", "a"])
    assert {i: set(found[i]) for i in "ab"} == expected


@pytest.mark.parametrize("name", ["movies.dat", "movies.dat.gz"])
def test_the_movies_of_movielens(tmp_path, name):
    lines = ["1::Toy Story (1995)::Animation|Children's", "73::Misérables, Les (1995)::Drama"]
    content = "\n".join(lines).encode("latin-1")
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    frame = read_items(tmp_path / name, ["Title", "Genres"])
    assert frame.rows() == [
        ("1", ["Toy Story (1995)"], ["Animation", "Children's"]),
        ("73", ["Misérables, Les (1995)"], ["Drama"]),
    ]


@pytest.mark.parametrize(
    ("name", "text", "columns", "message"),
    [
        ("i.csv", "item_id,genres\n1,a\n", ["genre"], "no column 'genre'; the columns are item_id, genres; name it by"),
        ("i.csv", "id,genres\n1,a\n", ["genres"], "no column 'item_id'; the columns are id, genres; name it by --item"),
        ("i.csv", "item_id,g\n1,a\n\n2,b\n1,c\n", ["g"], "row 5: item '1' again, as in row 2; keep one row for each"),
        ("i.csv", "item_id,g\n1,a\n ,b\n", ["g"], "row 3: no item; fill it in or drop the row"),
        (
            "i.csv",
            "item_id,g\n1,a\n2,b,c\n",
            ["g"],
            "row 3: its number of fields differs from the first row's; one item",
        ),
        ("i.csv", "item_id,g\n", ["g"], "every row is empty; expected one item per row"),
        ("i.csv", "", ["g"], "the file is empty; expected one item per line"),
        ("i.csv", "item_id,g\n1,a\n", [], "which columns hold features? name them by --features"),
        ("i.csv", "item_id,g\n1,a\n", ["g", "g"], "--features g: given twice"),
        ("u.item", "1|a\n", ["g"], f"{KINDS} none of them: write the items as one of them"),
        ("ratings.dat", "1::a\n", ["g"], f"{KINDS} ratings.dat: write the items as one of them"),
        ("movies.dat", "1::a\n", ["Genres"], "expected MovieID::Title::Genres in each line, found 2 fields"),
        ("movies.dat", "1::a::b\n1::c::d\n", ["Genres"], "row 2: item '1' again, as in row 1"),
        ("movies.dat", "1::a::b\n", ["genres"], "no column 'genres'; the columns are MovieID, Title, Genres"),
        ("i.csv.gz", None, ["g"], "the gzip file is truncated or damaged"),
    ],
)
def test_bad_files_are_one_line(tmp_path, name, text, columns, message):
    path = tmp_path / name
    path.write_bytes(b"\x1f\x8bnothing" if text is None else text.encode())
    with pytest.raises((DataError, ConfigError)) as raised:
        read_items(path, columns)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_what_is_no_file_and_no_separator(tmp_path):
    for path, separator, message in (
        (tmp_path / "none.csv", "|", "no such file; give the items by --items"),
        (tmp_path, "|", "a folder; give the file of items inside it"),
        (tmp_path, "", "--feature-separator is empty"),
    ):
        with pytest.raises((DataError, ConfigError), match=message):
            read_items(path, ["g"], separator=separator)


def test_ids_of_another_kind_are_noticed(tmp_path):
    frame = read_items(written(tmp_path, TABLE), ["genres"])
    message = "items.tsv: none of the 2 items has a feature in genres; are its item ids those of the .*such as 'item-7'"
    with pytest.raises(DataError, match=message):
        number_features(frame, ["", "item-7", "item-9"], ["genres"], "items.tsv")


def data_and_features():
    rows = [(u, i) for u in "uv" for i in "abcd"]
    frame = pl.DataFrame({"user": [r[0] for r in rows], "item": [r[1] for r in rows], "time": [None] * 8})
    data = prepare(frame.with_columns(pl.col("time").cast(pl.Float64)))
    items = pl.DataFrame({"item": ["a", "b", "d"], "g": [["x"], ["y", "x"], []]})
    return data, number_features(items, data.item_ids, ["g"], "items")


def test_features_are_saved_with_the_data_and_belong_to_its_fingerprint(tmp_path):
    data, features = data_and_features()
    known = replace(data, features=features)
    known.save(tmp_path / "data.npz")
    again = Interactions.load(tmp_path / "data.npz")
    assert again.fingerprint == known.fingerprint != data.fingerprint
    assert by_item(again.features, data.item_ids) == {"": [], "a": ["g=x"], "b": ["g=y", "g=x"], "c": [], "d": []}
    assert again.features.summary() == features.summary() and (features.missing, features.empty) == (1, 1)
    with np.load(tmp_path / "data.npz") as content:
        assert {"feature_offsets", "feature_ids"} <= set(content.files)
    changed = replace(features, ids=np.roll(features.ids, 1))
    assert replace(data, features=changed).fingerprint != known.fingerprint
    data.save(tmp_path / "plain.npz")
    with np.load(tmp_path / "plain.npz") as content:
        assert set(content.files) == {"items", "offsets", "description"}
    assert Interactions.load(tmp_path / "plain.npz").features is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": np.array([1, 2, 9], dtype=np.int32)}, "features beyond the 2 that have names"),
        ({"offsets": np.array([0, 0, 1, 3], dtype=np.int64)}, "offsets of features do not match the items"),
        ({"offsets": np.array([0, 0, 1, 3, 2, 3], dtype=np.int64)}, "offsets and ids of features do not match"),
        ({"ids": np.array([1, 2, 1])}, "ids of features is not a list of integers"),
        ({"names": ["", 3, "x"]}, "the names of features are not strings"),
    ],
)
def test_spoiled_features_are_refused(tmp_path, change, message):
    data, features = data_and_features()
    replace(data, features=replace(features, **change)).save(tmp_path / "data.npz")
    with pytest.raises(DataError, match=message):
        Interactions.load(tmp_path / "data.npz")


def test_plain_data_and_back():
    _, features = data_and_features()
    again = ItemFeatures.from_json(features.to_json(), 4)
    assert again.fingerprint == features.fingerprint and again.summary() == features.summary()
    with pytest.raises(ValueError, match="do not match the items"):
        ItemFeatures.from_json(features.to_json(), 5)


def test_genres_of_real_movies(real_data):
    data = prepare(read_interactions(real_data / "ml-100k.tsv.gz"))
    frame = read_items(real_data / "ml-100k.items.tsv.gz", ["genres"])
    features = number_features(frame, data.item_ids, ["genres"], "items")
    assert len(features.names) == 20 and (features.missing, features.empty) == (0, 0)
    toy_story = by_item(features, data.item_ids)["1"]
    assert toy_story == ["genres=Animation", "genres=Children", "genres=Comedy"]


@pytest.mark.parametrize("name", ["items.csv.gz", "items.parquet.gz", "items.csv"])
def test_a_file_that_expands_beyond_reason_is_refused(tmp_path, monkeypatch, name):
    path = tmp_path / name
    rows = pl.DataFrame({"item_id": [f"i{n}" for n in range(500)], "genre": ["Drama" * 20] * 500})
    buffer = io.BytesIO()
    _ = rows.write_parquet(buffer) if "parquet" in name else rows.write_csv(buffer)
    path.write_bytes(gzip.compress(buffer.getvalue(), mtime=0) if name.endswith(".gz") else buffer.getvalue())
    assert len(read_items(path, ["genre"])) == 500
    monkeypatch.setattr("easrec.data.tables.largest", lambda path: 2**10)
    with pytest.raises(DataError, match=r"items\..*: expands to more than 0 MiB, which no such table does"):
        read_items(path, ["genre"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize("name", ["items.csv", "items.parquet", "items.csv.gz", "movies.dat"])
def test_a_pipe_is_refused_rather_than_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="not a regular file"):
        read_items(tmp_path / name, ["genre"])


def test_damage_at_which_the_decoder_panics_or_aborts_is_one_line(tmp_path, capfd):
    buffer = io.BytesIO()
    pl.DataFrame({"item_id": ["a", "b"], "genre": ["x", "y"]}).write_parquet(buffer)
    data = bytearray(buffer.getvalue())
    for position in (30, 44, 162, 500):  # one each in the pages, their headers and the footer
        data[position] ^= 0x55
        (tmp_path / "items.parquet").write_bytes(data)
        data[position] ^= 0x55
        try:
            read = len(read_items(tmp_path / "items.parquet", ["genre"]))
        except DataError as error:
            assert "\n" not in str(error)
        else:
            assert read == 2
    assert capfd.readouterr() == ("", "")


def test_a_decoder_that_aborts_is_told(tmp_path, monkeypatch):
    pl.DataFrame({"item_id": ["a", "b"], "genre": ["x", "y"]}).write_parquet(tmp_path / "items.parquet")
    assert len(read_items(tmp_path / "items.parquet", ["genre"])) == 2
    monkeypatch.setattr("easrec.data.tables._DECODE", "import os; os.abort()")
    with pytest.raises(DataError, match=r"items\.parquet: not a readable Parquet file \(damaged: its decoder aborts"):
        read_items(tmp_path / "items.parquet", ["genre"])


def test_short_texts_count_with_what_they_take_in_memory(tmp_path, monkeypatch):
    path = written(tmp_path, "item_id,genre\n" + "".join(f"{n},x\n" for n in range(200)), "items.csv")
    monkeypatch.setattr("easrec.data.tables.largest", lambda path: 5_000)  # 200 x 2 cells of 16 bytes and more
    with pytest.raises(DataError, match="expands to more than"):
        read_items(path, ["genre"])
