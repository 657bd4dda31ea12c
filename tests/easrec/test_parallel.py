"""The recipe under torchrun: the same networks and figures as in one process, from shares of each batch and user."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from easrec import shares
from easrec.cli import commands
from easrec.data import Batch
from elasticnas.errors import ConfigError
from tests.parallel.launching import launched, torchrun

RUN = "tests.easrec.parallel_run"
MEASURED = {"created", "seconds", "latency_ms", "latency_iqr_ms", "peak_memory_bytes", "command"}
ONCE = {"train.batch": 1024, "search.batch": 1024, "train.epochs": 1}
KINDS = {
    "causal, softmax": {},
    "prefixes, binary": {"train.form": "prefixes", "train.loss": "binary", "compare": []} | ONCE,
    "causal, sampled": {"train.loss": "sampled", "train.sampled_items": 20, "search.strategy": "random"} | ONCE,
}


def figures(value, path=()):
    """Every figure of a result that is not of time or memory, by its path."""
    if isinstance(value, dict):
        return {k: v for name, item in value.items() for k, v in figures(item, (*path, name)).items()}
    if isinstance(value, list):
        return {k: v for number, item in enumerate(value) for k, v in figures(item, (*path, number)).items()}
    return {} if path[-1] in MEASURED else {path: value}


def require_equal(folder, other):
    found, expected = (figures(json.loads((each / "result.json").read_text())) for each in (folder, other))
    assert found.keys() == expected.keys()
    exact = {path for path, value in expected.items() if not isinstance(value, float) or "metrics" in path}
    assert [path for path in exact if found[path] != expected[path]] == []
    assert all(found[path] == pytest.approx(expected[path], rel=1e-12, abs=1e-12) for path in found.keys() - exact)
    assert len([path for path in exact if "metrics" in path]) > 50


def run(folder, settings, *given, processes=2):
    return launched(RUN, [folder, json.dumps(settings), *given], torchrun(processes) if processes > 1 else ())


@pytest.mark.parametrize("kind", [pytest.param(k, marks=[pytest.mark.slow] if KINDS[k] else []) for k in KINDS])
def test_two_processes_give_what_one_gives(kind, tmp_path):
    run(tmp_path / "one", KINDS[kind], processes=1)
    run(tmp_path / "two", KINDS[kind])
    require_equal(tmp_path / "two", tmp_path / "one")
    one, two = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("one", "two"))
    for name, weight in one.items():
        # softmax does not depend on the bias of keys: its gradient is the rounding error, which Adam scales up
        assert (weight - two[name]).abs().max() < (1e-9 if name.endswith("key.bias") else 1e-12), name
    if kind == "causal, softmax":  # a finished search and half a training, continued by other numbers of processes
        for name in ("result.json", "model"):
            path = tmp_path / "two" / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.rmtree(next((tmp_path / "two").glob("train-*-1")))
        run(tmp_path / "two", KINDS[kind], "--resume", processes=1)
        require_equal(tmp_path / "two", tmp_path / "one")


@pytest.mark.slow
def test_the_command_prints_once(tmp_path):
    given = ["easrec", "run", "--preset", "demo", "--out", tmp_path / "out"]
    given += ["--set", "search.epochs=1", "--set", "train.epochs=1"]
    done = launched("elasticnas", given, torchrun())
    assert done.stdout.count("model:  ") == 1
    assert "2 processes share each batch; the busiest has " in done.stdout + done.stderr
    warned = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert len(warned) == len(set(warned)) > 0
    assert "same batch" not in done.stderr
    assert (tmp_path / "out" / "report.html").exists()


@pytest.fixture
def started_by_torchrun(monkeypatch):
    for name, value in {"WORLD_SIZE": "2", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("command", ["refit", "evaluate", "recommend", "prepare", "export", "reproduce"])
def test_other_commands_run_in_one_process(command, tmp_path, started_by_torchrun):
    done = CliRunner().invoke(commands, [command, "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, ConfigError)
    line = f"elasticnas easrec {command} runs in one process, and there are 2: start it without torchrun"
    assert str(done.exception) == line
    assert not (tmp_path / "out").exists()


def test_the_processes_must_share_the_work(started_by_torchrun):
    with pytest.raises(ConfigError, match=r"^a run of EASRec got Run\(parallel=None\) and there are 2 processes: give"):
        shares.require_parallel(None)
    shares.require_parallel("ddp")


def batch(*lengths):
    inputs = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    for row, length in enumerate(lengths):
        inputs[row, :length] = row + 1
    return Batch(inputs, inputs.clone())


@pytest.mark.parametrize(
    ("lengths", "rows"), [((3, 5, 1, 4), [[2, 1], [4, 3]]), ((2, 2, 2), [[1, 3], [2]]), ((7,), [[1], [1]])]
)
def test_rows_are_dealt_out_by_length(lengths, rows, monkeypatch):
    monkeypatch.setattr(shares, "size", lambda: 2)
    for rank in (0, 1):
        monkeypatch.setattr(shares, "rank", lambda rank=rank: rank)
        own = shares.own_rows(batch(*lengths))
        assert own.inputs[:, 0].tolist() == rows[rank]
        # a process without a row has no target
        counted = len(lengths) > 1 or rank == 0
        assert own.targets[:, 0].tolist() == (rows[rank] if counted else [0])


def test_imbalance_is_of_the_busiest_process_in_each_step(monkeypatch):
    monkeypatch.setattr(shares, "size", lambda: 2)
    # 5 + 3 against 4 + 1, then 2 + 2 against 2: (8 + 4) of 19 positions, where 9.5 is the mean
    assert shares.imbalance([batch(3, 5, 1, 4), batch(2, 2, 2)]) == pytest.approx(12 / 9.5 - 1)
