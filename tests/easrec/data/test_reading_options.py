"""Separators, conditions, lists, several files, one line per user, and what is recognised."""

from datetime import datetime

import polars as pl
import pytest

from easrec.data import Columns, read_frame, read_interactions
from easrec.data.readers import read, resolved
from elasticnas.errors import ConfigError, DataError, ElasticNASError


def rows(path, *given, **options):
    return [*read_interactions(path, *given, **options).select("user", "item").rows()]


PAIRS = [("u", "a"), ("u", "b c"), ("v", "a")]
JSON = """{"user": {"id": "u"}, "item": "a"}

{"user": {"id": "u"}, "item": "b c"}
{"user": {"id": "v"}, "item": "a"}"""


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("x.csv", "user_id;item_id\nu;a\nu;b c\nv;a\n", {}),
        ("x.csv", "user_id|item_id\nu|a\nu|b c\nv|a\n", {}),
        ("x.csv", "user_id\titem_id\nu\ta\nu\tb c\nv\ta\n", {}),
        ("x.txt", "user_id::item_id\nu::a\nu::b c\nv::a\n", {}),
        ("x.tsv", "user_id,item_id\nu,a\nu,b c\nv,a\n", {}),
        ("x.log", 'user_id,item_id\nu,a\nu,"b c"\nv,a\n', {}),
        ("x.csv", "user_id%%item_id\nu%%a\nu%%b c\nv%%a\n", {"separator": "%%"}),
        ("x.csv", "\ufeff User_ID , itemId\nu,a\nu,b c\nv,a\n", {}),
        ("x.csv", "u,a\nu,b c\nv,a\n", {"header": False, "user": "1", "item": "2"}),
        ("x.json", JSON, {"user": "user.id"}),
    ],
)  # fmt: skip
def test_layouts_are_recognised(tmp_path, name, text, options):
    (tmp_path / name).write_text(text)
    assert rows(tmp_path / name, **options) == PAIRS


def test_repeated_blanks_are_a_separator(tmp_path):
    (tmp_path / "x.txt").write_text("  user_id   item_id  timestamp\nu  a\t 3 \r\nu b  1\n")
    found = read_interactions(tmp_path / "x.txt", separator="blanks")
    assert found.rows() == [("u", "a", 3 * 10**9), ("u", "b", 10**9)]


def test_one_line_per_user(tmp_path):
    (tmp_path / "x.txt").write_text("1 10 20 30\n2 20\n\n7 30 10\n")
    expected = [("1", "10"), ("1", "20"), ("1", "30"), ("2", "20"), ("7", "30"), ("7", "10")]
    assert rows(tmp_path / "x.txt") == expected
    (tmp_path / "x.txt").write_text("u:a:b\nv:c\n")
    assert rows(tmp_path / "x.txt", format="user-lines", separator=":") == [("u", "a"), ("u", "b"), ("v", "c")]
    (tmp_path / "x.txt").write_text("1 10 20 30\n2\n")
    # users without items, as in lists of test items
    assert rows(tmp_path / "x.txt", format="user-lines")[-1] == ("2", None)


def test_a_table_with_a_short_row_is_not_one_line_per_user(tmp_path):
    for text in ("user_id\titem_id\nu\ta\nv\n", "user_id item_id\n1 2\n3 4 5\n", "u1 10 20\nu2 20\n"):
        (tmp_path / "x.txt").write_text(text)
        with pytest.raises(DataError):
            rows(tmp_path / "x.txt")


TABLE = "user_id,item_id,rating,event\nu,a,5,view\nu,b,3.5,buy\nu,c,,view\nv,d,4,View\nv,e,10,view\n"


@pytest.mark.parametrize(
    ("where", "items"),
    [
        (["rating >= 4"], "ade"),
        (["rating>4"], "ae"),
        (["rating == 3.5"], "b"),
        (["rating != 10"], "abd"),
        (["event == 'view'"], "ace"),
        (['"event" != "view"'], "bd"),
        (["event == 'view'", "rating < 10"], "a"),
        (["event == 'buy'"], "b"),
        (["item_id >= 'c'"], "cde"),
    ],
)
def test_conditions(tmp_path, where, items):
    (tmp_path / "x.csv").write_text(TABLE)
    found = read([[tmp_path / "x.csv"]], Columns(where=tuple(where)))
    assert found.frame["item"].to_list() == list(items) and found.left_out == 5 - len(items)
    frame = pl.read_csv(tmp_path / "x.csv")
    assert read_frame(frame, where=where)["item"].to_list() == list(items)


