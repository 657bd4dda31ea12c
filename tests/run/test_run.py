"""Run: one process at a time, checkpoints and metrics that belong together, a folder that stays where it is."""

import json
import math
import os
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from elasticnas.errors import CheckpointError, ConfigError, ElasticNASError
from elasticnas.files import write_bytes
from elasticnas.run import Progress, Run
from tests.conftest import ROOT

USED = r"is in use by another run; wait until it ends, or use another folder$"
HOLDS = "import sys; sys.path.insert(0, sys.argv[1]); from elasticnas.run import Run; run = Run(sys.argv[2]); "


def started(code, folder):
    """A process that prints one line when it is where it should be."""
    command = [sys.executable, "-c", HOLDS + code, str(ROOT), str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "there\n"
    return process


def test_a_second_run_of_a_folder_is_refused_until_the_first_ends(tmp_path):
    with Run(tmp_path / "run"):
        with pytest.raises(CheckpointError, match=USED) as raised, Run(tmp_path / "run"):
            pass
        assert str(tmp_path / "run") in str(raised.value) and "\n" not in str(raised.value)
        with Run(tmp_path / "other"):
            pass
    with Run(tmp_path / "run"):
        pass


def test_it_is_locked_until_the_outermost_with_ends_and_after_errors_too(tmp_path):
    run = Run(tmp_path)
    with run:
        with run:
            pass
        with pytest.raises(CheckpointError, match=USED), Run(tmp_path):
            pass
    with pytest.raises(ZeroDivisionError), run:
        _ = 1 / 0
    with Run(tmp_path):
        pass


def test_a_folder_that_another_process_uses_is_refused_until_that_is_killed(tmp_path):
    process = started("run.__enter__(); print('there', flush=True); sys.stdin.read()", tmp_path / "run")
    try:
        with pytest.raises(CheckpointError, match=USED), Run(tmp_path / "run"):
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL and (tmp_path / "run" / ".lock").exists()
    with Run(tmp_path / "run"):
        pass


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_metrics_are_cut_where_the_checkpoint_is(tmp_path):
    with Run(tmp_path) as run:
        assert run.load({}) is None
        for step in (1, 2, 3):
            run.record({"step": step, "loss": 1 / step})
            if step == 2:
                run.save({"at": step}, {})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')  # killed within a line
    with Run(tmp_path, resume=True) as run:
        assert run.load({}) == {"at": 2}
        assert lines(tmp_path) == [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.5}]
        run.record({"step": 3, "loss": 0.1})
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3]


