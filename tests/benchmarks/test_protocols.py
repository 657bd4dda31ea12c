"""The comparison of splits and protocols: counts by hand, and the command on a small file."""

import json
import sys

import numpy as np
import pytest

from easrec.data import Split
from tests.conftest import ROOT

sys.path.append(str(ROOT / "benchmarks"))  # as the script finds its own modules

import protocols as script

SMALL = {
    "model": {"hidden": 16, "inner": 16, "length": 6, "layers": 1},
    "search": {"epochs": 1, "random_architectures": 1},
    "train": {"epochs": 1},
    "negatives": 4,
    "compare": [],
    "cutoffs": [10],
}


def write(path, rows):
    path.write_text("\n".join(["user_id\titem_id\ttimestamp", *("\t".join(map(str, row)) for row in rows)]))
    return path


def test_times_and_ties_by_hand(tmp_path):
    times = {"a": [1, 2, 3, 3], "b": [1, 4, 5, 6], "c": [2, 7, 7, 7]}
    rows = [(user, f"i{n}{user}", time) for user, own in times.items() for n, time in enumerate(own)]
    timed = script.read(write(tmp_path / "log.tsv", rows[::-1]))
    assert (timed.times // 10**9).tolist() == [time for user in timed.data.user_ids for time in times[user]]
    split = Split(timed.split("last"))
    assert timed.ties(split, "test") == 2 and timed.ties(split, "validation") == 2
    # only the last validation target is in a tie, with the interaction after it
    one = script.Timed(timed.data, np.array([1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 3]))
    assert one.ties(split, "validation") == 1 and one.ties(split, "test") == 1


def test_a_small_file_from_end_to_end(tmp_path, monkeypatch):
    monkeypatch.setattr(script, "SETTINGS", SMALL)
    rng = np.random.default_rng(0)
    rows = [
        (f"u{user}", f"i{rng.integers(12)}", first + 3 * n)
        for user in range(40)
        for first in [int(rng.integers(60))]
        for n in range(8)
    ]
    command = [
        str(tmp_path / "out"),
        "--data",
        str(write(tmp_path / "log.tsv", rows)),
        "--runs",
        str(tmp_path / "runs"),
    ]
    script.main(command)
    record = json.loads((tmp_path / "out/protocols.json").read_text())
    page = (tmp_path / "out/protocols.md").read_text()
    assert list(record["splits"]) == ["leave-one-out", "global time"] and record["seed"] == 0
    for name, found in record["splits"].items():
        kept = json.loads((tmp_path / "runs" / f"{script.SPLITS[name]}-0" / "result.json").read_text())
        assert list(found["rows"]) == ["popularity", "last item", "EASRec, found by search"]
        for label, row in found["rows"].items():
            for protocol in ("full", "unseen", "pop100", "uni100"):
                value, error = row["test"][protocol]["ndcg@10"]
                source = kept["baselines"].get(label) or kept["networks"]["found"]["metrics"]
                assert value == pytest.approx(source["test"][protocol]["ndcg@10"]) and 0 <= error < 0.5
                assert f"{value:.4f} ± {error:.4f}" in page
    assert record["splits"]["global time"]["counts"]["test"]["evaluated users"] < 40
    script.main(command)  # the runs are kept
    again = json.loads((tmp_path / "out/protocols.json").read_text())
    assert {n: f["rows"] for n, f in again["splits"].items()} == {n: f["rows"] for n, f in record["splits"].items()}