def test_conditions_that_cannot_be_decided_are_refused(tmp_path):
    (tmp_path / "x.csv").write_text(TABLE)
    for where, kind, message in (
        ("rating", ConfigError, 'write a comparison such as "rating >= 4"'),
        ("event == view", ConfigError, "view is no number; put text in quotes: \"event == 'view'\""),
        ("stars > 3", DataError, "no column 'stars'; the columns are user_id, item_id, rating, event"),
        ("event > 3", DataError, r"row 2: --where 'event > 3' compares numbers, and 'view' is none"),
        ("rating > 90", DataError, "none of the 5 rows satisfies --where 'rating > 90'"),
    ):
        with pytest.raises(kind, match=message):
            rows(tmp_path / "x.csv", where=[where])


def test_large_integers_are_compared_exactly(tmp_path):
    (tmp_path / "x.csv").write_text("user_id,item_id\nu,9007199254740993\nu,9007199254740992\n")
    assert rows(tmp_path / "x.csv", where=["item_id == 9007199254740993"]) == [("u", "9007199254740993")]


def test_lists_in_parquet_and_frames(tmp_path):
    frame = pl.DataFrame(
        {
            "user_id": ["u", "v", "w"],
            "item_id": [[1, 2], [3], []],
            "timestamp": [[20, 10], [5], []],
            "kind": [["x", "y"], ["x"], []],
        }
    )
    frame.write_parquet(tmp_path / "x.parquet")
    expected = [("u", "1", 20 * 10**9), ("u", "2", 10 * 10**9), ("v", "3", 5 * 10**9)]
    for found in (read_interactions(tmp_path / "x.parquet"), read_frame(frame)):
        assert found.filter(pl.col("item").is_not_null()).rows() == expected
    assert rows(tmp_path / "x.parquet", where=["kind == 'x'"]) == [("u", "1"), ("v", "3")]
    with pytest.raises(DataError, match="row 1: lists of 2 and 1 entries in 'item_id' and 'timestamp'"):
        read_frame(frame.with_columns(timestamp=pl.Series([[1], [5], []])))
    with pytest.raises(DataError, match="share one time in 'timestamp'; give each its time"):
        read_frame(frame.with_columns(timestamp=pl.Series([1, 2, 3])))
    assert len(read_frame(frame.with_columns(timestamp=pl.Series([1, 2, 3])), time="none").drop_nulls("item")) == 3
    with pytest.raises(DataError, match="'timestamp' contains lists, 'item_id' does not"):
        read_frame(frame.with_columns(item_id=pl.Series([1, 2, 3])))


def test_structs_in_parquet(tmp_path):
    frame = pl.DataFrame(
        {
            "who": [{"id": "u", "age": 3}, {"id": "v", "age": 4}],
            "events": [[{"item": "a", "at": 2}, {"item": "b", "at": 1}], [{"item": "c", "at": 9}]],
        }
    )
    frame.write_parquet(tmp_path / "x.parquet")
    found = read_interactions(tmp_path / "x.parquet", "who.id", "events.item", "events.at")
    assert found.rows() == [("u", "a", 2 * 10**9), ("u", "b", 10**9), ("v", "c", 9 * 10**9)]


def test_token_sequences_of_recbole(tmp_path):
    (tmp_path / "x.inter").write_text("user_id:token\titem_id_list:token_seq\nu\ta b c\nv\td\n")
    assert rows(tmp_path / "x.inter", item="item_id_list") == [("u", "a"), ("u", "b"), ("u", "c"), ("v", "d")]


def test_several_files_and_patterns(tmp_path):
    for name, text in (("p-2.csv", "user_id,item_id\nv,x\n"), ("p-1.csv", "user_id,item_id\nu,a\n")):
        (tmp_path / name).write_text(text)
    (tmp_path / "q.jsonl").write_text('{"user_id": "u", "item_id": "b"}\n')
    files = [tmp_path / "p-*.csv", tmp_path / "q.jsonl"]
    assert rows(files) == [("u", "a"), ("v", "x"), ("u", "b")]
    described = read([resolved(files)], Columns()).description
    assert described == (
        "2 files as csv (separator ','), user user_id, item item_id, no time; "
        "jsonl, user user_id, item item_id, no time"
    )
    with pytest.raises(DataError, match="no file matches"):
        rows(tmp_path / "r-*.csv")
    with pytest.raises(DataError, match="given twice"):
        rows([tmp_path / "q.jsonl", tmp_path / "*.jsonl"])


