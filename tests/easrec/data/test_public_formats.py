"""Samples in the raw formats of public datasets: the options that each needs, and the split that results."""

from pathlib import Path

import pytest

from easrec.data import Split, prepare, read_interactions
from elasticnas.errors import DataError

SAMPLES = Path(__file__).parents[2] / "data"
SEQUENCES = {1: "abcd", 2: "bca", 3: "dab"}  # in time order, the same in all samples
MOVIES = ["242", "302", "377", "51"]
PRODUCTS = ["7806397051", "9759091062", "9788072216", "B00005JHHT"]
REVIEWERS = {1: "A1YJEY40YUW4SE", 2: "A60XNB876KYML", 3: "A3G6XNM240RMWA"}
PLACES = ["22847", "420315", "316637", "16516"]
BUSINESSES = ["tnhfDv5Il8EaGSXZGiuQGg", "gP_oWJykA2RocIs_GurKWQ", "KahGmyJIxGUmyPCPFYCq-w", "ut0-MLmSjYZJpPBrjzmbDQ"]
VENUES = [
    *("49bbd6c0f964a520f4531fe3", "4a43c0aef964a520c6a61fe3", "4c5cc7b485a1e21e00d35711", "4bc7086715a7ef3bef9878da")
]
TRACKS = ["Deep Dish", 'Say "Hello"', "It's Famous", "Music of My Mind"]
FILMS = ["Avengers Age of Ultron", "Big Fish & Begonia", "Captain America Civil War", "Goodbye Mr. Loser"]
WEEKDAY = "%a %b %d %H:%M:%S %z %Y"

PLAIN = {1: "1", 2: "2", 3: "3"}
ML_100K = {1: "196", 2: "197", 3: "198"}
FORMATS = {
    "ml-100k/u.data": (ML_100K, MOVIES, {}),
    "ml-1m/ratings.dat": (PLAIN, MOVIES, {}),
    "ml-25m/ratings.csv": (PLAIN, MOVIES, {}),
    "amazon-2014/reviews_Beauty_5.json": (REVIEWERS, PRODUCTS, {}),
    "amazon-2014/ratings_Beauty.csv": (REVIEWERS, PRODUCTS, {"header": False, "user": "1", "item": "2", "time": "4"}),
    "amazon-2023/All_Beauty.csv": (REVIEWERS, PRODUCTS, {}),
    "amazon-2023/All_Beauty.jsonl": (REVIEWERS, PRODUCTS, {"item": "parent_asin"}),
    "yelp/yelp_academic_dataset_review.json": ({u: f"u{u}_" for u in (1, 2, 3)}, BUSINESSES, {}),
    "recbole/ml-100k.inter": (ML_100K, MOVIES, {}),
    "gowalla/loc-gowalla_totalCheckins.txt": (PLAIN, PLACES, {}),
    "foursquare/dataset_TSMC2014_NYC.txt": (
        PLAIN,
        VENUES,
        {"header": False, "user": "1", "item": "2", "time": "8", "time_format": WEEKDAY, "encoding": "latin1"},
    ),
    "lastfm-1k/userid-timestamp-artid-artname-traid-traname.tsv": (
        {u: f"user_00000{u}" for u in (1, 2, 3)},
        TRACKS,
        {"header": False, "user": "1", "item": "4", "time": "2"},
    ),
    "retailrocket/events.csv": (PLAIN, ["355908", "248676", "318965", "253185"], {"where": ["event == 'view'"]}),
    "yoochoose/yoochoose-clicks.dat": (PLAIN, PLACES, {"header": False, "user": "1", "item": "3", "time": "2"}),
    "diginetica/train-item-views.csv": (
        PLAIN,
        ["81766", "31331", "32118", "9654"],
        {"user": "sessionId", "time": "timeframe"},
    ),
    "otto/train.jsonl": (
        PLAIN,
        PLACES,
        {"item": "events.aid", "time": "events.ts", "where": ["events.type == 'clicks'"]},
    ),
    "huggingface/train-00000-of-00001.parquet": ({1: "1", 2: "2", 3: "3"}, MOVIES, {}),
    "lightgcn/train.txt": (PLAIN, ["1", "2", "3", "4"], {}),
    "book-crossing/BX-Book-Ratings.csv": (
        {1: "276725", 2: "276726", 3: "276727"},
        ["034545104X", "0155061224", "0446520802", "052165615X"],
        {},
    ),
    "douban/DMSC.csv": ({u: f"读者{u}" for u in (1, 2, 3)}, FILMS, {}),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_sample_has_the_known_split(name):
    users, items, options = FORMATS[name]
    data = prepare(read_interactions(SAMPLES / name, **options))
    found = {
        user: [data.item_ids[i] for i in data.items[data.offsets[u] : data.offsets[u + 1]]]
        for u, user in enumerate(data.user_ids)
    }
    of = dict(zip("abcd", items, strict=True))
    assert found == {users[user]: [of[letter] for letter in letters] for user, letters in SEQUENCES.items()}
    split = Split(data)
    targets = {user: data.item_ids[item] for user, item in zip(data.user_ids, split.targets("test"), strict=True)}
    assert targets == {users[user]: of[letters[-1]] for user, letters in SEQUENCES.items()}
    before = {user: data.item_ids[item] for user, item in zip(data.user_ids, split.targets("validation"), strict=True)}
    assert before == {users[user]: of[letters[-2]] for user, letters in SEQUENCES.items()}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("amazon-2014/ratings_Beauty.csv", "the first row looks like data .* --no-header --user N --item N --time N"),
        ("amazon-2023/All_Beauty.jsonl", "each of asin, parent_asin may be the item; choose one by --item asin"),
        ("foursquare/dataset_TSMC2014_NYC.txt", "line 1: not UTF-8 .*--encoding latin1"),
        ("lastfm-1k/userid-timestamp-artid-artname-traid-traname.tsv", "the first row looks like data"),
        ("yoochoose/yoochoose-clicks.dat", "the first row looks like data"),
        ("diginetica/train-item-views.csv", "each of sessionId, userId may be the user"),
        ("otto/train.jsonl", "no column 'item_id'; the columns are session, events.aid, events.ts, events.type"),
    ],
)
def test_a_sample_that_needs_options_says_which(name, message):
    with pytest.raises(DataError, match=message):
        read_interactions(SAMPLES / name)


def test_times_in_a_headerless_file_are_not_ignored():
    where = SAMPLES / "foursquare/dataset_TSMC2014_NYC.txt"
    with pytest.raises(
        DataError, match=r"8 looks like a time, .* --time 8, or use the order of the rows by --time none"
    ):
        read_interactions(where, "1", "2", header=False, encoding="latin1")
    with pytest.raises(DataError, match=r"row 1: the time 'Sun Jan 06 .*' is neither .* --time-format '%m/%d/%Y'"):
        read_interactions(where, "1", "2", "8", header=False, encoding="latin1")
