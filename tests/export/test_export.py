"""Exported files compute what the network computes, or there is no file."""

import inspect
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.utils._pytree import tree_leaves

import elasticnas.nn as enn
from elasticnas import elastify, extract
from elasticnas.errors import ConfigError, ElasticNASError, ExtractionError, PluginError
from elasticnas.export import to_onnx, to_torch_export
from tests.elastic.families import CASES as FAMILIES
from tests.export.networks import Encoder, Sizes, extracted

FREE = {name: {0: "batch", 1: "length"} for name in ("items", "padding")}
BATCH = {name: {0: "batch"} for name in ("items", "padding")}
GENERATOR = torch.Generator().manual_seed(1)


def example(batch, length):
    """Ids, and a padding pattern with holes."""
    items = torch.randint(9, (batch, length), generator=GENERATOR)
    return items, torch.rand(batch, length, generator=GENERATOR) < 0.3


def run_torch(path, items, padding):
    return torch.export.load(path).module()(items, padding)


def run_onnx(path, items, padding):
    session = onnxruntime.InferenceSession(path)
    return torch.from_numpy(session.run(None, {"items": items.numpy(), "padding": padding.numpy()})[0])


CASES = [
    (Sizes(hidden=12, inner=16, heads=4, depth=2), {}),
    (Sizes(hidden=8, inner=8, heads=4, depth=1), {"causal": True, "kv_heads": 1}),
    (Sizes(hidden=8, inner=16, heads=1, depth=1), {}),
    (Sizes(hidden=12, inner=8, heads=2, depth=1), {"kind": "linrec"}),
    (Sizes(hidden=8, inner=8, heads=2, depth=1), {"kind": "linrec", "causal": True}),
]


