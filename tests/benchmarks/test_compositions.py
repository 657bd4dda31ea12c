"""The record of many whole models: kept chunks, counts and failures."""

import json
import sys

import pytest

from elasticnas.testing.compositions import TRAITS
from tests.conftest import ROOT

sys.path.append(str(ROOT / "benchmarks"))  # as the script finds its own modules

import compositions as script

WHERE = {
    "command": "python benchmarks/compositions.py out",
    "commit": "c0ffee",
    "processor": "P",
    "threads": 1,
    "torch": "2",
}


def chunk(first, failed=()):
    return {"first": first, "count": 2, "drawn": {"stack": 1}, "failed": dict(failed), "seconds": 0.2}


def test_chunks_that_are_done_are_not_run_again(tmp_path):
    (tmp_path / "0-2.json").write_text(json.dumps(chunk(0, {"1": "AssertionError: kept"}) | {"commit": "c0ffee"}))
    done = script.run_all([0, 2], 2, tmp_path, workers=1, commit="c0ffee")
    by_first = {each["first"]: each for each in done}
    assert by_first[0]["failed"] == {"1": "AssertionError: kept"} and by_first[2]["failed"] == {}
    assert json.loads((tmp_path / "2-2.json").read_text())["commit"] == "c0ffee"
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("commit", ["another", "c0ffee-dirty", None])
def test_chunks_of_other_code_are_not_taken(tmp_path, commit):
    (tmp_path / "0-2.json").write_text(json.dumps(chunk(0) | {"commit": commit}))
    assert script.load_chunk(tmp_path / "0-2.json", "c0ffee" if commit == "another" else commit) is None


def test_the_record_adds_the_chunks_up():
    record = script.summary([chunk(2, {"3": "AssertionError: wrong"}), chunk(0)], WHERE)
    assert (record["models"], record["milliseconds_per_model"]) == (4, 100.0)  # 0.4 s for four
    assert record["drawn"]["stack"] == 2 and record["drawn"]["widths"] == 0 and set(record["drawn"]) == set(TRAITS)
    page = script.page(record)
    assert "4 models, seeds 0 to 3: **1 failed**" in page and "| 3 | AssertionError: wrong |" in page


def test_what_fails_is_recorded_with_its_seed(monkeypatch):
    def check(composition):
        if composition.seed == 1:
            raise AssertionError("two\nlines")

    monkeypatch.setattr(script, "check_composition", check)
    found = script.run(0, 3)
    assert found["failed"] == {"1": "AssertionError: two lines"} and found["drawn"]["sequence"] == 3
