"""Raw formats of further public datasets and of common tools, written here: the sequences that result, or the error."""

import bz2
import csv
import datetime as dt
import gzip
import lzma

import pandas as pd
import polars as pl
import pytest

from easrec.data import prepare, read_frame, read_interactions
from easrec.data.tables import Dialect, distinct
from easrec.source import Source
from elasticnas.errors import ElasticNASError

HEAD = "user_id,item_id,timestamp\n"
ABC = {"1": ["a", "b", "c"]}


def sequences(frame, **options):
    data = prepare(frame, **options)
    return {
        user: [data.item_ids[item] for item in data.items[data.offsets[u] : data.offsets[u + 1]]]
        for u, user in enumerate(data.user_ids)
    }


def written(folder, files):
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return [folder / name for name in files]


def positions(user, item, time):
    return {"header": False, "user": user, "item": item, "time": time}


RIGHT = {
    # Taobao: user, item, category, behaviour, seconds; no header
    "taobao": (
        {"UserBehavior.csv": "1,a,9,pv,1511544070\n1,c,9,buy,1511572885\n1,b,9,pv,1511561733\n"},
        positions("1", "2", "5"),
    ),
    # Tmall: months and days as numbers
    "tmall": ({"log.csv": "user_id,item_id,cat_id,time_stamp\n1,b,1,829\n1,a,1,0511\n1,c,1,1111\n"}, {}),
    # Tianchi: dates with the hour only
    "tianchi": (
        {"x.csv": "user_id,item_id,geohash,time\n1,b,,2014-12-06 10\n1,a,,2014-12-06 02\n1,c,,2014-12-08 08\n"},
        {"time_format": "%Y-%m-%d %H"},
    ),
    "rees46": (
        {
            "2019-Oct.csv": "event_time,event_type,product_id,category_id,user_id,user_session\n"
            "2019-10-01 00:00:01 UTC,view,b,2,1,s\n2019-10-01 00:00:00 UTC,view,a,2,1,s\n"
            "2019-10-01 00:00:04 UTC,view,c,2,1,s\n"
        },
        {},
    ),
    "kuairec": (
        {
            "big_matrix.csv": "user_id,video_id,time,date,timestamp\n"
            "1,b,2020-07-05 00:08:23.438,20200705,1593878903.438\n1,a,2020-07-05 00:08:23.4,20200705,1593878903.4\n"
            "1,c,2020-07-05 00:08:23.5,20200705,1593878903.5\n"
        },
        {},
    ),
    # Steam-200k: plays and purchases of user, game
    "steam-200k": (
        {"steam.csv": '1,"x, y",purchase,1,0\n1,a,play,1,0\n1,b,play,2,0\n1,c,play,2,0\n'},
        {"header": False, "user": "1", "item": "2", "time": "none", "where": "3 == 'play'"},
    ),
    # HetRec: one row for each tag; milliseconds, also before 1970
    "hetrec": (
        {
            "user_taggedartists-timestamps.dat": "userID\tartistID\ttagID\ttimestamp\n1\tb\t13\t1238536800000\n"
            "1\ta\t15\t-428720400000\n1\tb\t14\t1238536800000\n1\tc\t14\t1238536800001\n"
        },
        {},
    ),
    "movietweetings": ({"ratings.dat": "1::a::8::1381620027\n1::c::8::1381620029\n1::b::7::1381620028\n"}, {}),
    "goodreads": (
        {
            "x.json": '{"user_id":"1","book_id":"b","date_added":"Fri Sep 09 10:00:00 -0700 2016"}\n'
            '{"user_id":"1","book_id":"a","date_added":"Fri Sep 09 10:30:00 +0000 2016"}\n'
            '{"user_id":"1","book_id":"c","date_added":"Fri Sep 09 22:30:00 +0000 2016"}\n'
        },
        {"time": "date_added", "time_format": "%a %b %d %H:%M:%S %z %Y"},
    ),
    "trivago": (
        {
            "train.csv": "user_id,session_id,timestamp,step,action_type,reference\n"
            "1,s,1541037460,1,clickout item,a\n1,s,1541037461,2,search for poi,Paris\n"
            "1,s,1541037463,4,clickout item,c\n1,s,1541037462,3,clickout item,b\n"
        },
        {"item": "reference", "where": ["action_type == 'clickout item'"]},
    ),
    # Online Retail: commas within quotes, rows without customer, US dates without seconds
    "online-retail": (
        {
            "x.csv": "InvoiceNo,StockCode,Description,InvoiceDate,CustomerID\n"
            '53,b,"W, M",12/1/2010 8:26,1\n53,a,X,12/1/2010 8:16,1\n54,a,X,12/1/2010 9:16,\n53,c,X,12/11/2010 8:16,1\n'
        },
        {"item": "StockCode", "time": "InvoiceDate", "time_format": "%m/%d/%Y %H:%M"},
    ),
    "mind-history": (
        {"behaviors.tsv": "1\t1\t11/11/2019 9:05:58 AM\ta b c\ta-1 d-0\n"},
        {**positions("2", "4", "none"), "item_separator": " "},
    ),
    "excel": ({"x.csv": "\ufeffuser_id;item_id;r;timestamp\r\n1;b;3,5;11\r\n1;a;4,0;10\r\n1;c;4,5;12\r\n"}, {}),
    "excel-without-header": ({"x.csv": "1;b;3,5;11\r\n1;a;4,0;10\r\n1;c;4,5;12\r\n"}, positions("1", "2", "4")),
    "pandas-index": ({"x.csv": ",user_id,item_id,timestamp\n0,1,b,2\n1,1,a,1\n2,1,c,3\n"}, {}),
    "line-breaks-within-quotes": (
        {"x.csv": 'user_id,item_id,title,timestamp\n1,a,"x\n1,z,""y"",9\n",1\n1,b,x,2\n1,c,"q\r\n\r\n",3\n'},
        {},
    ),
    # Book-Crossing, MySQL
    "backslashes": (
        {"x.csv": 'user_id,item_id,title,timestamp\n1,b,"a \\"big\\" disk",2\n1,a,x,1\n1,c,"d, \\"x\\", y",3\n'},
        {},
    ),
    "inches": (
        {"x.csv": 'user_id,item_id,title,timestamp\n1,b,5" disk,2\n1,a,"x, y",1\n\n1,c,6",3\n1,,3" or 3",4\n'},
        {},
    ),
    # rows, not lines, tell the separator
    "semicolons-and-line-breaks": (
        {"x.csv": 'user_id;item_id;title;timestamp\n1;b;"x\ny";2\n1;a;"z, ""w""";1\n1;c;;3\n'},
        {},
    ),
    "utf-16": ({"x.csv": (HEAD + "1,b,2\n1,a,1\n1,c,3\n").encode("utf-16")}, {"encoding": "utf-16"}),
    "shards": (
        {
            "a.csv.gz": gzip.compress((HEAD + "1,c,3\n").encode()),
            "b.csv.bz2": bz2.compress(b"timestamp;item_id;user_id\n1;a;1\n"),
            "c.csv.xz": lzma.compress((HEAD + "1,b,2\r\n").encode()),
        },
        {},
    ),
    "zones": ({"x.csv": HEAD + "1,b,2026-01-01T10:00:00+0100\n1,a,2026-01-01T08:30:00Z\n1,c,2026-01-01 10:00\n"}, {}),
    "decimals-and-exponents": ({"x.csv": HEAD + "1,b,1.5e9\n1,a,1400000000\n1,c,1600000000.5\n"}, {}),
    "negative": ({"x.csv": HEAD + "1,b,-0.5\n1,a,-0.75\n1,c,0\n"}, {}),
    "microseconds": ({"x.csv": HEAD + "1,a,1600000000000000\n1,c,1600000000000002\n1,b,1600000000000001\n"}, {}),
    # 2^53 is less than nanoseconds of today: floats would make them equal
    "nanoseconds-and-an-empty-row": (
        {"x.csv": HEAD + "1,b,1600000000000000002\n1,a,1600000000000000001\n1,c,1600000000000000003\n,x,\n"},
        {},
    ),
    "fractions-as-in-python": (
        {"x.csv": HEAD + "1,b,2019-01-01 10:00:00.25\n1,c,2019-01-01 10:00:00.5\n1,a,2019-01-01 10:00:00.125\n"},
        {"time_format": "%Y-%m-%d %H:%M:%S.%f"},
    ),
    "twelve-hours": (
        {"x.csv": HEAD + "1,b,1/1/2019 09:05:58 AM\n1,c,1/1/2019 12:05:58 PM\n1,a,1/1/2019 12:05:58 AM\n"},
        {"time_format": "%m/%d/%Y %r"},
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_sequences_are_in_order_of_time(tmp_path, name):
    files, options = RIGHT[name]
    assert sequences(read_interactions(written(tmp_path, files), **options)) == ABC


WRONG = {
    "units-of-two-files": (
        {"a.csv": HEAD + "1,a,1600000000\n1,c,1600000009\n", "b.csv": HEAD + "1,b,1600000005000\n"},
        {},
        "a.csv: the column of the time holds milliseconds, .* others that are times of today in a coarser unit",
    ),
    "units-of-two-rows": (
        {"a.csv": HEAD + "1,a,1600000000000\n1,c,1600000009\n1,b,1600000005000000\n"},
        {},
        "holds microseconds, .* and others",
    ),
    "a-time-called-otherwise": (
        {"x.csv": "user_id,item_id,w\n1,a,1600000000000000\n1,c,1600000009000000\n"},
        {},
        "w looks like a time",
    ),
    "dunnhumby": (
        {"x.csv": "household_key,DAY,PRODUCT_ID,TRANS_TIME\n1,3,c,931\n"},
        {"user": "household_key"},
        "DAY, TRANS_TIME look like times",
    ),
    "time-of-day": (
        {"x.csv": HEAD + "1,a,10:00\n"},
        {"time_format": "%H:%M"},
        "--time-format '%H:%M': names no day",
    ),
    "two-conditions-in-one": (
        {"x.csv": "user_id,item_id,event\n1,a,v\n1,b,c\n1,c,x\n"},
        {"where": ["event != 'v' and event != 'c'"]},
        "one comparison each, .*; repeat --where",
    ),
    "hive": ({"x.csv": HEAD + "1,b,2\n\\N,b,2\n"}, {}, r"row 3: the user '\\\\N'"),
    "joined-files": (
        {"x.csv": "user_id,item_id\n1,a\n1,b\nuser_id,item_id\n1,c\n"},
        {},
        "a row repeats the header",
    ),
    "a-header-as-data": (
        {"x.csv": "userId,itemId\n1,a\n1,b\n"},
        {"header": False, "user": "1", "item": "2"},
        "the first row looks like a header or a comment",
    ),
    "konect": (
        {"out.x": "% bip weighted x\n1 b 1 2\n1 a 1 1\n"},
        positions("1", "2", "none"),
        "the first row looks like a header or a comment",
    ),
    "open-quotes": (
        {"x.csv": 'user_id,item_id,title,timestamp\n1,a,"disk,1\n1,b,x,2\n1,c,"disk,3\n1,d,y,4\n'},
        {},
        "and quotes within fields doubled",
    ),
    "few-lists-in-cells": (
        {"x.csv": "user_id,item_id\n1,12\n2,12 7\n3,5\n4,6\n"},
        {},
        "the cells of 'item_id', such as '12 7', look like lists of items",
    ),
    "headerless-words": (
        {"x.csv": "u1,i1\nu2,i2\n"},
        {},
        r"the columns are u1, i1; name it by --user \(in text without header: --no-header --user 1\)",
    ),
    "quotes-over-rows": (
        {"x.csv": 'user_id,item_id,title\n1,a,x\n1,"x,"x"y\n1,b,x"\n'},
        {},
        "quotes within fields make it unclear where rows end",
    ),
    # CiteULike: the number of items, not a user, begins each line
    "citeulike": ({"users.dat": "2 5 6\n2 7 8\n3 1 2 4\n"}, {}, "no column 'user_id'"),
    "blanks-within-ragged-rows": (
        {"x.csv": "user id,x\nu 1,a,b\nu 2,c\n"},
        {"user": "user id", "item": "x"},
        "row 2: its number of fields differs",
    ),
    "a-time-after-an-incomplete-row": ({"x.csv": HEAD + ",a,\n1,a,soon\n"}, {}, "row 3: the time 'soon'"),
    "blank-rows-before-the-header": ({"x.csv": "\n\n" + HEAD + "1,a,1\n1,b,soon\n"}, {}, "row 5: the time 'soon'"),
    "r-tables": (
        {"x.txt": '"user_id"\t"item_id"\n"1"\t"a"\n'},
        {},
        "the fields are quoted, and with tab between them quotes are characters",
    ),
    "recbole-sequences": (
        {"x.train.inter": "user_id:token\titem_id_list:token_seq\titem_id:token\n1\ta\tb\n1\ta b\tc\n"},
        {},
        "each row has a sequence in 'item_id_list' and the item after it",
    ),
    "kuairand": (
        {"x.csv": "user_id,video_id,date,time_ms\n1,b,20220408,1649348213001\n"},
        {},
        "date, time_ms look like times",
    ),
    "netflix": ({"combined_data_1.txt": "1:\n1488844,3,2005-09-06\n2:\n1488844,4,2005-09-06\n"}, {}, "no column"),
    "playlists": ({"mpd.json": '{"playlists":[{"pid":0,"tracks":[{"track_uri":"a"}]}]}\n'}, {}, "no column"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_would_be_read_wrong_is_refused(tmp_path, name):
    files, options, message = WRONG[name]
    with pytest.raises(ElasticNASError, match=message):
        prepare(read_interactions(written(tmp_path, files), **options))


def times(values):
    return {"user_id": [1, 1, 1], "item_id": ["b", "a", "c"], "timestamp": values}


DAYS = [dt.date(2026, 1, day) for day in (2, 1, 3)]
NEW_YORK = pl.Series([dt.datetime(2026, 3, 29, hour) for hour in (2, 1, 3)]).dt.replace_time_zone("America/New_York")
# autumn: the hour from 1 to 2 occurs twice
NIGHT = pd.to_datetime(["2026-10-25T01:05", "2026-10-25T00:10", "2026-10-25T01:10"]).tz_localize("UTC")
FRAMES = {
    "dates": pl.DataFrame(times(DAYS)),
    "time-zone": pl.DataFrame(times(NEW_YORK)),
    "decimals": pl.DataFrame(times(pl.Series(["2.50", "1.25", "3.5"]).cast(pl.Decimal(10, 2)))),
    "enumeration": pl.DataFrame(times([2, 1, 3])).with_columns(pl.col("item_id").cast(pl.Enum(["c", "b", "a"]))),
    "lists": pl.DataFrame({"user_id": [1], "item_id": [["b", "a", "c"]], "timestamp": [DAYS]}),
    # the same hour twice, before and after the change of clocks
    "autumn": pl.DataFrame(times(pl.Series(NIGHT.tz_localize(None)).dt.replace_time_zone("UTC"))).with_columns(
        pl.col("timestamp").dt.convert_time_zone("Europe/Berlin")
    ),
    "pandas-dates": pd.DataFrame(times(DAYS)),
    "pandas-time-zone": pd.DataFrame(times(NIGHT.tz_convert("Europe/Berlin"))),
    "pandas-nullable": pd.DataFrame(times(pd.array([16 * 10**17 + n for n in (2, 1, 3)], dtype="Int64"))),
    "pandas-objects": pd.DataFrame(times(pd.Series([pd.Timestamp(16 * 10**17 + n) for n in (2, 1, 3)], dtype=object))),
    "pandas-categories": pd.DataFrame(times([2, 1, 3])).astype({"user_id": "category", "item_id": "category"}),
    "pandas-without-user": pd.DataFrame(
        {"user_id": [1, 1, 1, None], "item_id": ["b", "a", "c", "d"], "timestamp": [2, 1, 3, 4]}
    ),
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_are_in_order_of_time(name):
    assert sequences(read_frame(FRAMES[name])) == ABC


def test_dates_of_pandas_that_are_objects_are_not_ignored():
    with pytest.raises(ElasticNASError, match="when looks like a time"):
        read_frame(pd.DataFrame(times(DAYS)).rename(columns={"timestamp": "when"}))


def test_a_file_is_read_once_however_it_is_called(tmp_path, monkeypatch):
    (path,) = written(tmp_path, {"a.csv": HEAD + "1,a,1\n"})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ElasticNASError, match=r"a.csv: given twice"):
        read_interactions([path, "*.csv"])
    other = written(tmp_path, {"b.csv": HEAD + "1,b,2\n"})
    with pytest.raises(ElasticNASError, match=r"a.csv: given twice"):
        Source("a.csv", validation=other, test=path).read(0, 0)


def test_files_of_a_pattern_are_sorted_by_name(tmp_path, monkeypatch):
    paths = written(tmp_path, {f"{name}.csv": f"user_id,item_id\n1,{name}\n" for name in "abc"})
    monkeypatch.setattr("easrec.data.readers.glob", lambda *_, **__: [str(path) for path in reversed(paths)])
    assert sequences(read_interactions(tmp_path / "*.csv")) == ABC


def test_floats_that_may_stand_for_several_ids_are_refused():
    frame = pl.DataFrame({"user_id": [1.0], "item_id": [2.0**53]})
    with pytest.raises(ElasticNASError, match="the ids of 'item_id' are floats"):
        read_frame(frame)


def test_a_row_cut_by_the_end_of_the_sample_does_not_count(tmp_path, monkeypatch):
    text = "user_id;item_id;timestamp\n1;a;1\n1;b;2\n1;c;3\n"
    monkeypatch.setattr("easrec.data.recognising._BEGINNING", text.index("b;2"))
    assert sequences(read_interactions(written(tmp_path, {"x.csv": text}))) == ABC


@pytest.mark.parametrize(
    ("name", "text", "options", "message"),
    [
        ("x.jsonl", '{"user_id": 1, "item_id": "a"}\n' * 4 + "{\n", {}, "row 5: not valid JSON"),
    ],
)
def test_rows_count_through_all_blocks(tmp_path, monkeypatch, name, text, options, message):
    monkeypatch.setattr("easrec.data.blocks._BLOCK", 8)
    with pytest.raises(ElasticNASError, match=message):
        read_interactions(written(tmp_path, {name: text}), **options)


@pytest.mark.parametrize(
    ("row", "within"),
    [
        ('1,"a ""b"", c",""', False),
        ('"","""",1', False),
        ('1,5" disk,6" disk', True),
        ('1,"a" b,2', True),
        ('1,a,"b', True),
    ],
)
def test_quotes_within_fields(row, within):
    assert Dialect(",").quotes_within_fields(f"{row}\n".encode()) == within


LONG = "t" * 140_000  # characters: more than the csv module takes
MANY = "".join(f"u,i{n},{n}\n" for n in range(20_000))  # more than that limit, too


@pytest.mark.parametrize("row", ["a,z", "a,z,"], ids=["short", "empty"])
def test_a_short_row_after_a_long_field_is_refused(tmp_path, row):
    limit = csv.field_size_limit()
    (path,) = written(tmp_path, {"x.csv": f"user_id,item_id,note\na,x,{LONG}\na,y,n\n{row}\na,w,n\n"})
    if row == "a,z":
        with pytest.raises(ElasticNASError, match=r"row 4: fewer fields than the 3 columns"):
            read_interactions(path, time="none", separator=",")
    else:
        read = read_interactions(path, time="none", separator=",")
        assert read["item"].cast(pl.String).to_list() == ["x", "y", "z", "w"]
    assert csv.field_size_limit() == limit  # it is that of the process


@pytest.mark.parametrize("name", ["x.csv", "x.txt", "x"])
@pytest.mark.parametrize("field", [LONG, f'"{LONG}, ""q"""', f'{LONG}" x'], ids=["plain", "quoted", "inches"])
def test_a_field_may_have_any_length(tmp_path, name, field):
    text = f"user_id,item_id,title,timestamp\n1,a,{field},1\n1,b,{field},2\n1,c,x,3\n"
    assert sequences(read_interactions(written(tmp_path, {name: text}))) == ABC


@pytest.mark.parametrize("between", [",", ";"])
@pytest.mark.parametrize(
    ("text", "row"),
    [
        (f'{HEAD}"u,x,1\n{MANY}', 2),
        (f'"{HEAD}{MANY}', 1),
        (f'{HEAD}{MANY}u,x,"1\n', 20_002),
        (f'{HEAD}"u","x ""y""",1\nu,"x,1\nu,y,2\n', 3),
    ],
    ids=["row", "header", "last", "among others"],
)
def test_an_open_quote_is_one_line_that_says_where(tmp_path, text, row, between):
    (path,) = written(tmp_path, {"x.csv": text.replace(",", between)})
    with pytest.raises(ElasticNASError, match=f"x.csv, row {row}: a quote opens a field and is not closed") as error:
        read_interactions(path)
    assert "\n" not in str(error.value) and "close it, or double it" in str(error.value)


@pytest.mark.parametrize("items", [40_000, 100_000])  # less, and more, than the beginning that is looked at
@pytest.mark.parametrize("first", [True, False])
def test_a_user_may_have_many_items_in_one_line(tmp_path, items, first):
    heavy = ["1", *map(str, range(items))]
    lines = [heavy, ["2", "5", "6", "7"]] if first else [["2", "5", "6", "7"], heavy, ["3", "5", "6", "7"]]
    read = read_interactions(written(tmp_path, {"x.txt": "".join(f"{' '.join(line)}\n" for line in lines)}))
    found = list(zip(read["user"].cast(pl.String), read["item"].cast(pl.String), strict=True))
    assert found == [(line[0], item) for line in lines for item in line[1:]]


def test_long_runs_of_blanks_separate_like_short_ones(tmp_path):
    run = " " * 300_000  # hours, were it quadratic
    text = f"user_id item_id timestamp\n{run}1 a{run}1\n1{run} \t b 2{run}\r\n1 c 3\t\n"
    assert sequences(read_interactions(written(tmp_path, {"x.txt": text}))) == ABC


@pytest.mark.parametrize(("own", "accepted"), [(997, True), (998, False)])
def test_objects_have_a_thousand_names_at_most(tmp_path, own, accepted):
    # besides user_id, item_id and timestamp
    lines = [f'{{"user_id": "1", "item_id": "i{n}", "timestamp": {n}, "k{n}": 1}}\n' for n in range(own)]
    (path,) = written(tmp_path, {"x.jsonl": "".join(lines)})
    if accepted:
        assert len(read_interactions(path)) == own
    else:
        with pytest.raises(ElasticNASError, match=r"row 998: more than 1,000 names, such as 'k997'.* jq -c"):
            read_interactions(path)


@pytest.mark.parametrize(
    ("line", "item"),
    [
        ('{"user_id": "1", "item_id": [["x", "y"], ["z"], ["w"]]}', "item_id"),
        ('{"user_id": "1", "item_id": ["x", ["z"]]}', "item_id"),
        ('{"user_id": "1", "e": [{"i": ["x", "y"]}, {"i": "z"}]}', "e.i"),
    ],
)
def test_lists_of_lists_are_no_items(tmp_path, line, item):
    (path,) = written(tmp_path, {"x.jsonl": f"{line}\n"})
    with pytest.raises(ElasticNASError, match=f"'{item}' cannot be read as text"):
        read_interactions(path, item=item)
    pl.read_ndjson(b'{"user_id": "1", "item_id": [["x", "y"], ["z"]]}\n').write_parquet(tmp_path / "x.parquet")
    with pytest.raises(ElasticNASError, match="'item_id' cannot be read as text"):  # the same
        read_interactions(tmp_path / "x.parquet")


def test_lists_of_lists_in_other_columns_do_no_harm(tmp_path):
    lines = [f'{{"user_id": "1", "item_id": "{item}", "at": [[1, 2], null], "e": [{{"x": [1]}}]}}\n' for item in "abc"]
    assert sequences(read_interactions(written(tmp_path, {"x.jsonl": "".join(lines)}))) == ABC


@pytest.mark.parametrize(
    "fields",
    ['"user": {"id": "A"}, "user.id": "B"', '"user.id": "B", "user": {"id": "A"}', '"user.id": 1, "user": [{"id": 2}]'],
)
def test_two_values_with_one_name_are_refused(tmp_path, fields):
    (path,) = written(tmp_path, {"x.jsonl": f'{{{fields}, "item_id": "x"}}\n'})
    with pytest.raises(ElasticNASError, match=r"row 1: two values have the name 'user.id'.*another name"):
        read_interactions(path, user="user.id")


def test_two_columns_of_parquet_with_one_name_are_refused(tmp_path):
    frame = pl.DataFrame({"user": [{"id": "A"}], "user.id": ["B"], "item_id": ["x"]})
    frame.write_parquet(tmp_path / "x.parquet")
    for read, name in ((read_interactions, tmp_path / "x.parquet"), (read_frame, "the data frame")):
        with pytest.raises(ElasticNASError, match=f"^{name}: the column 'user.id' occurs twice; rename one$"):
            read(frame if read is read_frame else name, user="user.id")


def test_the_names_of_many_columns_are_compared():
    names = [f"column {n}" for n in range(200_000)]  # minutes, were it quadratic
    assert distinct("x.csv", names) is names
    with pytest.raises(ElasticNASError, match="'column 7' occurs twice"):
        distinct("x.csv", [*names, "column 7"])
