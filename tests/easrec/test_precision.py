"""train.precision: what auto chooses, and that a run records it."""

import io
import json

import pytest
import torch
from rich.console import Console

from easrec.config import Config
from easrec.data import prepare
from easrec.data.synthetic import planted
from easrec.pipeline import Pipeline
from easrec.precision import chosen_precision, with_precision
from elasticnas.errors import CheckpointError
from elasticnas.run import Run

FAST = {
    "model": {"hidden": 8, "inner": 8, "layers": 1, "heads": 1, "length": 6, "gate_layers": 0},
    "search.strategy": "none",
    "search.budget": None,
    "compare": [],
    "train.epochs": 1,
    "train.precision": "auto",
}
CPU = torch.device("cpu")


@pytest.fixture(params=[True, False], ids=["AMX", "no AMX"])
def amx(request, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": request.param}, raising=False)
    return request.param


def test_auto_is_bfloat16_with_amx_only(amx):
    softmax = {"softmax"}
    assert chosen_precision("auto", CPU, softmax) == ("bfloat16" if amx else "float32")
    assert chosen_precision("auto", torch.device("cuda"), softmax) == "float32"
    assert chosen_precision("bfloat16", CPU, {"linrec"}) == "bfloat16"
    assert chosen_precision("float32", CPU, softmax) == "float32"


@pytest.mark.parametrize(
    "changes",
    [
        {"model.attention": "linrec"},
        {"model.attention_choices": ["softmax", "hstu"]},
        {"model.space": "wide"},
    ],
)
def test_auto_is_float32_where_equal_accuracy_is_not_shown(changes, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    config, line = with_precision(Config().updated({"train.precision": "auto"} | changes), CPU)
    assert config.train.precision == "float32"
    assert "not shown to be as accurate with" in line


def test_the_choice_is_said_and_replaces_auto(amx):
    config, line = with_precision(Config().updated({"train.precision": "auto"}), CPU)
    assert config.train.precision == ("bfloat16" if amx else "float32")
    assert config.train.precision in line and "AMX" in line
    assert with_precision(Config(), CPU) == (Config(), "")


def test_versions_of_torch_that_cannot_tell_choose_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert chosen_precision("auto", CPU, {"softmax"}) == "float32"


def test_a_run_records_the_choice_and_another_machine_does_not_continue_it(tmp_path, monkeypatch):
    data, config = prepare(planted(users=60, items=24, categories=4, length=9).frame), Config().updated(FAST)
    said = io.StringIO()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    with Pipeline(data, config, Run(tmp_path / "run"), CPU, Console(file=said, width=200)) as pipeline:
        assert pipeline.config.train.precision == "bfloat16"
    assert "train.precision=auto chooses bfloat16: softmax attention, and this CPU has AMX" in said.getvalue()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["train"]["precision"] == "bfloat16"
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    with pytest.raises(CheckpointError, match=r"train\.precision"):
        Pipeline(data, config, Run(tmp_path / "run", resume=True), CPU)
    same = config.updated({"train.precision": "bfloat16"})
    assert Pipeline(data, same, Run(tmp_path / "run", resume=True), CPU).config.train.precision == "bfloat16"
