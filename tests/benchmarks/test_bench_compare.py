"""The comparison of two commits: verdicts by hand, a temporary worktree, and a library that is really slower."""

import shutil
import subprocess
import sys
from contextlib import nullcontext

import pytest

from tests.conftest import ROOT

sys.path.append(str(ROOT / "benchmarks"))  # as the script finds its own modules

import bench_compare
from bench_compare import Comparison, Failed, check_out, compare, compared, confirmed, main, table


@pytest.mark.parametrize(
    ("base", "own", "expected", "verdict"),
    [
        ([10.0] * 3, [12.0] * 3, (1.2, 1.2, 1.2), "slower"),
        ([10.0] * 3, [11.0] * 3, (1.1, 1.1, 1.1), ""),  # not above 1.10
        ([10.0] * 3, [8.0] * 3, (0.8, 0.8, 0.8), "faster"),
        ([10.0, 20.0, 10.0], [12.0, 24.0, 12.0], (1.2, 1.2, 1.2), "slower"),  # a round that disturbed both
        ([10.0, 10.0], [10.0, 30.0], (2.0, 1.0, 3.0), ""),  # a round that disturbed one
    ],
)
def test_a_timing_is_slower_where_its_whole_interval_is(base, own, expected, verdict):
    rounds = [({"step": before}, {"step": now}) for before, now in zip(base, own, strict=True)]
    (found,) = compared("part", rounds)
    assert (found.value, found.low, found.high) == pytest.approx(expected)
    assert (found.name, found.verdict) == ("part: step", verdict)


def test_only_what_both_sides_timed_is_compared():
    rounds = [({"kept": 1.0, "gone": 1.0}, {"new": 1.0, "kept": 3.0})]
    assert compared("part", rounds) == [Comparison("part: kept", 3.0, 3.0, 3.0)]


def test_the_table_begins_with_the_slowest_and_counts_the_slower():
    text = table(
        [Comparison("a: x", 0.8, 0.7, 0.9), Comparison("b: y", 1.3, 1.2, 1.4), Comparison("c: z", 1, 0.9, 1.2)]
    )
    assert text.splitlines() == [
        "time now / base (interval)",
        "  1.30 (1.20 to 1.40)  slower  b: y",
        "  1.00 (0.90 to 1.20)          c: z",
        "  0.80 (0.70 to 0.90)  faster  a: x",
        "1 of 3 timings are slower: their intervals are above 1.10.",
    ]


def test_what_is_slower_must_be_so_again():
    first = [Comparison("p: a", 1.5, 1.2, 1.6), Comparison("p: b", 1.5, 1.2, 1.6), Comparison("p: c", 1.0, 0.9, 1.1)]
    again = [Comparison("p: a", 1.4, 1.3, 1.5), Comparison("p: b", 1.3, 1.0, 1.5), Comparison("p: c", 2.0, 1.9, 2.1)]
    found = confirmed(first, again)
    assert found == [again[0], again[1], first[2]]
    assert [each.verdict for each in found] == ["slower", "", ""]


@pytest.mark.parametrize(("times", "repeats", "code"), [([10, 15, 15], 1, 1), ([10, 15, 10], 1, 0), ([10, 10], 0, 0)])
def test_the_exit_code_is_that_of_the_repeated_measurement(monkeypatch, tmp_path, capsys, times, repeats, code):
    """One part of this tree takes the second time first and the third when repeated, the base always the first."""
    calls = []

    def measure(tree, part, options):
        calls.append(part)
        repeated = calls.count("streaming") > 2
        return {"event": times[0] if tree == tmp_path or part != "streaming" else times[1 + repeated]}

    monkeypatch.setattr(bench_compare, "check_out", lambda base: nullcontext(tmp_path))
    monkeypatch.setattr(bench_compare, "measure", measure)
    assert main(["base", "--rounds", "1", "--only", "streaming", "--only", "subnetwork"]) == code
    assert calls.count("subnetwork") == 2 and calls.count("streaming") == 2 + 2 * repeats
    assert ("1 of 2 timings are slower" if code else "0 of 2 timings are slower") in capsys.readouterr().out


def git(*arguments, folder):
    names = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(["git", *names, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_base_is_checked_out_beside_changes_and_removed_again(tmp_path):
    git("init", "-q", folder=tmp_path)
    (tmp_path / "file").write_text("before")
    git("add", "file", folder=tmp_path)
    git("commit", "-qm", "first", folder=tmp_path)
    (tmp_path / "file").write_text("now")
    with check_out("HEAD", tmp_path) as tree:
        assert (tree / "file").read_text() == "before" and (tmp_path / "file").read_text() == "now"
    assert not tree.exists() and len(git("worktree", "list", folder=tmp_path).splitlines()) == 1
    with pytest.raises(SystemExit, match="nowhere: no commit to compare with"), check_out("nowhere", tmp_path):
        pass


def copied(folder):
    """A tree with the library and the recipes of this one."""
    for name in ("elasticnas", "recipes"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.slow
def test_a_library_that_waits_is_slower_than_one_that_does_not(tmp_path):
    waiting = copied(tmp_path / "waiting")
    code = "import time\nforward = EASRecModel.forward\n\n\ndef wait(self, *args, **kwargs):\n    time.sleep(0.05)\n"
    code += "    return forward(self, *args, **kwargs)\n\n\nEASRecModel.forward = wait\n"
    with (waiting / "recipes/easrec/model.py").open("a") as file:
        file.write(code)
    options = ["--tiny", "--threads", "1"]
    found, omitted = compare(ROOT, waiting, ["subnetwork"], 2, options)
    # forward, forward and backward; 2 batches; 3 forms. They take milliseconds, and 50 more
    assert len(found) == 12 and not omitted
    assert {each.verdict for each in found} == {"slower"}
    found, _ = compare(waiting, ROOT, ["subnetwork"], 1, options)
    assert {each.verdict for each in found} == {"faster"}


@pytest.mark.slow
def test_a_part_that_the_base_cannot_run_is_named_and_one_that_fails_here_is_an_error(tmp_path):
    lacking = copied(tmp_path / "lacking")
    names = lacking / "elasticnas/__init__.py"
    names.write_text(names.read_text().replace('"bind", ', ""))
    options = ["--tiny", "--threads", "1"]
    found, omitted = compare(lacking, ROOT, ["subnetwork"], 1, options)
    assert found == []
    assert len(omitted) == 1 and omitted[0].startswith("subnetwork: not compared, because the base cannot run it (Imp")
    with pytest.raises(Failed, match="subnetwork: ImportError: cannot import name 'bind'"):
        compare(ROOT, lacking, ["subnetwork"], 1, options)
