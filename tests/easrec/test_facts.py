"""What a run says about its data: the same in the terminal, on both pages and in result.json."""

import html
import json

import pytest

import easrec
from easrec.data import Split, Statistics
from easrec.facts import data_facts

SIZES = {"hidden": 8, "inner": 8, "layers": 1, "heads": 1, "length": 6}
FAST = {f"model.{name}": value for name, value in SIZES.items()} | {
    "cutoffs": [10],
    "negatives": 2,
    "search.strategy": "none",
    "search.budget": None,
    "compare": [],
    "train.epochs": 1,
}
SET = [part for name, value in FAST.items() for part in ("--set", f"{name}={json.dumps(value)}")]


def written(folder):
    """Ten users with an item on each of eight days; one row twice, two without an item, one of them low-rated."""
    rows = [(f"u{u}", f"i{(u + day) % 6}", f"2025-11-{day:02}", 5) for u in range(10) for day in range(1, 9)]
    rows += [rows[0], ("u1", "", "2025-11-03", 5), ("u1", "i1", "2025-11-04", 1)]
    lines = ["who,what,day,stars", *(",".join(map(str, row)) for row in rows)]
    (folder / "log.csv").write_text("\n".join(lines))
    return folder / "log.csv"


NAMED = {"user": "who", "item": "what", "time": "day", "where": ["stars >= 3"]}
COLUMNS = ["--user", "who", "--item", "what", "--time", "day", "--where", "stars >= 3", "--tie-break", "item"]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """What a run printed, and the text of both pages and of the result."""
    from typer.testing import CliRunner

    from easrec.cli import commands

    folder = tmp_path_factory.mktemp("facts")
    split = ["--split", "time:2025-11-06,2025-11-08"]
    command = ["run", "--data", str(written(folder)), "--out", str(folder / "run"), *COLUMNS, *split, *SET]
    done = CliRunner().invoke(commands, command)
    assert done.exit_code == 0, done.output
    out = folder / "run"
    return {
        "terminal": done.stdout,
        "result.md": (out / "result.md").read_text(),
        "report.html": html.unescape((out / "report.html").read_text()),
        "result.json": (out / "result.json").read_text(),
    }


@pytest.mark.parametrize("page", ["terminal", "result.md", "report.html"])
@pytest.mark.parametrize(
    "fact",
    [
        "user who, item what, time day",
        "10 users, 6 items, 80 interactions (8.00 per user, 13.33 per item), ordered by time, ties by item id",
        "two points in time, 10 users with training items; validation: 10 users evaluated, 0 cold users left",
        "validation from 2025-11-06T00:00:00, test from 2025-11-08T00:00:00",
        # items of six return after six days: the target of day 8 is that of day 2
        "0.0% at the same time as a neighbour, 100.0% repeat an earlier item, 0.0% never occur in training",
        "0.0% of users have no training target",
        "1 by --where",
        "1 without a user or an item",
        "1 that repeat another row",
    ],
)
def test_a_fact_stands_everywhere(pages, page, fact):
    assert fact in pages[page]


@pytest.mark.parametrize("page", ["result.md", "report.html"])
def test_pages_have_a_section_on_data(pages, page):
    assert {"result.md": "\n## Data\n", "report.html": "<h2>Data</h2>"}[page] in pages[page]
    # validation targets are of day 6, which no item returns by: half of all targets repeat
    for fact in ("0.0% of validation, 100.0% of test", "full/ndcg@10, the lists of recommend --repeats; 50.0% of the"):
        assert fact in pages[page]


def test_the_result_keeps_them(pages):
    found = json.loads(pages["result.json"])
    kept = found["data"]["statistics"]
    assert kept["tie_break"] == "item" and kept["timestamps"] is True and kept["last_ties"] == 0
    assert (kept["left_out"], kept["empty_dropped"], kept["duplicates_dropped"], kept["untrained_users"]) == (
        1,
        1,
        1,
        0,
    )
    assert "who" in kept["source"] and "2025-11-08" in kept["split"] and found["steering"].startswith("full/ndcg@10, ")


def test_files_that_did_not_count_all_rows_name_what_they_dropped():
    old = Statistics(10, 5, 50, 1, 2, 3, True)
    told = data_facts(old, None, {"test": 10})
    assert told["interactions"] == (
        "50 kept, dropped: 1 that repeat another row, 2 by the k-core filter, 3 users with too few"
    )
    assert told["test targets (leave-one-out)"].count("an uncounted share") == 4
    assert "interactions" not in data_facts(Statistics(10, 5, 50, 0, 0, 0, True), None, {})
    counted = Statistics(10, 5, 50, 1, 2, 3, True, left_out=4, empty_dropped=5, rows=68, short_dropped=6)
    assert data_facts(counted, None, {})["interactions"] == (
        "68 read, 50 kept, 18 dropped: 4 by --where, 5 without a user or an item, 1 that repeat another row, "
        "2 by the k-core filter, 6 of 3 users with too few"
    )


def test_a_run_splits_once(tmp_path, monkeypatch):
    made, really = [], Split.__init__
    monkeypatch.setattr(Split, "__init__", lambda split, data, timed: made.append(data) or really(split, data, timed))
    easrec.run(written(tmp_path), out=tmp_path / "run", settings=FAST, progress=None, **NAMED)
    assert len(made) == 1