def test_metrics_without_a_checkpoint_begin_anew(tmp_path):
    with Run(tmp_path):
        (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"st')
    with Run(tmp_path, resume=True) as run:
        assert run.load({}) is None
        run.record({"step": 1})
    assert lines(tmp_path) == [{"step": 1}]


def test_tensors_and_plain_data_come_back_and_another_identity_is_refused(tmp_path):
    state = {"weight": torch.arange(3.0), "names": ["a", None], "n": 1.5}
    with Run(tmp_path, identity={"data": "one"}) as run:
        run.save(state, {"space": {"width": [1, 2]}})
    with Run(tmp_path, resume=True, identity={"data": "one"}) as run:
        found = run.load({"space": {"width": [1, 2]}})
    assert torch.equal(found.pop("weight"), state["weight"]) and found == {"names": ["a", None], "n": 1.5}
    for identity, work, said in (
        ({"data": "two"}, {"space": {"width": [1, 2]}}, "data was 'one', is 'two'"),
        ({"data": "one"}, {"space": {"width": [1]}}, r"space\.width was \[1, 2\], is \[1\]"),
        ({"data": "one", "space": 3}, {"space": {"width": [1, 2]}}, "space is new"),
        ({"data": "one"}, {"space": {"width": [1, 2]}, "data": "one"}, "data is new"),
    ):
        with Run(tmp_path, resume=True, identity=identity) as run:
            with pytest.raises(
                CheckpointError, match=f"belongs to another run, {said}; use another folder, or"
            ) as raised:
                run.load(work)
            assert "\n" not in str(raised.value)


def test_a_folder_that_holds_a_run_is_continued_only_on_demand(tmp_path):
    with Run(tmp_path) as run:
        run.record({"step": 1})
        run.save({}, {})
    with (
        Run(tmp_path) as run,
        pytest.raises(CheckpointError, match="holds a run already; resume=True continues it, or"),
    ):
        run.load({})
    assert lines(tmp_path) == [{"step": 1}], "nothing is lost"
    with Run(tmp_path) as run:
        run.discard()
        assert run.load({}) is None


def test_what_may_differ_is_a_warning_that_says_so(tmp_path):
    with Run(tmp_path, identity={"data": 1}) as run:
        run.save({}, {"settings": {"steps": 3, "rate": 0.1}})
    for allow in ({"steps", "data"}, ["settings.steps", "data"]):
        run = Run(tmp_path, resume=True, identity={"data": 2}, allow=allow)
        with run, pytest.warns(UserWarning, match="continues with other settings") as told:
            assert run.load({"settings": {"steps": 4, "rate": 0.1}}) == {}
        said = ["settings.steps was 3, is 4", "data was 1, is 2"]
        assert run.changes == said and all(warning.filename == __file__ for warning in told)
        assert [str(w.message) for w in told] == [f"{tmp_path}: continues with other settings, {line}" for line in said]
    with (
        Run(tmp_path, resume=True, identity={"data": 1}, allow={"steps"}) as run,
        pytest.raises(CheckpointError, match=r"settings\.rate was 0\.1, is 0\.2"),
    ):
        run.load({"settings": {"steps": 3, "rate": 0.2}})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"allow": "steps"}, r"^allow='steps': a set of names of settings is needed, such as {'steps'}$"),
        ({"allow": {"steps", "space"}}, r"^allow=\['space'\]: "),
        ({"allow": {"model", "strategy"}}, r"^allow=\['model', 'strategy'\]: "),
        ({"folder": ""}, "^the folder of a run is empty: give a path, or None to keep nothing$"),
    ],
)
def test_wrong_use_is_one_line(wrong, message):
    with pytest.raises(ConfigError, match=message):
        Run(**wrong)


def test_a_folder_that_cannot_be_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ElasticNASError, match=r"cannot be written, .*; use another folder$"), Run(folder):
            pass


def test_temporaries_of_killed_writes_go_and_others_stay(tmp_path):
    """A process is killed when its temporary file is written and not yet in its place."""
    code = (
        "import os; run.__enter__(); run.save({'at': 1}, {}); print('there', flush=True); "
        "os.replace = lambda *_: os.kill(os.getpid(), 9); run.save({'at': 2}, {})"
    )
    process = started(code, tmp_path)
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    mine = [tmp_path / ".model.safetensors.ab12", tmp_path / "notes.elasticnas-tmp", tmp_path / ".hidden"]
    for path in mine:
        path.write_text("mine")
    before = set(tmp_path.iterdir())
    with Run(tmp_path, resume=True) as run:
        (gone,) = before - set(tmp_path.iterdir())
        assert gone.name.startswith(".checkpoint.") and run.load({}) == {"at": 1}
    assert all(path.read_text() == "mine" for path in mine)


