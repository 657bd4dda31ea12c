"""The digits recipe: its data, its network, and a whole run in seconds."""

import json

import pytest
import torch

from elasticnas import extract, load
from elasticnas.cost import count_flops
from elasticnas_recipes.digits.config import Config
from elasticnas_recipes.digits.images import load_images
from elasticnas_recipes.digits.model import Sizes, build, scaled, supernet
from elasticnas_recipes.digits.task import study

SHORT = ["study.steps=6", "study.tune_steps=2", "study.trials=4", "study.population=2", "study.shares=[0.5]"]


@pytest.fixture(scope="module")
def parts():
    return load_images(seed=0)


def test_parts_are_apart_and_hold_as_many_of_each_digit(parts):
    images, fingerprint = parts
    assert [len(images[name]) for name in ("train", "validation", "test")] == [1078, 359, 360]
    for part in images.values():
        share = part.digits.bincount(minlength=10) / len(part)
        assert share.min() > 0.09 and share.max() < 0.11
    assert load_images(0)[1] == fingerprint != load_images(1)[1]


def test_batches_hold_every_image_moved_by_at_most_a_pixel(parts):
    train = parts[0]["train"]
    batches = list(train.shifted(epoch=3, batch=77, seed=0))
    assert sum(len(digits) for _, digits in batches) == 1078  # 14 batches of 77
    assert torch.equal(torch.cat([d for _, d in batches]).bincount(), train.digits.bincount())
    again = train.shifted(epoch=3, batch=77, seed=0)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(batches, again, strict=True))
    assert not torch.equal(batches[0][0], next(train.shifted(epoch=4, batch=77, seed=0))[0])
    padded = torch.nn.functional.pad(train.pixels, (1, 1, 1, 1), value=-4.9 / 6.0)
    moved = torch.stack([padded[:, y : y + 8, x : x + 8] for y in range(3) for x in range(3)])
    for image in batches[0][0][:10]:
        assert (moved == image).all(-1).all(-1).any()


def test_fewer_images_than_a_batch_are_one_batch(parts):
    ((pixels, digits),) = parts[0]["test"].shifted(epoch=0, batch=1000, seed=0)
    assert pixels.shape == (360, 8, 8) and len(digits) == 360


@pytest.mark.parametrize(
    "arch", [Sizes.smallest(), Sizes.largest(), Sizes(hidden=48, heads=3, depth=2, inner=(64, 32))]
)
def test_a_sub_network_is_the_separately_built_one(arch):
    torch.manual_seed(0)
    model, images = supernet().double().eval(), torch.randn(5, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        with model.at(arch):
            inside = model(images)
        plain = extract(model, arch, images)
        assert torch.equal(plain(images), inside)
        assert plain.state_dict().keys() == build(arch).state_dict().keys()
        assert [block.up.out_features for block in plain.layers] == list(arch.inner)
        assert plain.layers[0].attention.heads == arch.heads


def test_heads_are_kept_whole():
    """The first heads with all of their units: queries, keys and values of a head stay together."""
    torch.manual_seed(0)
    model = supernet()
    small = extract(model, Sizes(hidden=64, heads=2, depth=1, inner=(128,)))
    full = model.state_dict()
    name = next(key for key in full if key.endswith("layers.0.attention.qkv.weight"))
    rows = full[name].view(3, 4, 16, 64)[:, :2].reshape(96, 64)
    assert torch.equal(small.layers[0].attention.qkv.weight, rows)


def test_scaled_by_one_is_the_largest():
    example = torch.zeros(1, 8, 8)
    assert count_flops(build(scaled(1.0)), example) == count_flops(build(Sizes.largest()), example)
    tiny = build(scaled(1e-6))
    assert tiny(example).shape == (1, 10)


@pytest.mark.slow
def test_the_run_writes_what_the_study_promises_and_resumes(main, tmp_path):
    changes = [word for change in SHORT for word in ("--set", change)]
    arguments = ["digits", "run", "--out", tmp_path / "run", "--seed", 3, "--threads", 1, *changes]
    code, said, warned = main(*arguments)
    assert code == 0, warned
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert [(row["share"], row["kind"]) for row in result["rows"]][-2:] == [(1.0, "searched"), (1.0, "uniform")]
    assert result["settings"]["seed"] == 3 and result["facts"]["train"] == "1,078 images"
    assert all(0 <= row["test"] <= 1 for row in result["rows"]) and "result.md" in said
    network = load(tmp_path / "run" / "networks" / "100", build).eval()
    made, _ = study(
        Config().model_copy(update={"study": Config().study.model_copy(update={"seed": 3})}), torch.device("cpu")
    )
    with torch.no_grad():
        row = next(row for row in result["rows"] if row["share"] == 1.0 and row["kind"] == "searched")
        right = made.test(network)["accuracy"]
    assert (row["examples"], row["test"]) == (360, int(right.sum()) / 360)
    assert row["interval"][0] <= row["test"] <= row["interval"][1] and (tmp_path / "run" / "report.html").exists()
    code, _, warned = main(*arguments)
    assert (code, "holds a study already; --resume continues it" in warned) == (1, True)
    assert main(*arguments, "--resume")[0] == 0
    code, _, warned = main(*arguments, "--resume", "--set", "batch=32")
    assert code == 1 and "facts.batch was 64, is 32" in warned


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "study.stepz=1"], "unknown setting 'study.stepz', did you mean 'study.steps'"),
        (["--set", "batch=0"], "batch"),
        (["--set", "batch"], "write name=value"),
        (["--device", "abacus"], "--device abacus: not available here"),
    ],
)
def test_mistakes_are_one_line(main, tmp_path, options, message):
    code, _, warned = main("digits", "run", "--out", tmp_path / "run", *options)
    assert code == 1 and message in warned and warned.count("\n") == 1
    assert not (tmp_path / "run").exists()
