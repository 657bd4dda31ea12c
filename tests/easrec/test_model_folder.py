"""Model, settings and data of a folder belong together, or recommend refuses."""

import json
import os
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from easrec import Recommender
from easrec.data import prepare, read_interactions
from easrec.data.synthetic import planted
from elasticnas.errors import CheckpointError
from tests.easrec.runs import untrained_run

SMALL = {"hidden": 16, "inner": 16, "length": 8, "layers": 2, "heads": 2, "attention": "linrec"}


def folder_of(path, seed, weights=0):
    """A finished run in a folder, on data of a seed, with a network that nobody trained."""
    path.mkdir()
    planted(users=20, items=48, categories=4, length=12, seed=seed).write(path / "planted.tsv")
    data = prepare(read_interactions(path / "planted.tsv"))
    untrained_run(path, data, SMALL, weights)
    return path, data


def recommended(main, out, *more):
    return main("easrec", "recommend", "--out", out, *(more or ("--user", "user-00001", "--json")))


def test_a_model_trained_on_other_data_is_refused_though_its_items_are_the_same(main, tmp_path):
    out, data = folder_of(tmp_path / "a", 0)
    loaded = Recommender.load(out)
    assert loaded.data == data.fingerprint
    assert recommended(main, out)[0] == 0
    Recommender(loaded.network, loaded.arch, loaded.config, data.item_ids, data="0" * 64).save(out / "model")
    code, printed, said = recommended(main, out)
    assert (code, printed) == (1, "") and "was trained on other data" in said and said.count("\n") == 1
    (out / "data.npz").unlink()  # run.json still says which data it was
    assert "was trained on other data" in recommended(main, out, "--history", data.item_ids[1])[2]


@pytest.mark.parametrize(("bf16", "precision"), [(False, "float32"), (True, "bfloat16")])
def test_a_run_from_before_precision_is_read(main, tmp_path, bf16, precision):
    out, _ = folder_of(tmp_path / "a", 0)
    before = recommended(main, out)
    for path, name in ((out / "model" / "recommender.json", "config"), (out / "run.json", "settings")):
        content = json.loads(path.read_text())
        del content[name]["train"]["precision"]
        content[name]["train"]["bf16"] = bf16
        if content.pop("sha256", None):
            content["sha256"] = sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        path.write_text(json.dumps(content))
    assert Recommender.load(out).config.train.precision == precision
    assert recommended(main, out) == before


def test_weights_of_another_run_are_refused(tmp_path):
    (one, _), (other, _) = folder_of(tmp_path / "a", 0), folder_of(tmp_path / "b", 0, weights=1)
    for name in ("model.safetensors", "architecture.json"):
        (one / "model" / name).write_bytes((other / "model" / name).read_bytes())
    with pytest.raises(CheckpointError, match=r"model\.safetensors: belongs to another model than recommender\.json"):
        Recommender.load(one)


def test_weights_are_read_once(tmp_path, monkeypatch):
    out, _ = folder_of(tmp_path / "a", 0)
    opened, really = [], os.open
    monkeypatch.setattr(os, "open", lambda path, *more, **named: opened.append(path) or really(path, *more, **named))
    Recommender.load(out)
    assert [Path(path).name for path in opened].count("model.safetensors") == 1


@pytest.mark.parametrize(
    ("architecture", "sizes", "message"),
    [
        ({"candidate": 99, "depth": 99}, {"candidate": 99, "depth": 99}, "candidate: Input should be 0, 1 or 2"),
        ({"candidate": 0}, {"candidate": 0}, "hidden is 16, but EASRecSpace"),
        ({}, {"hidden": 10**9}, "hidden is 1000000000, but EASRecSpace"),
        ({}, {"depth": 1}, "depth is 1 in sizes and 2 in architecture"),
        ({"candidate": 0, "depth": 2}, {"candidate": 0}, "hidden is 16, but"),
    ],
)
@pytest.mark.parametrize("signed", [False, True])
def test_an_architecture_that_is_edited_is_refused(main, tmp_path, architecture, sizes, message, signed):
    out, data = folder_of(tmp_path / "a", 0)
    path = out / "model" / "architecture.json"
    description = json.loads(path.read_text())
    description["architecture"] = architecture or description["architecture"]
    description["sizes"] |= sizes
    if not signed:
        del description["checksum"]
        path.write_text(json.dumps(description))
        assert message in recommended(main, out)[2]
        return
    path.write_text(json.dumps(description))
    code, _, said = recommended(main, out, "--history", data.item_ids[1])
    assert code == 1 and "architecture.json: edited or damaged" in said


@pytest.mark.parametrize("items", [["", 1, 2], ["", "a", "a"], [], "abc", {"a": 1}, None])
def test_items_that_are_no_ids_are_refused(tmp_path, items):
    out, _ = folder_of(tmp_path / "a", 0)
    path = out / "model" / "recommender.json"
    content = json.loads(path.read_text()) | {"items": items}
    del content["sha256"]
    signed = content | {"sha256": sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}
    path.write_text(json.dumps(signed))
    with pytest.raises(CheckpointError, match="its items are not"):
        Recommender.load(out)


@pytest.mark.parametrize("name", ["run.json", "model/recommender.json", "model/architecture.json"])
@pytest.mark.parametrize("text", ["[" * 200_000, "{}", "null", '"\\ud800"', ""])
def test_files_of_another_kind_are_one_line(main, tmp_path, name, text):
    out, _ = folder_of(tmp_path / "a", 0)
    (out / name).write_text(text)
    code, printed, said = recommended(main, out)
    assert (code, printed) == (1, "") and said.startswith("error: ") and said.count("\n") == 1 and name in said


def test_the_folder_model_alone_suffices(main, tmp_path):
    out, data = folder_of(tmp_path / "a", 0)
    code, printed, _ = recommended(main, out / "model", "--history", data.item_ids[1], "--json")
    assert code == 0 and len(json.loads(printed)["items"]) == 10


def spoiled(out, change):
    """Weights changed, and all checksums made right."""
    folder = out / "model"
    weights = change(load_file(folder / "model.safetensors"))
    (folder / "model.safetensors").write_bytes(to_bytes(weights))
    checksum = sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    described = json.loads((folder / "architecture.json").read_text()) | {"sha256": checksum}
    del described["checksum"]
    (folder / "architecture.json").write_text(json.dumps(described))
    content = json.loads((folder / "recommender.json").read_text()) | {"weights": checksum}
    del content["sha256"]
    signed = content | {"sha256": sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}
    (folder / "recommender.json").write_text(json.dumps(signed))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: {name: each.to(torch.float8_e4m3fn) for name, each in w.items()}, "weights of torch.float8_e4m3fn"),
        (lambda w: w | {"positions": w["positions"].half()}, "weights of torch.float16, torch.float32; one type"),
        (lambda w: w | {"positions": w["positions"] * float("nan")}, "positions is not finite, so no item has a score"),
    ],
)
def test_weights_that_give_no_scores_are_refused(main, tmp_path, change, message):
    out, _ = folder_of(tmp_path / "a", 0)
    spoiled(out, change)
    code, printed, said = recommended(main, out)
    assert (code, printed) == (1, "") and message in said and said.count("\n") == 1


def test_weights_of_half_precision_are_accepted(main, tmp_path):
    out, _ = folder_of(tmp_path / "a", 0)
    spoiled(out, lambda weights: {name: each.bfloat16() for name, each in weights.items()})
    assert recommended(main, out)[0] == 0