@pytest.mark.parametrize(
    ("export", "run", "arch", "options"),
    [*((to_onnx, run_onnx, *case) for case in CASES), *((to_torch_export, run_torch, *case) for case in CASES[1::3])],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_file_computes_what_the_network_computes(tmp_path, export, run, arch, options):
    network = extracted(arch, **options)
    fixed = options.get("kind") == "linrec" and options.get("causal", False)
    path = tmp_path / "network"
    exported = export(network, example(1, 6), path, BATCH if fixed else FREE)
    assert exported.path == path and exported.size_bytes == path.stat().st_size
    assert 0 <= exported.largest_difference < 1e-5
    for batch, length in [(1, 6), (4, 6)] if fixed else [(1, 6), (1, 1), (4, 70)]:
        given = example(batch, length)
        torch.testing.assert_close(run(path, *given), network(*given), rtol=1e-4, atol=1e-5)


# ONNX takes seconds each: one family by default, which keeps a cache
EXPORTS = [
    pytest.param(export, case, marks=pytest.mark.slow if export is to_onnx and case != "GPT-2" else ())
    for case in FAMILIES
    for export in (to_torch_export, to_onnx)
]


@pytest.mark.parametrize(("export", "case"), EXPORTS)
def test_every_family_is_exported_as_it_is(tmp_path, export, case):
    """Hugging Face models that would give a cache of keys and values too."""
    build, space, rules, inputs, _ = FAMILIES[case]
    torch.manual_seed(0)
    arch = space.smallest()
    given = {name: value.float() if value.is_floating_point() else value for name, value in inputs(arch).items()}
    network = extract(elastify(build, space, rules), arch, given).eval()
    free = {name: {0: "batch"} for name in given}
    assert export(network, given, tmp_path / "network", free).largest_difference < 1e-5
    with torch.no_grad():
        expected = tree_leaves(
            network(**given, use_cache=False) if "use_cache" in forward_of(network) else network(**given)
        )
    if export is to_torch_export:
        computed = tree_leaves(torch.export.load(tmp_path / "network").module()(**given))
        torch.testing.assert_close(computed, expected, rtol=1e-4, atol=1e-5)


def forward_of(network):
    return inspect.signature(network.forward).parameters


class Cached(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x, use_cache=True):
        return (self.linear(x), x + 1) if use_cache else self.linear(x)


def test_a_cache_is_left_out_unless_the_example_asks_for_it(tmp_path):
    network, x = Cached(), torch.randn(2, 3)
    for example, count in ((x, 1), ({"x": x}, 1), ((x, True), 2), ({"x": x, "use_cache": True}, 2)):
        to_onnx(network, example, tmp_path / "cached.onnx")
        assert len(onnxruntime.InferenceSession(tmp_path / "cached.onnx").get_outputs()) == count
    assert len(network(x)) == 2  # as it was


def test_names_of_inputs_outputs_and_dimensions(tmp_path):
    items, padding = example(2, 5)
    path = tmp_path / "network.onnx"
    network = extracted(Sizes.smallest())
    to_onnx(network, {"padding": padding, "items": items}, path, FREE, outputs=["scores"])
    session = onnxruntime.InferenceSession(path)
    found = [(one.name, one.shape) for one in (*session.get_inputs(), *session.get_outputs())]
    free = ["batch", "length"]
    assert found == [("items", free), ("padding", free), ("scores", [*free, 9])]
    # a file names nothing of the machine that wrote it
    to_torch_export(network, items, tmp_path / "network.pt2")
    for file in tmp_path.iterdir():
        assert __file__.rpartition("/")[0].encode() not in file.read_bytes()


class Two(nn.Module):
    """Floats in, two outputs of other types and a mapping out; float64, dropout, an unused argument."""

    def __init__(self):
        super().__init__()
        self.linear, self.dropout = enn.Linear(3, 3), nn.Dropout(0.5)

    def forward(self, x, flag=True, unused=None):
        y = self.dropout(self.linear(x)) if flag else x
        return y, {"largest": y.argmax(-1), "positive": y > 0}


def test_floats_constants_and_several_outputs(tmp_path):
    network, x = Two().double(), torch.randn(2, 3, dtype=torch.float64)
    to_torch_export(network, (x, False), tmp_path / "two.pt2", {"x": {0: Dim("batch", max=8)}})
    y, more = torch.export.load(tmp_path / "two.pt2").module()(x, False)
    assert torch.equal(y, x) and torch.equal(more["positive"], x > 0)
    to_onnx(network, {"x": x}, tmp_path / "two.onnx")
    y, largest, positive = onnxruntime.InferenceSession(tmp_path / "two.onnx").run(None, {"x": x.numpy()})
    expected = network.eval()(x)[0].detach().numpy()
    np.testing.assert_allclose(y, expected, rtol=1e-5)
    assert (largest == expected.argmax(-1)).all() and (positive == (expected > 0)).all()


def test_the_network_stays_as_it_was(tmp_path):
    network = Two()
    to_torch_export(network, torch.randn(2, 3), tmp_path / "two.pt2")
    assert network.training and network.dropout.training
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("export", [to_torch_export, to_onnx])
def test_nothing_is_printed_or_warned(tmp_path, export, capfd, recwarn):
    export(Two(), torch.randn(2, 3), tmp_path / "network", {"x": {0: "batch"}})
    assert capfd.readouterr() == ("", "") and not recwarn.list


class Coin(nn.Module):
    """Draws."""

    def forward(self, x):
        return x + torch.rand_like(x)


class Remembers(nn.Module):
    """Takes the number of rows when traced for a constant, through a detour that tracing cannot see."""

    def forward(self, x):
        return x + (2 if torch.compiler.is_compiling() else len(x))


class Fixed(nn.Module):
    """Takes two rows, and does something else with more."""

    def forward(self, x):
        return x + 1 if len(x) == 2 else x


@pytest.mark.parametrize("export", [to_torch_export, to_onnx])
def test_a_file_that_computes_something_else_is_never_written(tmp_path, export):
    path = tmp_path / "network"
    path.write_text("what was there")
    with pytest.raises(ExtractionError, match=r"network: on x \(2, 3\) the exported file differs from the network by"):
        export(Coin(), torch.randn(2, 3), path)
    # right on the example, wrong on another batch: 1 instead of 2 rows
    with pytest.raises(ExtractionError, match=r"on x \(1, 3\) .* differs from the network by up to 1 \(allowed 0.0001"):
        export(Remembers(), torch.randn(2, 3), path, {"x": {0: "batch"}})
    assert path.read_text() == "what was there" and len(list(tmp_path.iterdir())) == 1


def test_a_dimension_that_cannot_change_is_refused(tmp_path):
    with pytest.raises(ExtractionError, match="Fixed cannot be exported; a dimension left out of dynamic keeps its"):
        to_torch_export(Fixed(), torch.randn(2, 3), tmp_path / "x", {"x": {0: "batch"}})
    linrec = extracted(Sizes.smallest(), kind="linrec", causal=True)
    with pytest.raises(ExtractionError, match=r"left out of dynamic keeps its size \(.*length"):
        to_torch_export(linrec, example(2, 6), tmp_path / "x", FREE)
    assert not any(tmp_path.iterdir())


def test_an_elastic_network_is_refused(tmp_path):
    with pytest.raises(
        ConfigError, match=r"Encoder is elastic .*; export the network that elasticnas.extract\(model, arch\)"
    ):
        to_torch_export(Encoder(Sizes.axes()), example(2, 6), tmp_path / "x")


@pytest.mark.parametrize(
    ("given", "dynamic", "message"),
    [
        ((), None, r"the example does not match Two.forward\(x, flag=True, unused=None\): missing a required argument"),
        ({"y": torch.ones(2, 3)}, None, "missing a required argument: 'x'"),
        (([1.0],), None, "example: x is a list; an exported network takes tensors by name"),
        ((1.0,), None, r"no tensor among \['x'\]"),
        (torch.ones(2, 3), {"y": {0: "batch"}}, "no input 'y'; the tensors of the example are x"),
        (torch.ones(2, 3), {"x": {2: "batch"}}, r"x has the shape \(2, 3\), no dimension 2"),
        (
            torch.ones(2, 3),
            {"x": {0: 5}},
            r"dimension 0: expected a name or torch.export.Dim\(name, max=...\), found 5",
        ),
        (torch.ones(2, 3), {"x": {0: "n", 1: "n"}}, "'n' is 2 and 3 in the example; dimensions with the same name"),
        (torch.ones(9, 3), {"x": {0: Dim("batch", max=8)}}, "'batch' is 9 in the example, not in 0..8"),
    ],
)
def test_wrong_examples_are_refused(tmp_path, given, dynamic, message):
    with pytest.raises(ConfigError, match=message):
        to_torch_export(Two(), given, tmp_path / "x", dynamic)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(PluginError, match=rf"^{package} is not installed; pip install 'elasticnas\[export\]'$"):
        to_onnx(Two(), torch.ones(2, 3), tmp_path / "x")


def test_a_folder_in_the_way_is_one_line(tmp_path):
    with pytest.raises(ElasticNASError, match="cannot be written, Is a directory; free space or choose another folder"):
        to_torch_export(Two(), torch.ones(2, 3), tmp_path)
