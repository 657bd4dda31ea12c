"""Files are read in blocks: the result does not depend on where they are cut."""

import bz2
import csv
import gzip
import io
import json
import lzma

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easrec.data import blocks, read_interactions
from easrec.data.tables import Dialect, delimited
from elasticnas.errors import DataError

FIELD = st.text(st.sampled_from('ab,;"\n\r é0'), max_size=4)


def cut(size):
    """Read in blocks of so many bytes."""
    patch = pytest.MonkeyPatch()
    patch.setattr(blocks, "_BLOCK", size)
    return patch


@given(rows=st.lists(st.tuples(FIELD, FIELD, FIELD), min_size=1, max_size=6), size=st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_quoted_fields_with_line_breaks_are_those_of_the_csv_module(tmp_path_factory, rows, size):
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([("x", "y", "z"), *rows])
    path = tmp_path_factory.mktemp("blocks") / "log.csv"
    path.write_bytes(text.getvalue().encode())
    patch = cut(size)
    try:
        found = pl.concat(list(delimited(path, Dialect(","))))
    finally:
        patch.undo()
    assert found.columns == ["x", "y", "z"]
    assert [tuple(value or "" for value in row) for row in found.rows()] == rows


@pytest.mark.parametrize("size", [1, 5, 64, 10_000])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("log.tsv", "user_id\titem_id\ttimestamp\n" + "".join(f"u{k % 3}\ti{k}\t{k}.5\n" for k in range(40))),
        ("log.jsonl", "".join(json.dumps({"user": k % 3, "item": f"é{k}", "ts": k}) + "\n" for k in range(40))),
        ("log.txt", "\n".join(f"{u} " + " ".join(str(u + k) for k in range(u + 2)) for u in range(9))),
    ],
)
def test_any_block_size_gives_the_same_interactions(tmp_path, monkeypatch, name, text, size):
    (tmp_path / name).write_text(text)
    options = {"time": "ts"} if name.endswith("jsonl") else {}
    whole = read_interactions(tmp_path / name, **options)
    monkeypatch.setattr(blocks, "_BLOCK", size)
    assert read_interactions(tmp_path / name, **options).rows() == whole.rows()


def test_rows_in_errors_count_through_all_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "_BLOCK", 16)
    path = tmp_path / "log.csv"
    for bad, message in (
        ("u9,i9\n", "row 9: fewer fields than the 3 columns"),
        ("u9,i9,9,9\n", "row 9: its number of fields differs"),
        ("u9,i9,noon\n", "row 9: the time 'noon' is neither"),
    ):
        path.write_text("user_id,item_id,timestamp\n" + "".join(f"u{k},i{k},{k}\n" for k in range(7)) + bad)
        with pytest.raises(DataError, match=message):
            read_interactions(path)
    path.write_bytes(b"user_id,item_id\n" + b"u,i\n" * 20 + b"u,\xe9\n")
    with pytest.raises(DataError, match="line 22: not UTF-8"):
        read_interactions(path)


def test_compressed_files_and_other_encodings(tmp_path):
    text = "user_id;item_id\né;1\né;2\né;3\n"
    for ending, pack in ((".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)):
        path = tmp_path / f"log.csv{ending}"
        path.write_bytes(pack(text.encode()))
        assert read_interactions(path)["user"].to_list() == ["é"] * 3
        path.write_bytes(pack(text.encode())[:-9])
        with pytest.raises(DataError, match="file is truncated or damaged"):
            read_interactions(path)
    for encoding in ("latin1", "utf-16", "cp1252"):
        (tmp_path / "log.csv").write_bytes(text.encode(encoding))
        with pytest.raises(DataError, match="not UTF-8"):
            read_interactions(tmp_path / "log.csv")
        assert read_interactions(tmp_path / "log.csv", encoding=encoding)["user"].to_list() == ["é"] * 3
    (tmp_path / "log.csv").write_bytes("user_id;item_id\nа;1\n".encode("cp1251"))
    with pytest.raises(DataError, match=r"not gb18030 .*give the right --encoding"):
        (tmp_path / "log.csv").write_bytes(b"user_id;item_id\n\xff\xff;1\n")
        read_interactions(tmp_path / "log.csv", encoding="gb18030")


def test_latin_1_is_decided_once_for_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "_BLOCK", 24)
    path = tmp_path / "ratings.dat"
    path.write_bytes("é1::5::3::10\n".encode("latin1") * 2 + "é1::6::3::11\né::7::3::12\n".encode("latin1"))
    assert read_interactions(path)["user"].to_list() == ["é1", "é1", "é1", "é"]
    path.write_bytes("é1::5::3::10\n".encode() * 4 + "é1::6::3::11\n".encode("latin1"))
    with pytest.raises(DataError, match="line 5: not UTF-8"):
        read_interactions(path)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    import os

    os.mkfifo(tmp_path / "log.csv")
    with pytest.raises(DataError, match="not a regular file"):
        read_interactions(tmp_path / "log.csv")