def test_a_relative_folder_stays_where_it_was_given(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    run = Run("runs/one")
    part = run.part("piece")
    monkeypatch.chdir(tmp_path / "elsewhere")
    with run, part:
        run.save({"at": 1}, {})
        run.record({"step": 1})
        part.save({"at": 2}, {})
    assert {path.name for path in (tmp_path / "runs" / "one").iterdir()} == {
        ".lock",
        "checkpoint",
        "metrics.jsonl",
        "piece",
    }
    assert (tmp_path / "runs" / "one" / "piece" / "checkpoint").exists()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Run() as run, run.part("piece") as part:
        for one in (run, part):
            one.save({"at": 1}, {})
            one.record({"step": 1})
            one.discard()
            assert one.load({}) is None and one.folder is None
    assert list(tmp_path.iterdir()) == []


def test_parts_count_in_the_steps_of_the_whole_and_share_what_it_allows(tmp_path):
    seen = []
    run = Run(tmp_path, resume=True, identity={"data": 1}, progress=seen.append, allow={"steps"})
    first, second = run.part("first", steps=30), run.part("second", 20, 30)
    first.report(Progress("train", 5, 20, {"loss": 1.0}, 2.0))
    second.report(Progress("evaluate", 3, 10, {}, 0.0))
    second.part("inner", 4).report(Progress("evaluate", 1, 2, {}, 0.0))
    assert [(p.stage, p.step, p.steps) for p in seen] == [("train", 5, 30), ("evaluate", 23, 30), ("evaluate", 25, 30)]
    assert seen[0].figures == {"loss": 1.0}
    # 15 steps of the piece in 2 seconds, 25 are left of the whole
    assert seen[0].seconds_left == pytest.approx(2.0 / 15 * 25)
    for part in (first, second):
        with part:
            part.save({}, {"steps": 1})
        with warnings.catch_warnings(), part:
            warnings.simplefilter("ignore")
            part.load({"steps": 2})
    assert run.changes == ["steps was 1, is 2"] * 2


def test_a_write_to_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path, monkeypatch):
    with Run(tmp_path) as run:
        run.save({"at": 1}, {})

        def full(*arguments):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(ElasticNASError, match="checkpoint: cannot be written, the disk is full; free space"):
                run.save({"at": 2}, {})
    with Run(tmp_path, resume=True) as run:
        assert run.load({}) == {"at": 1}
    assert [path.name for path in tmp_path.iterdir() if "tmp" in path.name] == []
    write_bytes(tmp_path / "deep" / "er" / "file", b"1")
    assert (tmp_path / "deep" / "er" / "file").read_bytes() == b"1"


def test_an_identity_can_be_read_again_or_is_refused_at_once(tmp_path):
    with Run(tmp_path, identity={"rate": np.float64(0.5)}) as run:
        run.save({"x": 1}, {})
    with Run(tmp_path, resume=True, identity={"rate": 0.5}) as run:
        assert run.load({}) == {"x": 1}
    for given in ({"data": tmp_path}, {"share": float("nan")}, {1: torch.zeros(1)}):
        with pytest.raises(ConfigError, match=r"^identity=.*: plain data is needed") as raised:
            Run(tmp_path, identity=given)
        assert "\n" not in str(raised.value)


def test_a_run_leaves_alone_what_another_writes_in_a_folder_below(tmp_path):
    ours, theirs = (tmp_path / name / ".result.json.x.elasticnas-tmp" for name in ("rows", "other"))
    for path in (ours, theirs):
        path.parent.mkdir()
        path.touch()
    with Run(tmp_path / "other") as other:
        theirs.touch()
        with Run(tmp_path):
            other.save({"x": 1}, {})
    assert theirs.exists() and not ours.exists()
    with Run(tmp_path / "other"):
        assert not theirs.exists()


def test_a_metrics_file_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("mine")
    with pytest.raises(CheckpointError, match=r"holds a metrics\.jsonl that no run has written; use another folder"):
        Run(tmp_path).__enter__()
    assert (tmp_path / "metrics.jsonl").read_text() == "mine"


def test_what_json_cannot_say_is_null(tmp_path):
    with Run(tmp_path) as run:
        run.record({"loss": math.inf, "metrics": {"auc": math.nan, "acc": 0.5}})
    lines = (tmp_path / "metrics.jsonl").read_text()
    assert json.loads(lines, parse_constant=pytest.fail) == {"loss": None, "metrics": {"auc": None, "acc": 0.5}}