def test_a_time_in_one_file_only_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("user_id,item_id,timestamp\nu,a,1\n")
    (tmp_path / "b.csv").write_text("user_id,item_id\nu,b\n")
    with pytest.raises(DataError, match=r"b.csv, row 2: no time"):
        rows([tmp_path / "a.csv", tmp_path / "b.csv"])
    (tmp_path / "b.csv").write_text("user_id,item_id,timestamp\nu,b,2020-01-01\n")
    with pytest.raises(DataError, match=r"b.csv, row 2: the time '2020-01-01' is one of dates and numbers"):
        rows([tmp_path / "a.csv", tmp_path / "b.csv"])


def test_times_of_several_files_have_one_unit(tmp_path):
    (tmp_path / "a.csv").write_text("user_id,item_id,timestamp\nu,a,1500\n")
    (tmp_path / "b.csv").write_text("user_id,item_id,timestamp\nu,b,1600000000000\n")
    found = read([[tmp_path / "a.csv", tmp_path / "b.csv"]], Columns())
    # the second can only be milliseconds, so the first are too
    assert found.frame["time"].to_list() == [1_500 * 10**6, 1_600_000_000_000 * 10**6]
    assert found.description.endswith("in milliseconds")


def test_decimal_times_are_exact(tmp_path):
    (tmp_path / "a.csv").write_text("user_id,item_id,timestamp\nu,a,1600000000.123456789\nu,b,-0.5\nu,c,3.\nu,d, 7 \n")
    found = read_interactions(tmp_path / "a.csv")["time"].to_list()
    assert found == [1_600_000_000_123_456_789, -500_000_000, 3_000_000_000, 7_000_000_000]


def test_options_that_do_not_fit_a_format_are_refused(tmp_path):
    (tmp_path / "u.data").write_text("1\t2\t3\t4\n")
    with pytest.raises(DataError, match=r"--no-header is for delimited text, not for u\.data"):
        rows(tmp_path / "u.data", header=False)
    with pytest.raises(DataError, match=r"--separator is for delimited text, not for u\.data"):
        rows(tmp_path / "u.data", separator=";")
    with pytest.raises(ConfigError, match="--separator ''"):
        rows(tmp_path / "u.data", separator="")
    with pytest.raises(ConfigError, match="--encoding 'klingon' is unknown"):
        rows(tmp_path / "u.data", encoding="klingon")


LISTS = "user_id\titem_ids\tts\nu\t[1, 2,3]\t7,8,9\nv\t[]\t\nw\t['5']\t3\n"


