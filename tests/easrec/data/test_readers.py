"""Every raw format, and everything that can be wrong with a file."""

import gzip

import polars as pl
import pytest

from easrec.data import read_interactions
from elasticnas.errors import DataError

# one small log in every format: user, item, time in seconds
ROWS = [("7", "b", 30.0), ("7", "a", 10.0), ("x y", "a", 20.5), ("7", "b", 40.0)]


def table(separator, header=True):
    lines = [separator.join(["user_id", "item_id", "timestamp", "rating"])] if header else []
    return "\n".join([*lines, *(separator.join([u, i, f"{t:g}", "5"]) for u, i, t in ROWS)]) + "\n"


def csv(path):
    path.write_text(table(","))


def tsv(path):
    path.write_text(table("\t"))


def gz(path):
    path.write_bytes(gzip.compress(table("\t").encode()))


def with_bom(path):
    path.write_bytes(b"\xef\xbb\xbf" + table(",").encode())


def windows_lines(path):
    path.write_bytes(table(",").replace("\n", "\r\n").encode())


def quoted(path):
    path.write_text('user_id,item_id,timestamp\n7,b,30\n7,"a",10\n"x y",a,20.5\n7,b,40\n')


def parquet(path):
    frame = pl.DataFrame(ROWS, schema=["user_id", "item_id", "timestamp"], orient="row")
    frame.write_parquet(path)


def parquet_of_dates(path):
    frame = pl.DataFrame(ROWS, schema=["user_id", "item_id", "timestamp"], orient="row")
    moments = (pl.col("timestamp") * 1e6).cast(pl.Int64).cast(pl.Datetime("us"))
    frame.with_columns(moments).write_parquet(path)


def parquet_gz(path):
    parquet(path)
    path.write_bytes(gzip.compress(path.read_bytes()))


def ratings_dat(path):
    path.write_text("".join(f"{u}::{i}::5::{t:g}\n" for u, i, t in ROWS))


def inter(path):
    lines = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    path.write_text("\n".join([*lines, *(f"{u}\t{i}\t5\t{t:g}" for u, i, t in ROWS)]))


def checkins(path):
    rows = [f"{u}\t1970-01-01T00:00:{t:04.1f}Z\t30.2\t-97.7\t{i}" for u, i, t in ROWS]
    path.write_text("\n".join(rows))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("log.csv", csv),
        ("log.tsv", tsv),
        ("log.txt", tsv),
        ("log.tsv.gz", gz),
        ("log.csv", with_bom),
        ("log.csv", windows_lines),
        ("log.csv", quoted),
        ("log.parquet", parquet),
        ("log.parquet", parquet_of_dates),
        ("LOG.CSV.GZ", lambda path: path.write_bytes(gzip.compress(table(",").encode()))),
        ("log.parquet.gz", parquet_gz),
        ("log.csv", lambda path: path.write_text(table(",").replace("\n", "\n\n"))),
        ("ratings.dat", ratings_dat),
        ("ml.inter", inter),
        ("Gowalla_totalCheckins.txt", checkins),
    ],
)
def test_every_format_gives_the_same_rows(tmp_path, name, write):
    write(tmp_path / name)
    frame = read_interactions(tmp_path / name)
    assert frame.columns == ["user", "item", "time"]
    assert frame.rows() == [(u, i, int(t * 10**9)) for u, i, t in ROWS]


def test_douban_dates_and_comments_over_several_lines(tmp_path):
    path = tmp_path / "DMSC.csv"
    path.write_text(
        "ID,Movie_Name_EN,Movie_Name_CN,Crawl_Date,Number,Username,Date,Star,Comment,Like\n"
        '0,Avengers Age of Ultron,复仇者联盟2,2017-01-22,1,然潘,2015-05-13,3," line one,\nline two ""quoted""",2404\n'
        "1,Big Fish,大鱼,2017-01-22,2,更深的白色,2015-04-24,2,short,1231\n"
    )
    frame = read_interactions(path)
    assert frame["user"].to_list() == ["然潘", "更深的白色"]
    assert frame["item"].to_list() == ["Avengers Age of Ultron", "Big Fish"]
    assert frame["time"].to_list() == [1431475200 * 10**9, 1429833600 * 10**9]


