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


def test_comparing_settings_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    from easrec.data.synthetic import planted

    example = load("compare_settings")
    small = {"model": {"hidden": 8, "inner": 8, "length": 10, "layers": 1, "heads": 2}, "train": {"epochs": 1}}
    monkeypatch.setattr(example, "BASE", small)
    planted(users=40, items=24, categories=4, length=9).write(tmp_path / "log.tsv")
    arguments = [str(tmp_path / "log.tsv"), str(tmp_path), "--epochs", "1"]
    example.main([*arguments, "--seeds", "1"])
    before = capsys.readouterr().out
    example.main([*arguments, "--seeds", "2"])
    after = capsys.readouterr().out
    assert before.count("seed 0") == after.count("seed 1") == len(example.VARIANTS) and "seed 0" not in after
    page = (tmp_path / "settings.md").read_text()
    assert all(name in page for name in example.VARIANTS) and page.count("±") == 3 * len(example.VARIANTS)
