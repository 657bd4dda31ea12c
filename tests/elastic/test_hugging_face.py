"""An extracted Hugging Face model leaves elasticnas behind."""

import site

import torch

from elasticnas import extract
from tests.elastic.elsewhere import packages, read_without_elasticnas
from tests.elastic.families import IDS
from tests.elastic.test_families import supernet


def test_saved_by_save_pretrained_and_loaded_where_elasticnas_is_not(tmp_path):
    model = supernet("GPT-2").float()
    arch = model.space(heads=2, inner=24, depth=1)
    plain = extract(model, arch, {"input_ids": IDS})
    plain.save_pretrained(tmp_path / "found")
    done = read_without_elasticnas(tmp_path / "found", IDS.tolist(), tmp_path)
    assert done.returncode == 0, done.stderr
    config, weights, logits = torch.load(tmp_path / "out.pt")
    assert (config["n_head"], config["n_embd"], config["n_layer"]) == (2, 16, 1)
    assert weights.keys() == plain.state_dict().keys()
    assert all(torch.equal(weights[name], tensor) for name, tensor in plain.state_dict().items())
    # another process may add up in another order (threads, alignment of the loaded file): equal to float32 rounding
    torch.testing.assert_close(logits, plain(IDS).logits, atol=1e-6, rtol=1e-6)
    assert plain.lm_head.weight is plain.transformer.wte.weight


def test_an_installed_elasticnas_is_left_out(tmp_path, monkeypatch):
    """As after ``pip install .``, which copies the package beside all others."""
    installed = tmp_path / "site-packages"
    for name in ("torch", "elasticnas", "elasticnas-1.0.dist-info", "easrec", "_elasticnas.pth"):
        (installed / name).mkdir(parents=True)
    monkeypatch.setattr(site, "getsitepackages", lambda: [str(installed)])
    assert [entry.name for entry in packages(tmp_path / "packages").iterdir()] == ["torch"]