def test_columns_may_be_named_and_time_may_be_missing(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("who,what,n\na,x,2\na,y,1\n")
    assert read_interactions(path, "who", "what", "n").rows() == [("a", "x", 2 * 10**9), ("a", "y", 10**9)]
    assert read_interactions(path, "who", "what")["time"].to_list() == [None, None]


def test_ids_stay_text_as_written(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("user_id,item_id\n007,1.0\n7,1\nNA,null\n")
    with pytest.raises(DataError, match=r"row 4: the user 'NA' .*--missing drop"):
        read_interactions(path)
    assert read_interactions(path, missing="drop").select("user", "item").rows()[2] == (None, None)
    frame = read_interactions(path, missing="keep")
    assert frame.select("user", "item").rows() == [("007", "1.0"), ("7", "1"), ("NA", "null")]


@pytest.mark.parametrize(
    "time",
    [
        "2020-01-02",
        "2020-01-02T00:00:00Z",
        "2020-01-02 00:00:00",
        "2020-01-02T01:00:00+01:00",
        "2020-01-02 00:00",
        "2020-01-02 00:00:00 UTC",
    ],
)
def test_iso_times_are_nanoseconds(tmp_path, time):
    path = tmp_path / "log.csv"
    path.write_text(f"user_id,item_id,timestamp\na,x,{time}\n")
    assert read_interactions(path)["time"].to_list() == [1577923200 * 10**9]


def test_empty_last_fields_are_no_missing_ones(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text('user_id,item_id,note\na,x,\nb,y,""\n\nc,"z\n",seen\nd,w,\n')
    assert read_interactions(path).select("user", "item").rows() == [("a", "x"), ("b", "y"), ("c", "z\n"), ("d", "w")]


def test_quotes_in_a_tab_separated_text_are_characters(tmp_path):
    path = tmp_path / "log.tsv"
    path.write_text('user_id\titem_id\n"Hey" you\ta\n"\tb\n')
    assert read_interactions(path)["user"].to_list() == ['"Hey" you', '"']


def test_nanoseconds_are_told_apart(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("user_id,item_id,timestamp\n" + "".join(f"a,x,160000000000000000{n}\n" for n in range(5)))
    assert read_interactions(path)["time"].n_unique() == 5


def write(content):
    def to(path):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return to


HEAD = "user_id,item_id,timestamp\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.csv", None, "no such file; check the path"),
        ("log.csv", "", "the file is empty; expected one interaction per line"),
        ("log.csv", "  \n", "the file is empty"),
        ("log.csv", HEAD, "a header and no rows"),
        ("log.csv", "who,what\na,b\n", "no column 'user_id'; the columns are who, what; name it by --user"),
        ("log.csv", "user_id,film\na,b\n", "no column 'item_id'; the columns are user_id, film; name it by --item"),
        ("log.csv", HEAD + "a,x,1\nb,y,2,3\n", "log.csv, row 3: its number of fields differs from the first row's"),
        ("log.csv", HEAD + "a,x,1\nb,y\nc,z,3\n", "log.csv, row 3: fewer fields than the 3 columns; one interaction"),
        ("log.csv", HEAD + "a,x,1\nb,y\n", "log.csv, row 3: fewer fields than the 3 columns"),
        ("log.csv", "user_id,item_id,stars\na,x,\n\nb,y\n", "log.csv, row 4: fewer fields than the 3 columns"),
        ("log.csv", HEAD + 'a,"x\ny",1\nb,"p,q"\n', "log.csv, row 3: fewer fields than the 3 columns"),
        ("log.tsv", "user_id\titem_id\tstars\na\tx\t1\nb\ty\n", "log.tsv, row 3: fewer fields than the 3 columns"),
        ("ratings.dat", "1::2::3::4\n1::2::3\n", "ratings.dat, row 2: fewer fields than the 4 columns"),
        ("log.csv", HEAD + 'a,"x\ny",1\nb,y,\n', "log.csv, row 3: no time; leave such rows out by --where"),
        ("log.csv", HEAD + "a,x,1\nb,y,soon\n", "log.csv, row 3: the time 'soon' is neither a number nor an ISO date"),
        ("log.csv", HEAD + "a,x,1\nb,y,NaN\n", "log.csv, row 3: the time 'NaN' is neither a number"),
        ("log.csv", HEAD + "a,x,1\nb,y,\n", "log.csv, row 3: no time"),
        ("log.csv", HEAD + 'a,"x\ny",1\nb,"p,q",2\nc,z,3,4\n', "log.csv, row 4: its number of fields differs"),
        ("log.csv", HEAD + ",,\n\n", "every row is empty"),
        ("x.inter", "user_id:token\titem_id:token\titem_id:float\na\tb\t1\n", "the column 'item_id' occurs twice"),
        ("log.csv", HEAD + "a,x,inf\n", "log.csv, row 2: the time 'inf' is neither a number"),
        ("log.csv", HEAD.encode() + b"a,x,1\na,caf\xe9,2\n", "log.csv, line 3: not UTF-8 (byte 0xe9);"),
        ("log.csv.gz", gzip.compress(table(",").encode() * 50, mtime=0)[:-30], "the gzip file is truncated or damaged"),
        ("log.csv.gz", b"no gzip", "the gzip file is truncated or damaged"),
        ("log.parquet", b"PAR1 no", "not a readable Parquet file"),
        ("ratings.dat", "1::2::3\n", "expected 4 fields, UserID, MovieID, Rating, Timestamp, found 3"),
        ("x_totalCheckins.txt", "a\tb\n", "expected 5 fields, user, time, latitude, longitude, location, found 2"),
        ("ratings.dat", "1::2::3::4\n1::2::3::x\n", "ratings.dat, row 2: the time 'x' is neither a number"),
        ("log.json", "{}", "no column 'user_id'; the columns are none; name it by --user"),
        ("log.xlsx", "PK\x03\x04", "a zip archive; unpack it"),
        ("log.bin", "a\0b", "no format matches this file; convert it to CSV or Parquet"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_with_file_and_row(tmp_path, name, content, message):
    if content is not None:
        write(content)(tmp_path / name)
    with pytest.raises(DataError) as raised:
        read_interactions(tmp_path / name)
    assert message in str(raised.value) and str(tmp_path / name) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_folder_and_an_unknown_format_are_refused(tmp_path):
    with pytest.raises(DataError, match="a folder; give the files inside it"):
        read_interactions(tmp_path)
    csv(tmp_path / "log.csv")
    with pytest.raises(DataError, match="format 'xml' is unknown; choose one of csv, tsv"):
        read_interactions(tmp_path / "log.csv", format="xml")


def test_a_missing_named_time_column_lists_what_is_there(tmp_path):
    csv(tmp_path / "log.csv")
    with pytest.raises(
        DataError, match=r"no column 'when'; the columns are user_id, item_id, timestamp, rating; .* --time"
    ):
        read_interactions(tmp_path / "log.csv", time="when")


def test_a_named_time_column_that_is_empty_is_refused(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("user_id,item_id,when\na,x,\na,y,\n")
    with pytest.raises(DataError, match="the column 'when' is empty; use the order of the rows by --time none"):
        read_interactions(path, time="when")


@pytest.mark.parametrize("column", ["user_id", "timestamp"])
def test_parquet_columns_that_are_no_text_are_refused(tmp_path, column):
    frame = pl.DataFrame({"user_id": ["a"], "item_id": ["x"], "timestamp": [1]})
    odd = pl.Series([[1, 2]]) if column == "user_id" else pl.Series([1]).cast(pl.Duration("us"))
    frame.with_columns(odd.alias(column)).write_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError) as raised:
        read_interactions(tmp_path / "log.parquet")
    assert "\n" not in str(raised.value) and "log.parquet" in str(raised.value)


def test_rows_of_parquet_count_from_one(tmp_path):
    pl.DataFrame({"user_id": ["a", "b", None], "item_id": ["x", "NA", "y"]}).write_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError, match=r"log\.parquet, row 2: the item 'NA'"):
        read_interactions(tmp_path / "log.parquet")


@pytest.mark.parametrize("name", ["time", "Timestamp", "Time", "datetime", "unixReviewTime", "date"])
def test_a_column_that_can_only_be_the_time_is_used(tmp_path, name):
    path = tmp_path / "log.csv"
    path.write_text(f"user_id,item_id,{name}\nu,a,3\nu,b,2\nu,c,1\n")
    assert read_interactions(path)["time"].to_list() == [3 * 10**9, 2 * 10**9, 10**9]
    assert read_interactions(path, time="none")["time"].to_list() == [None] * 3


@pytest.mark.parametrize(
    ("columns", "row"),
    [("release_date", "1"), ("date,time", "2020-01-01,12:00"), ("x", "2020-01-01"), ("x", "1600000000")],
)
def test_columns_that_may_be_the_time_are_refused(tmp_path, columns, row):
    path = tmp_path / "log.csv"
    path.write_text(f"user_id,item_id,{columns}\nu,a,{row}\n")
    with pytest.raises(DataError, match=f"name it by --time {columns.split(',')[0]}, or .* by --time none"):
        read_interactions(path)
    assert read_interactions(path, time="none")["time"].to_list() == [None]


HEADERLESS = "A1,B0,5.0,30\nA1,B1,5.0,10\nA1,B2,1.0,20\nA2,B0,3.0,1\nA2,B2,3.0,2\nA2,B1,3.0,3\n"


def test_files_without_header(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(HEADERLESS)
    for names in ({}, {"user": "A1", "item": "B0", "time": "30"}):
        with pytest.raises(DataError, match=r"looks like data .* --no-header --user N --item N --time N"):
            read_interactions(path, **names)
    frame = read_interactions(path, "1", "2", "4", header=False)
    assert frame.rows()[0] == ("A1", "B0", 30 * 10**9) and len(frame) == 6
    path.write_text("A1,B0\nA1,B1\n")
    with pytest.raises(DataError, match="looks like data"):
        read_interactions(path, "A1", "B0")
    path.write_text(HEADERLESS.replace(",", ";"))
    assert read_interactions(path, "1", "2", "4", header=False, separator=";").rows() == frame.rows()


def test_headers_are_stripped_and_have_no_column_twice(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("user_id, item_id , timestamp\na,x,1\n")
    assert read_interactions(path).rows() == [("a", "x", 10**9)]
    path.write_text("user_id,user_id,item_id\na,b,x\n")
    with pytest.raises(DataError, match="the column 'user_id' occurs twice"):
        read_interactions(path)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["1600000000", "1600000000.000000001"], [1600000000 * 10**9, 1600000000 * 10**9 + 1]),
        (["1600000000123", "1"], [1600000000123 * 10**6, 10**6]),
        (["1600000000123456789", "1"], [1600000000123456789, 1]),
        (["1.6e9", "1"], [1600000000 * 10**9, 10**9]),
        (["2020-01-02T00:00:00.123456789Z", "2020-01-02"], [1577923200123456789, 1577923200 * 10**9]),
    ],
)
def test_times_are_exact_nanoseconds(tmp_path, times, expected):
    path = tmp_path / "log.csv"
    path.write_text(HEAD + "".join(f"a,x,{time}\n" for time in times))
    assert read_interactions(path)["time"].to_list() == expected


@pytest.mark.parametrize(
    "time", ["99999999999999999999", "1600000000.0000000001", "2020-01-02T00:00:00.1234567891", "2300-01-01"]
)
def test_times_that_do_not_fit_are_refused(tmp_path, time):
    path = tmp_path / "log.csv"
    first = "2020-01-01" if "-" in time else "1"
    path.write_text(HEAD + f"a,x,{first}\na,y,{time}\n")
    with pytest.raises(DataError, match=r"row 3: the time .* does not fit 64-bit nanoseconds"):
        read_interactions(path)


def test_dates_by_format(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(HEAD + "a,x,01/02/2020\na,y,12/31/1999\n")
    frame = read_interactions(path, time_format="%m/%d/%Y")
    assert frame["time"].to_list() == [1577923200 * 10**9, 946598400 * 10**9]
    with pytest.raises(DataError, match="row 3: the time '12/31/1999' does not have the format"):
        read_interactions(path, time_format="%d/%m/%Y")


def test_parquet_nanoseconds_float_ids_and_nan(tmp_path):
    path = tmp_path / "log.parquet"
    moments = pl.Series([1577923200123456789, 1577923200123456788, 1]).cast(pl.Datetime("ns"))
    pl.DataFrame(
        {"user_id": [1.0, 10.0, 2.0], "item_id": [3.0, 4.0, float("nan")], "timestamp": moments}
    ).write_parquet(path)
    assert read_interactions(path).rows() == [
        ("1", "3", 1577923200123456789),
        ("10", "4", 1577923200123456788),
        ("2", None, None),  # to be dropped
    ]


@pytest.mark.parametrize(("encoding", "mark"), [("utf-8", b""), ("utf-8", b"\xef\xbb\xbf"), ("latin-1", b"")])
def test_ratings_dat_in_either_encoding(tmp_path, encoding, mark):
    path = tmp_path / "ratings.dat"
    path.write_bytes(mark + "é1::a::5::1\n".encode(encoding))
    assert read_interactions(path).rows() == [("é1", "a", 10**9)]