def test_lists_in_cells_need_a_separator(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text(LISTS)
    with pytest.raises(DataError, match=r"look like lists of items; give what separates them by --item-separator"):
        rows(path, item="item_ids", time="none")
    found = read_interactions(path, item="item_ids", time="ts", item_separator=",").drop_nulls("item")
    assert found.rows() == [*[("u", str(k), (k + 6) * 10**9) for k in (1, 2, 3)], ("w", "5", 3 * 10**9)]
    assert len(rows(path, item="item_ids", time="none", item_separator="none")) == 3
    path.write_text("1\tU1\t11/11/2019 9:05:58 AM\tN55189 N42782\n2\tU2\t11/12/2019 6:11:30 PM\tN31739\n")
    impressions = {"user": "2", "item": "4", "header": False, "item_separator": " "}
    assert rows(path, **impressions, time="none") == [("U1", "N55189"), ("U1", "N42782"), ("U2", "N31739")]
    with pytest.raises(DataError, match="share one time in '3'"):
        rows(path, **impressions, time="3")


def test_titles_and_ids_with_numbers_are_no_lists(tmp_path):
    titles = ["Toy Story (1995)", "Alien 3", "Heat", "B00005JHHT", "34-a:5"]
    (tmp_path / "x.csv").write_text("user_id,item_id\n" + "".join(f"u,{title}\n" for title in titles))
    assert [item for _, item in rows(tmp_path / "x.csv")] == titles


def test_an_empty_column_of_times_is_refused(tmp_path):
    (tmp_path / "x.csv").write_text("user_id,item_id,timestamp\nu,a,\nu,b,\n")
    with pytest.raises(DataError, match="the column 'timestamp' is empty; use the order of the rows by --time none"):
        rows(tmp_path / "x.csv")
    assert rows(tmp_path / "x.csv", time="none") == [("u", "a"), ("u", "b")]


def test_columns_of_json_lines_may_come_and_go(tmp_path, monkeypatch):
    from easrec.data import blocks

    monkeypatch.setattr(blocks, "_BLOCK", 40)
    lines = ['{"user_id": 1, "item_id": 2, "kind": "a"}', '{"user_id": 1, "item_id": 3}', '{"item_id": 4}']
    (tmp_path / "x.jsonl").write_text("\n".join(lines))
    assert rows(tmp_path / "x.jsonl") == [("1", "2"), ("1", "3"), (None, "4")]
    assert rows(tmp_path / "x.jsonl", where=["kind == 'a'"]) == [("1", "2")]
    (tmp_path / "x.jsonl").write_text('{"user_id": 1, "user_id": 2, "item_id": 3}')
    with pytest.raises(DataError, match=r"row 1: not valid JSON \(a name occurs twice"):
        rows(tmp_path / "x.jsonl")


CSV = "user_id,item_id,rating\nu,a,5\nu,b,2\n"


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        (CSV, {"where": "rating >= 4 and rating < 5"}, "one comparison each, .*; repeat --where"),
        (CSV, {"where": "rating >= 4 or user_id == 'u'"}, "one comparison each"),
        (CSV, {"where": "rating >= 4 && rating < 5"}, "one comparison each"),
        (CSV, {"where": "rating >= 4 & rating < 5"}, "one comparison each"),
        (CSV, {"where": "user_id == 'u' AND rating < 5"}, "one comparison each"),
        (CSV, {"separator": ";"}, "the separator ';' separates nothing; correct --separator, or leave it out"),
        ("u,a\nu,b\n", {"header": False}, "no column 'user_id'; the columns are 1, 2; name it by position: --user 1"),
        ("u,a\nu,b\n", {"header": False, "user": "1"}, "no column 'item_id'; .*name it by position: --item 1"),
        (CSV, {"user": ""}, "--user is empty; give the name of a column"),
        (CSV, {"time": ""}, "--time is empty"),
    ],
)
def test_errors_say_the_way_out(tmp_path, text, given, message):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(ElasticNASError, match=message):
        read_interactions(tmp_path / "x.csv", **given)


@pytest.mark.parametrize(
    ("where", "kept"), [("event == 'view and buy'", "a"), ("event == 'a or b == c'", "b"), ("event != 'x'", "ab")]
)
def test_words_in_quotes_join_nothing(tmp_path, where, kept):
    (tmp_path / "x.csv").write_text("user_id,item_id,event\nu,a,view and buy\nu,b,a or b == c\n")
    assert "".join(item for _, item in rows(tmp_path / "x.csv", where=where)) == kept


def test_nan_is_a_missing_value_in_conditions():
    frame = pl.DataFrame({"user_id": "u", "item_id": ["a", "b", "c"], "rating": [5.0, float("nan"), 1.0]})
    assert read_frame(frame, where="rating >= 4")["item"].to_list() == ["a"]
    assert read_frame(frame, where="rating != 5")["item"].to_list() == ["c"]


def test_prepared_data_is_not_prepared_again(tmp_path):
    from easrec.source import Source

    with pytest.raises(ElasticNASError, match=r"x.npz: is prepared already; give it to --data of run"):
        Source(tmp_path / "x.npz").read(0, 0)


def conditioned(values, where, kind=None):
    frame = pl.DataFrame({"user_id": "u", "item_id": list("abcde"[: len(values)]), "x": pl.Series(values, dtype=kind)})
    return "".join(read_frame(frame, time="none", where=where)["item"].to_list())


DECIMALS = ["4.0", "4.5", "3.5", "4.2", "5.0"]
HOURS = [datetime(2026, 1, 1, hour) for hour in (1, 5, 8, 12)]


