"""The examples run, and end in what they promise."""

import importlib.util

import torch

from elasticnas.cost import Flops
from tests.conftest import ROOT


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_own_transformer_finds_saves_and_loads(tmp_path, capsys):
    example = load("own_transformer")
    result = example.main(steps=60, folder=tmp_path / "model")
    cost = Flops(example.Larger(example.Encoder.axes()), torch.zeros(1, example.LENGTH, dtype=torch.long))
    assert cost(result.best) <= 0.5 * cost(example.Encoder.largest())
    assert len(result.random_tried) == 6
    assert (tmp_path / "model" / "model.safetensors").exists()
    assert "accuracy of the loaded network" in capsys.readouterr().out
