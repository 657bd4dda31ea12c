"""A user's program, in one process, under torchrun and accelerate; killed, and resumed by as many processes or not."""

import shutil

import pytest
import torch

from tests.parallel.launching import launched, torchrun

SCRIPT = "tests.parallel.script"
ACCELERATE = [
    "accelerate.commands.launch",
    *("--multi_gpu", "--num_processes=2", "--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no"),
    *("--main_process_port=0", "-m"),
]


def result(folder):
    return torch.load(folder / "found.pt")


def difference(folder, other):
    found, expected = result(folder), result(other)
    assert found["found"] == expected["found"]
    pairs = [(found["figures"], expected["figures"])]
    for part in ("weights", "plain"):
        assert found[part].keys() == expected[part].keys()
        pairs += [(found[part][name], expected[part][name]) for name in found[part]]
    return max(float((one - two).abs().max()) for one, two in pairs)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    launched(SCRIPT, [folder])
    return folder


@pytest.mark.parametrize("kind", ["ddp", pytest.param("fsdp", marks=pytest.mark.slow)])
def test_torchrun_gives_what_python_gives(kind, alone, tmp_path):
    done = launched(SCRIPT, [tmp_path, "--parallel", kind], torchrun())
    assert "rank 0 of 2" in done.stdout and "rank 1 of 2" in done.stdout
    assert difference(tmp_path, alone) < 1e-12


@pytest.mark.parametrize("by", [pytest.param("library", marks=pytest.mark.slow), "accelerate"])
def test_accelerate_launch_gives_what_python_gives(by, alone, tmp_path):
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    done = launched(SCRIPT, [tmp_path, *(["--accelerate"] if by == "accelerate" else [])], ACCELERATE)
    assert "rank 1 of 2" in done.stdout
    assert difference(tmp_path, alone) < 1e-12


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    done = launched(SCRIPT, [folder, "--kill", 6], torchrun(), check=False)
    assert done.returncode != 0
    assert "Signal 9 (SIGKILL)" in done.stderr
    assert (folder / "training" / "checkpoint").exists()
    assert not (folder / "found.pt").exists()
    return folder


@pytest.mark.parametrize("processes", [2, 1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_killed_program_is_resumed_by_as_many_processes_or_not(processes, killed, alone, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(killed, folder)
    done = launched(SCRIPT, [folder, "--resume"], torchrun(processes) if processes > 1 else ())
    assert difference(folder, alone) < 1e-12
    lines = result(folder)["warnings"]
    if processes == 2:
        assert lines == ()
    else:
        assert lines == (
            f"was saved by 2 processes and continues on {processes}: weights, optimizer and position in the data are "
            "the same, random draws such as dropout are not",
        )
        assert done.stderr.count("was saved by 2 processes") == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_random_states_are_of_each_rank(kind, tmp_path):
    given = ["--parallel", kind, "--dropout", 0.3]
    launched(SCRIPT, [tmp_path / "whole", *given], torchrun())
    launched(SCRIPT, [tmp_path / "parts", *given, "--kill", 6], torchrun(), check=False)
    launched(SCRIPT, [tmp_path / "parts", *given, "--resume"], torchrun())
    assert difference(tmp_path / "parts", tmp_path / "whole") == 0.0


@pytest.mark.slow
def test_a_checkpoint_of_sharded_weights_is_that_of_one_process(alone, tmp_path):
    launched(SCRIPT, [tmp_path, "--parallel", "fsdp", "--kill", 6], torchrun(), check=False)
    assert not (tmp_path / "found.pt").exists()
    launched(SCRIPT, [tmp_path, "--resume"])
    assert difference(tmp_path, alone) < 1e-12