@pytest.mark.parametrize(
    ("values", "kind", "where", "kept"),
    [
        (DECIMALS, pl.Decimal(4, 2), "x == 4", "a"),
        (DECIMALS, pl.Decimal(4, 2), "x <= 4", "ac"),
        (DECIMALS, pl.Decimal(4, 2), "x > 4", "bde"),
        (DECIMALS, pl.Decimal(4, 2), "x >= 4.2", "bde"),
        (DECIMALS, pl.String, "x > 4", "bde"),
        ([4.1, 4.1, 3.0], pl.Float32, "x >= 4.1", "ab"),
        ([4.1, 4.1, 3.0], pl.Float32, "x < 4.1", "c"),
        (HOURS, None, "x > '2026-01-01T04:00:00'", "bcd"),
        (HOURS, None, "x > '2026-01-01 04:00'", "bcd"),
        (HOURS, None, "x < '2026-01-01T05:00:00+01:00'", "a"),
        (HOURS, None, "x == '2026-01-01T08:00:00'", "c"),
        (["2026-01-01 05:00", "2026-01-01T03:00", "NA"], pl.String, "x > '2026-01-01T04:00'", "a"),
        (["10", "9", "b"], pl.String, "x == '10'", "a"),
        (["5", "NA", ""], pl.String, "x >= 4", "a"),
        ([1, 2], None, "x < 99999999999999999999", "ab"),
        ([2**60 + 1, 2**60], None, f"x == {2**60}", "b"),
        ([str(2**53 + 1), str(2**53), "NA"], pl.String, f"x == {2**53 + 1}", "a"),
        ([2**63, 2**63 + 1], pl.UInt64, f"x == {2**63}", "a"),
        ([3, 4, 5, 10], None, "x >= '4'", "bcd"),
        (["3", "4", "10"], pl.String, "x >= '4'", "bc"),
        ([1.0, 4.0], None, "x != '4'", "a"),
        ([1.0, 4.0], None, "x == '4'", "b"),
        ([True, False], None, "x != 'False'", "a"),
        ([True, False], None, "x == 'true'", "a"),
        (["3", "5"], pl.Categorical, "x >= 4", "b"),
    ],
)
def test_comparisons_are_of_numbers_and_times(values, kind, where, kept):
    assert conditioned(values, where, kind) == kept


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("x != 'a', x != 'b'", "one comparison each"),
        ("x != 'a'; x != 'b'", "one comparison each"),
        ("x >= 4, x < 5", "one comparison each"),
        ("x < nan", "nan is no number; put text in quotes"),
        ("x >= '1998-01-01'", "x holds numbers; compare with a number, such as 4"),
        ("x == 'a'", "x holds numbers; compare with a number, such as 4"),
        ("x < inf", "inf is no number"),
        ("x = 4", "write a comparison such as"),
        ("a" + " " * 100_000 + "b", "write a comparison such as"),
        ("'a>b' >= 4", "no column 'a>b'"),
        (5, "5 is neither text nor a list of texts"),
    ],
)
def test_conditions_that_are_none_are_refused(where, message):
    with pytest.raises(ElasticNASError, match=message):
        conditioned([1, 2], where)


def test_comparisons_with_what_is_no_number_or_date():
    with pytest.raises(DataError, match=r"compares numbers, and '5,0' is none; write numbers as 4 or 4.5"):
        conditioned(["5,0", "4"], "x >= 4", pl.String)
    with pytest.raises(DataError, match="compares dates, and 'soon' is none; write dates as 2026-01-31"):
        conditioned(["soon", "2026-01-01"], "x >= '2026-01-01'", pl.String)
    for near in ("2026-1-31", "2026-01-31 5:00", "01/31/2026"):
        with pytest.raises(ConfigError, match="x is compared with dates; write an ISO date"):
            conditioned(["2026-01-30", "2026-12-01"], f"x >= '{near}'", pl.String)
    with pytest.raises(ConfigError, match="x is compared with dates; write an ISO date, such as"):
        conditioned(HOURS, "x >= 'soon'")


def test_a_column_with_a_sign_in_its_name():
    frame = pl.DataFrame({"user_id": "u", "item_id": ["a", "b"], "a>b": [3, 5]})
    assert read_frame(frame, where="'a>b' >= 4")["item"].to_list() == ["b"]
