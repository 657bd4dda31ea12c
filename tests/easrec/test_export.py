"""The saved recommender as one file: it scores what the recommender scores."""

import sys

import numpy as np
import onnxruntime
import pytest
import torch

from easrec import Config
from easrec.artifact import Recommender
from easrec.data.synthetic import planted
from easrec.export import export, fixed_length
from easrec.model import build
from easrec.space import space_for

SMALL = {"hidden": 16, "inner": 16, "length": 12, "layers": 1, "heads": 2}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run."""
    from typer.testing import CliRunner

    from easrec.cli import commands

    folder = tmp_path_factory.mktemp("run")
    planted(users=60, items=24, categories=4, length=12).write(folder / "log.tsv")
    settings = [f"model.{name}={value}" for name, value in SMALL.items()]
    settings += ["search.epochs=1", "train.epochs=1", "negatives=3", "compare=[]", "search.random_architectures=1"]
    changes = [part for change in settings for part in ("--set", change)]
    command = ["run", "--data", folder / "log.tsv", "--out", folder / "out", "--threads", 1, *changes]
    done = CliRunner().invoke(commands, [*map(str, command)])
    assert done.exit_code == 0, done.output
    return folder / "out"


def histories(length, items, rows=5):
    """``(rows, length)`` ids and lengths: one full row, one of a single item, others between."""
    generator = torch.Generator().manual_seed(3)
    lengths = torch.tensor([length, 1, *torch.randint(1, length + 1, (rows - 2,), generator=generator).tolist()])
    ids = torch.randint(1, items + 1, (rows, length), generator=generator)
    return ids.masked_fill(torch.arange(length) >= lengths[:, None], 0), lengths


def test_onnx_scores_equal_the_recommenders(main, finished, tmp_path):
    target = tmp_path / "deep" / "model.onnx"
    code, said, warned = main("easrec", "export", "--out", finished, "--format", "onnx", "--to", target)
    assert code == 0 and warned == "" and said.count("\n") == 1, warned
    assert str(target) in said and " MB, up to 12 ids a row, scores differ" in said
    session = onnxruntime.InferenceSession(target)
    assert [(i.name, i.shape, i.type) for i in session.get_inputs()] == [
        ("items", ["batch", "length"], "tensor(int64)")
    ]
    assert [(o.name, o.shape) for o in session.get_outputs()] == [("scores", ["batch", 25])]
    recommender = Recommender.load(finished / "model")
    for length in (12, 7, 1):
        ids, lengths = histories(length, 24)
        scores = session.run(["scores"], {"items": ids.numpy()})[0]
        expected = recommender.network.next_item(ids, lengths).detach().numpy()
        assert scores.shape == (5, 25) and np.isneginf(scores[:, 0]).all()
        np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)
    # the order of recommendations, in original ids
    ids, lengths = histories(12, 24)
    scores = session.run(None, {"items": ids.numpy()})[0]
    for row, count, order in zip(ids, lengths, scores.argsort(axis=1)[:, ::-1], strict=True):
        history = [recommender.item_ids[n] for n in row[:count].tolist()]
        best = recommender.recommend([history], top=3, repeats=True)[0]
        assert [item for item, _ in best] == [recommender.item_ids[n] for n in order[:3]]


def test_torch_file_scores_equal_the_recommenders(main, finished, tmp_path):
    target = tmp_path / "model.pt2"
    code, said, _ = main("easrec", "export", "--out", finished, "--format", "torch", "--to", target)
    assert code == 0 and "up to 12 ids" in said
    scorer, network = torch.export.load(target).module(), Recommender.load(finished / "model").network
    for length in (12, 7, 1):
        ids, lengths = histories(length, 24)
        torch.testing.assert_close(scorer(ids), network.next_item(ids, lengths))


@pytest.mark.parametrize(
    "settings",
    [
        {"attention": "linrec"},
        {"attention": "linrec", "key_norm": "token", "gate_input": "position", "gate_rank": 4},
        {"attention": "linrec", "form": "prefixes"},
        {"form": "prefixes", "heads": 1, "gate_position": "after", "gate_layers": 1},
        {"gate_layers": 0, "weights": "separate", "embedding_norm": False},
        {"length": 1},
        {"attention": "hstu"},
        {"attention": "softmax", "attention_choices": ("linrec", "hstu")},
    ],
    ids=str,
)
def test_every_kind_of_network_exports(settings, tmp_path):
    model = {**SMALL, **settings}
    form = model.pop("form", "causal")
    config = Config.model_validate({"model": model, "train": {"form": form}})
    torch.manual_seed(0)
    arch = space_for(config.model).smallest()
    network = build(config.model, 30, arch, form == "causal")
    recommender = Recommender(network, arch, config, [str(number) for number in range(31)])
    linrec = "linrec" in (model.get("attention"), getattr(arch, "attention", None))
    assert fixed_length(recommender) == (form == "causal" and linrec)
    target, length = tmp_path / "model.pt2", config.model.length
    export(recommender, "torch", target)
    scorer = torch.export.load(target).module()
    for given in {length} if fixed_length(recommender) else {length, (length + 1) // 2}:
        ids, lengths = histories(given, 30)
        torch.testing.assert_close(scorer(ids), network.next_item(ids, lengths))


def test_causal_linrec_says_its_length_is_fixed(main, tmp_path):
    config = Config.model_validate({"model": {**SMALL, "attention": "linrec"}})
    arch = space_for(config.model).smallest()
    Recommender(build(config.model, 3, arch, True), arch, config, ["", "a", "b", "c"]).save(tmp_path / "model")
    target = tmp_path / "model.onnx"
    code, said, _ = main("easrec", "export", "--out", tmp_path, "--to", target)
    assert code == 0 and "exactly 12 ids a row" in said
    assert onnxruntime.InferenceSession(target).get_inputs()[0].shape == ["batch", 12]


def test_wrong_uses_are_one_line_and_leave_nothing(main, finished, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    model = tmp_path / "model.onnx"
    for options, message in (
        (["--out", tmp_path / "none", "--to", model], "recommender.json: not found; give the folder of a finished run"),
        (["--out", finished, "--format", "torch", "--to", tmp_path / "file" / "x"], "a file is where a folder should"),
        (["--out", finished, "--format", "torch", "--to", tmp_path / "folder"], "cannot be written, Is a directory"),
    ):
        code, said, warned = main("easrec", "export", *options)
        assert (code, said) == (1, "") and message in warned and warned.count("\n") == 1, warned
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    code, _, warned = main("easrec", "export", "--out", finished, "--to", model)
    assert (code, warned) == (1, "error: onnxscript is not installed; pip install 'elasticnas[export]'\n")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"} and not any((tmp_path / "folder").iterdir())


def test_wrong_usage_exits_2(main, finished, tmp_path):
    code, _, warned = main("easrec", "export", "--out", finished, "--format", "tflite", "--to", tmp_path / "x")
    assert code == 2 and "'tflite' is not one of" in warned
    assert main("easrec", "export", "--out", finished)[0] == 2
    assert not any(tmp_path.iterdir())
