"""recommend: unknown items, empty histories, allowed items, repeats, and tables for all users."""

import json
import sys
from collections import Counter

import polars as pl
import pytest
import torch

from easrec import Recommender
from easrec.data import prepare, read_interactions
from easrec.streaming import Live
from elasticnas.errors import DataError
from tests.easrec.runs import untrained_run

SMALL = {"hidden": 16, "inner": 16, "length": 8, "layers": 1, "heads": 2, "attention": "linrec"}
USERS, ITEMS = 25, 12


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run with a network that nobody trained, and the rows of its data."""
    out = tmp_path_factory.mktemp("run")
    rows = [(f"user{u}", f"i{(u * t) % (u % 5 + 3)}", t) for u in range(USERS) for t in range(1, 6)]
    rows += [("user0", f"i{i}", 10 + i) for i in range(ITEMS)]
    lines = ["user_id,item_id,timestamp", *(f"{u},{i},{t}" for u, i, t in rows)]
    (out / "data.csv").write_text("\n".join(lines))
    data = prepare(read_interactions(out / "data.csv"))
    untrained_run(out, data, SMALL)
    return out, rows


def answers(main, out, *more):
    code, printed, said = main("easrec", "recommend", "--out", out, *more, "--json")
    assert code == 0, said
    return [json.loads(line) for line in printed.splitlines()], said


def history_of(rows, user):
    return [item for name, item, _ in sorted(rows, key=lambda row: row[2]) if name == user]


def test_unknown_items_of_a_history_are_skipped_and_counted(main, run):
    out, _ = run
    (mixed, clean), said = answers(main, out, "--history", "i1,NEW,i2,\x1b[31m", "--history", "i1,i2")
    assert mixed["items"] == clean["items"] and mixed["scores"] == clean["scores"] and mixed["fallback"] is False
    assert said.count("\n") == 1 and "skipped 2 of 4 items" in said and "\x1b" not in said


@pytest.mark.parametrize("history", ["", "NEW", ",,"])
def test_an_empty_history_gets_the_most_popular_items(main, run, history):
    out, rows = run
    (empty, other), _ = answers(main, out, "--history", history, "--history", "i3", "--top", 4)
    counts = Counter(item for _, item, _ in rows)
    assert empty["fallback"] is True and other["fallback"] is False
    assert empty["scores"] == sorted(counts.values(), reverse=True)[:4]
    assert [counts[item] for item in empty["items"]] == empty["scores"]


def test_only_allowed_items_are_recommended(main, run, tmp_path):
    out, _ = run
    allowed = tmp_path / "allow.txt"
    allowed.write_text("i3\ni5\nGONE\n\ni3\n")
    (found,), said = answers(main, out, "--history", "i5,i1", "--items", allowed)
    assert found["items"] == ["i3"] and "1 of 3 ids are unknown" in said
    (found,), _ = answers(main, out, "--history", "i5,i1", "--items", allowed, "--repeats")
    assert sorted(found["items"]) == ["i3", "i5"]
    (found,), _ = answers(main, out, "--history", "", "--items", allowed)
    assert sorted(found["items"]) == ["i3", "i5"]
    for text in ("", "GONE\n"):
        allowed.write_text(text)
        code, _, said = main("easrec", "recommend", "--out", out, "--history", "i1", "--items", allowed)
        assert code == 1 and "is an item of the model" in said and said.count("\n") == 1
    for wrong in (tmp_path / "none.txt", tmp_path):
        code, _, said = main("easrec", "recommend", "--out", out, "--history", "i1", "--items", wrong)
        assert code == 1 and "--items" in said and said.count("\n") == 1


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_all_users_into_a_table(main, run, tmp_path, kind, repeats):
    out, rows = run
    to = tmp_path / f"all.{kind}"
    more = ["--repeats"] if repeats else []
    code, printed, said = main("easrec", "recommend", "--out", out, "--users", "all", "--to", to, "--top", 3, *more)
    assert code == 0, said
    table = pl.read_csv(to) if kind == "csv" else pl.read_parquet(to)
    assert table.columns == ["user", "rank", "item", "score", "fallback"] and f"{len(table):,} rows" in printed
    assert not table["fallback"].any()
    recommender = Recommender.load(out)
    for user in {name for name, _, _ in rows}:
        mine = table.filter(pl.col("user") == user)
        seen = set(history_of(rows, user))
        assert mine["rank"].to_list() == list(range(1, min(3, ITEMS if repeats else ITEMS - len(seen)) + 1))
        assert repeats or not seen & set(mine["item"])
        # scored one by one, without the table
        numbers = recommender.numbers(history_of(rows, user))[-8:]
        scores = recommender.network.next_item(torch.tensor([numbers]), torch.tensor([len(numbers)]))[0].tolist()
        left = [n for n in range(1, ITEMS + 1) if repeats or recommender.item_ids[n] not in seen]
        best = sorted(left, key=lambda n: -scores[n])[:3]
        assert mine["score"].to_list() == pytest.approx([scores[n] for n in best], abs=1e-5)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_marks_the_most_popular_items(main, run, tmp_path, kind):
    out, rows = run
    to, asked = tmp_path / f"some.{kind}", ["i1", "NEW", "i2,NEW", "", "i3"]
    options = [part for history in asked for part in ("--history", history)]
    code, _, said = main("easrec", "recommend", "--out", out, *options, "--to", to, "--top", 2)
    assert code == 0, said
    table = pl.read_csv(to) if kind == "csv" else pl.read_parquet(to)
    marked = dict(zip(table["user"].fill_null(""), table["fallback"], strict=True))
    assert marked == {"i1": False, "NEW": True, "i2,NEW": False, "": True, "i3": False}
    best = max(Counter(item for _, item, _ in rows).values())
    assert table.filter(pl.col("fallback"), pl.col("rank") == 1)["score"].to_list() == [best, best]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--users", "all"], "by --to"),
        (["--users", "all", "--to", "x.txt"], "must end in .csv or .parquet"),
        (["--users", "all", "--user", "user1", "--to", "x.csv"], "leave out --user"),
        (["--stream", "--to", "x.csv"], "leave out"),
        (["--user", "usr3"], "did you mean 'user3'"),
        (["--user", "zzzzzzzzzz"], "such as user0"),
        (["--history", "i1,i2\r,i3"], "a line break in it"),
        ([], "give --user"),
    ],
)
def test_wrong_options_are_one_line(main, run, options, message):
    code, _, said = main("easrec", "recommend", "--out", run[0], *options)
    assert code == 1 and message in said and said.count("\n") == 1


def test_ids_with_control_characters_do_not_reach_the_terminal(main, run):
    code, printed, said = main("easrec", "recommend", "--out", run[0], "--history", "i1,\x1b[31mi2")
    assert code == 0 and "\x1b[31m" not in printed + said


@pytest.fixture
def hostile(tmp_path):
    """A run whose ids hold control characters."""
    names = ["\x1b[31mred", "a\nb", "two  blanks"]
    frame = pl.DataFrame(
        {"user": ["u"] * 3, "item": names, "time": [1, 2, 3]},
        schema={"user": pl.String, "item": pl.String, "time": pl.Int64},
    )
    data = prepare(frame)
    untrained_run(tmp_path, data, SMALL)
    return tmp_path


@pytest.mark.parametrize(
    ("terminal", "printed"),
    [(True, "\\x1b[31mred\na\\nb\ntwo  blanks\n"), (False, "\x1b[31mred\na\\nb\ntwo  blanks\n")],
)
def test_ids_are_escaped_on_a_terminal_and_exact_in_a_file(main, hostile, monkeypatch, terminal, printed):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    code, out, _ = main("easrec", "ids", "items", "--out", hostile)
    assert code == 0 and out == printed


@pytest.mark.parametrize(
    "command",
    [
        ["recommend", "--user", "user1", "--to"],
        ["export", "--to"],
        ["refit", "--to"],
        ["evaluate", "--per-user"],
        ["prepare", "--data", "x.csv", "--out"],
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize("name", ["\x1b[31mx.csv", "", " "])
def test_a_name_of_a_file_to_write_is_printable(main, run, tmp_path, monkeypatch, command, name):
    monkeypatch.chdir(tmp_path)
    where = [] if command[-1] == "--out" else ["--out", run[0]]
    code, printed, said = main("easrec", *command, name, *where)
    assert code == 2 and "a name is needed" in said and "\x1b[31m" not in printed + said


def test_repeats_have_one_name(main, run):
    asked = ["recommend", "--out", run[0], "--history", "i1"]
    assert main("easrec", *asked, "--repeats")[0] == 0 and main("easrec", *asked, "--include-seen")[0] == 2


def test_a_file_of_items_is_read_as_others_are(main, run, tmp_path):
    out, _ = run
    (tmp_path / "allow.txt").write_bytes("\ufeffi3\r\ni5\ri2\x0bq\n i4\u2028\n".encode())
    (found,), said = answers(main, out, "--history", "i1", "--items", tmp_path / "allow.txt")
    assert sorted(found["items"]) == ["i3", "i5"] and "2 of 4 ids are unknown" in said


def test_no_item_left_says_whether_the_items_were_limited(main, run, tmp_path):
    out, _ = run
    (tmp_path / "allow.txt").write_text("i1\n")
    code, printed, _ = main("easrec", "recommend", "--out", out, "--history", "i1", "--items", tmp_path / "allow.txt")
    assert code == 0 and "every item of --items has been seen; --repeats" in printed
    code, printed, _ = main("easrec", "recommend", "--out", out, "--user", "user0")
    assert code == 0 and "every item has been seen; --repeats" in printed


@pytest.mark.parametrize("only", ["i1", "", []])
def test_allowed_items_are_a_collection(run, only):
    with pytest.raises(DataError, match=r"only is a collection of item ids, at least one, such as \['a'\] \(got "):
        Recommender.load(run[0]).recommend([["i1"]], 3, only=only)


def test_repeats_have_the_same_name_in_python(run):
    recommender = Recommender.load(run[0])
    ((best, _),) = recommender.recommend([["i1"]], 1, repeats=True, only={"i1"})[0]
    assert best == "i1" and recommender.recommend([["i1"]], 1, only={"i1"}) == [[]]
    live = Live(recommender, lambda user: [])
    number = recommender.numbers(["i1"])
    assert live.event("u", "i1", 1, repeats=True, only=number)[0][0] == "i1"


@pytest.mark.parametrize("together", [1, 3, 256])
def test_histories_of_all_lengths_are_answered_in_their_order(run, monkeypatch, together):
    monkeypatch.setattr("easrec.artifact._BATCH_USERS", together)
    recommender = Recommender.load(run[0])
    # longer than the network's 8 items, shorter, equally long, and the same twice
    lengths = [9, 1, 3, 8, 1, 11, 3, 2]
    numbers = [[1 + (start + step) % ITEMS for step in range(length)] for start, length in enumerate(lengths)]
    numbers.append(numbers[0])
    histories = [[recommender.item_ids[number] for number in history] for history in numbers]
    for history, answer in zip(numbers, recommender.recommend(histories, top=2), strict=True):
        last = torch.tensor([history[-8:]])
        with torch.no_grad():
            scores = recommender.network.next_item(last, torch.tensor([last.shape[1]]))[0].tolist()
        unseen = {score: recommender.item_ids[i] for i, score in enumerate(scores) if i and i not in history}
        best = sorted(unseen, reverse=True)[: min(2, ITEMS - len(history))]
        assert [item for item, _ in answer] == [unseen[score] for score in best]
        assert [score for _, score in answer] == pytest.approx(best, abs=1e-6)
