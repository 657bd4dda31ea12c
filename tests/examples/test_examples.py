"""The examples run, and end in what they promise."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys

import pytest
import torch

from elasticnas.cost import Flops
from elasticnas.plugins import STRATEGIES, load_plugin, plugin_names
from elasticnas.testing import assert_mask_slice_equal
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


def test_own_module_proves_itself():
    file = ROOT / "examples" / "own_module.py"
    done = subprocess.run([sys.executable, file], capture_output=True, text=True)
    assert done.returncode == 0 and "15 passed" in done.stdout, done.stdout + done.stderr


def test_own_module_with_live_dead_channels_would_be_found_out():
    example = load("own_module")
    x, arch, axes = torch.ones(1, 2, 6).double(), example.Sizes.smallest(), example.Sizes.axes()

    class Broken(example.ChannelGate):
        def forward(self, x):
            return super().forward(x) + torch.sigmoid(self.start()).mean()

    sizes = {"inputs_size": axes.hidden, "outputs_size": axes.hidden}
    assert_mask_slice_equal(example.ChannelGate(axes.hidden, axes.squeezed), arch, x, **sizes)
    with pytest.raises(AssertionError, match="mask: output: differs from slicing"):
        assert_mask_slice_equal(Broken(axes.hidden, axes.squeezed), arch, x, **sizes)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs an example's package as pip does, in a folder of its own; its source, and that folder."""
    packages = []

    def installed(example, package):
        source, target = tmp_path / "source", tmp_path / "site"
        shutil.copytree(ROOT / "examples" / example, source)
        pip = ["-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "-q", "--target"]
        done = subprocess.run([sys.executable, *pip, target, source], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        monkeypatch.syspath_prepend(str(target))
        packages.append(package)
        return source, target

    yield installed
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[name]


def test_a_strategy_of_an_installed_package_keeps_the_contract(install):
    source, target = install("strategy_package", "sparse")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", source / "tests"]
    path = os.pathsep.join([str(target), *sys.path])
    done = subprocess.run(command, capture_output=True, text=True, cwd=source, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0 and "16 passed" in done.stdout, done.stdout + done.stderr


def test_a_strategy_of_an_installed_package_is_run_by_its_name(install, main, tmp_path):
    _, target = install("strategy_package", "sparse")
    assert load_plugin(STRATEGIES, "sparse").name == "sparse"
    assert str(target) in sys.modules["sparse"].__file__
    assert "elasticnas-sparse 1.0" in main("plugins")[1]
    changes = "model.hidden=8 model.inner=8 model.length=8 model.layers=1 search.epochs=1 search.batch=256"
    changes += " search.warmup=0 train.epochs=1 train.batch=256 search.random_architectures=2 negatives=20"
    settings = [part for change in changes.split() for part in ("--set", change)]
    common = ["easrec", "run", "--preset", "demo", "--threads", 1, *settings]

    def run(folder, strategy, options):
        changes = f"search.strategy={strategy}", "--set", f"search.options={options}"
        return main(*common, "--out", tmp_path / folder, "--set", *changes)

    assert run("run", "sparse", "{weight: 0.5}")[0] == 0
    assert json.loads((tmp_path / "run" / "result.json").read_text())["search"]["result"]["strategy"] == "sparse"
    code, _, said = run("heat", "sparse", "{heat: 1}")
    assert (code, said) == (1, "error: search.options: sparse does not take 'heat'; it takes weight\n")
    names = ", ".join(sorted({"sparse", *plugin_names(STRATEGIES)}))
    said = f"error: no plug-in 'dense' in elasticnas.strategies; installed are {names}\n"
    assert run("dense", "dense", "{}")[::2] == (1, said) and "dynamic-constraint" in names


def test_an_installed_package_brings_a_space_and_a_recipe(install, main):
    _, installed = install("plugin_package", "funnel")
    code, listed, warned = main("plugins")
    assert (code, warned) == (0, "")
    for text in ("elasticnas-funnel 1.0", "funnel.space:Funnel", "funnel.recipe:recipe"):
        assert text in listed
    assert str(installed) in sys.modules["funnel"].__file__
    code, shown, _ = main("space", "show", "funnel")
    assert code == 0 and "64, 48, 32" in shown and "architectures: 8" in shown
    assert "Perceptrons with decreasing widths, within a budget." in main("--help")[1]
    # 2 (16 * 48 + 48 * 32 + 32 * 2) = 4,736
    assert main("funnel", "largest", "--budget", 5000) == (0, "Funnel(first=48, second=32): 4,736 FLOPs\n", "")
    code, _, warned = main("funnel", "largest", "--budget", 100)
    assert (code, warned) == (1, "error: --budget 100: the smallest funnel needs 2,112 FLOPs; raise the budget\n")
    assert main("funnel", "largest")[0] == 2


def test_a_transformer_of_torch_is_elastified_searched_and_taken_out(tmp_path, capsys):
    example = load("elastify_transformer")
    result = example.main(steps=60, trials=4, folder=tmp_path / "model")
    said = capsys.readouterr().out
    supernet = example.elasticnas.elastify(example.build, example.Sizes, example=example.HELD_OUT[0][0][:2])
    whole = Flops(supernet, example.HELD_OUT[0][0][:1])
    assert all(c.costs["flops"] <= 0.5 * whole(example.Sizes.largest()) for c in result.tried)
    assert "(12 hidden)" in said and (tmp_path / "model" / "model.safetensors").exists()
    assert f"accuracy of the loaded network: {result.found.metrics['accuracy']:.3f}" in said


def test_a_hugging_face_model_is_searched_and_saved_as_one(tmp_path, capsys):
    example = load("hugging_face")
    result = example.main(steps=5, trials=3, folder=tmp_path / "gpt2")
    said = capsys.readouterr().out
    assert f"accuracy of the loaded network: {result.found.metrics['accuracy']:.3f}" in said
    loaded = example.GPT2LMHeadModel.from_pretrained(tmp_path / "gpt2")
    assert (loaded.config.n_head, loaded.config.n_layer) == (result.best.heads, result.best.depth)
