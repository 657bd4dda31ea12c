"""A small seeded part of the fuzzing; ``python -m tests.fuzz.campaign`` runs thousands of inputs."""

import importlib
import random
import sys
from collections import Counter
from contextlib import closing
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tests.fuzz.targets
from tests.fuzz.campaign import _hangs, campaign, page, run_part, summed
from tests.fuzz.decoder import Decoder
from tests.fuzz.inputs import Drawn
from tests.fuzz.targets import KINDS, attempt
from tests.fuzz.world import World

SLOW = {"studies": 10, "large": 20}  # examples of a kind; 40 of any other


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    decoder = Decoder()
    with closing(decoder), patch("easrec.data.tables.subprocess", decoder):
        yield World(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_input_ends_in_success_or_one_error_of_ours(world, kind, monkeypatch):
    monkeypatch.chdir(world.folder)

    @settings(max_examples=SLOW.get(kind, 40), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(seed=st.integers(0, 2**32))
    def check(seed):
        assert attempt(world, kind, random.Random(seed)) in ("ok", "refused")

    check()


@pytest.mark.parametrize(
    ("name", "kinds", "change"),
    [
        ("read_interactions", ["csv", "tsv", "parquet", "gz"], lambda frame: frame.head(-1)),
        ("read_interactions", ["csv", "tsv", "gz"], lambda frame: frame.with_columns(frame["user"].reverse())),
        ("read_items", ["items"], lambda frame: frame.head(-1)),
    ],
)
def test_a_reader_that_loses_or_changes_a_row_is_found(world, monkeypatch, name, kinds, change):
    real = getattr(tests.fuzz.targets, name)
    monkeypatch.setattr(tests.fuzz.targets, name, lambda *given, **more: change(real(*given, **more)))
    for kind in kinds:
        with pytest.raises(AssertionError, match="read"):
            for seed in range(100):
                attempt(world, kind, random.Random(seed))


def test_a_reader_that_hangs_is_found(world, monkeypatch):
    monkeypatch.setattr("easrec.data.readers.recognised", _hangs)
    found = run_part(world, range(2), 0, ["csv", "large"])
    assert [each["error"] for each in found["failures"]] == ["Hang: more than 5 s"] * 2


def raising(*given, **named):
    raise ValueError("no error of ours")


def tracing(*given, **named):
    print("Traceback (most recent call last):", file=sys.stderr)
    sys.exit(1)


def saying_twice(message):
    print(f"error: {message}\nerror: {message}", file=sys.stderr)
    sys.exit(1)


def succeeding(message):
    print(f"error: {message}", file=sys.stderr)
    sys.exit(0)


def too_long(message):
    print(f"error: {'x' * 301}", file=sys.stderr)
    sys.exit(1)


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("easrec.cli.recommend.recommender_of", lambda real: raising),
        ("easrec.cli.ids.data_of", lambda real: tracing),
        ("easrec.source.read", lambda real: raising),
        ("elasticnas.cli.root._fail", lambda real: saying_twice),
        ("elasticnas.cli.root._fail", lambda real: succeeding),
        ("elasticnas.cli.root._fail", lambda real: too_long),
        ("elasticnas.cli.root._fail", lambda real: lambda message: sys.exit(3)),
        ("easrec.cli.answers._frame", lambda real: lambda *given: real(*given).head(-1)),
        ("easrec.cli.answers._frame", lambda real: lambda users, answers, _: real(users, answers, [True] * len(users))),
        ("easrec.cli.recommend._as_line", lambda real: lambda name, answer, *more: real(name, answer[:-1], *more)),
        ("easrec.data.preparing._numbered", lambda real: lambda frame: real(frame.head(-1))),
        ("easrec.cli.ids.escaped", lambda real: str.upper),
        ("elasticnas.cli.space.json", lambda real: SimpleNamespace(dumps=lambda row: "{}")),
    ],
)
def test_a_command_that_fails_or_loses_a_row_is_found(world, monkeypatch, name, broken):
    module, _, last = name.rpartition(".")
    where = importlib.import_module(module)
    monkeypatch.chdir(world.folder)
    monkeypatch.setattr(where, last, broken(getattr(where, last)))
    with pytest.raises((AssertionError, ValueError)):
        for seed in range(150):
            attempt(world, "commands", random.Random(seed))


def test_a_good_part_of_the_command_lines_ends_in_an_error(world, monkeypatch):
    monkeypatch.chdir(world.folder)
    found = Counter(attempt(world, "commands", random.Random(seed)) for seed in range(100))
    assert min(found["ok"], found["refused"]) >= 25


def test_a_code_that_ends_its_process_is_noticed_and_the_next_is_run():
    with closing(Decoder()) as decoder:
        run = lambda code: decoder.run(["python", "-I", "-c", code], b"abc", True).returncode  # noqa: E731
        assert run("import sys, os; sys.stdin.buffer.read() == b'abc' and os.abort()") < 0
        assert run("raise ValueError") == 1 and run("x = 1") == 0 and run("raise SystemExit(3)") == 3
        assert decoder.run(["print('said', end='')"], b"", True).stdout == b"said"


def test_an_input_may_be_drawn_from_bytes():
    drawn = Drawn(b"\x01\x02\xff")
    assert [drawn.getrandbits(8), drawn.getrandbits(4), drawn.getrandbits(16)] == [1, 2, 0xFF00]
    assert drawn.getrandbits(64) == 0 and drawn.choice("abc") == "a" and drawn.random() == 0


def test_a_campaign_continues_where_it_stopped_and_counts_failures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # restored afterwards
    made = []

    def part(world, numbers, seed, kinds):
        made.append(numbers.start)
        failures = [{"kind": "csv", "seed": seed, "error": "ValueError: x"}] if numbers.start == 500 else []
        counts = {"csv": {"ok": len(numbers) - len(failures), "failed": len(failures)}}
        return {"first": numbers.start, "count": len(numbers), "kinds": counts, "failures": failures}

    monkeypatch.setattr("tests.fuzz.campaign.run_part", part)
    monkeypatch.setattr("tests.fuzz.campaign.World", lambda folder: type("Nothing", (), {"result": None}))
    parts, run = tmp_path / "parts.jsonl", lambda count: list(campaign(count, 7, ["csv"], parts, 100.0))
    assert len(run(700)) == 2 and made == [0, 500]
    with pytest.raises(SystemExit, match="another campaign"):
        list(campaign(700, 8, ["csv"], parts, 100.0))
    record = summed(run(1200), 7)
    assert made == [0, 500, 1000]
    assert record["count"] == 900 and record["kinds"]["csv"] == {"ok": 899, "failed": 1}
    assert "| csv | 900 | 899 | 0 | 1 |" in page(record) and "seed 7: `ValueError: x`" in page(record)
