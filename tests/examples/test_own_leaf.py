"""A leaf that the library does not have: extracted, sorted, saved, masked and relaxed like a built-in one."""

import re
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import elasticnas
import elasticnas.nn as enn
from elasticnas.elastic import reorder
from elasticnas.errors import ExtractionError
from tests.conftest import ROOT
from tests.examples.test_examples import load


@pytest.fixture(scope="module")
def own_leaf():
    return load("own_leaf")


class Network(nn.Module):
    """Two convolutions and a head."""

    def __init__(self, make, sizes):
        super().__init__()
        self.first, self.second = make(3, sizes.channels, 3), make(sizes.channels, sizes.filters, 3)
        self.head = enn.Linear(sizes.filters, 2)

    def forward(self, x):
        return self.head(self.second(self.first(x).relu()).relu().mean(-1))


@pytest.fixture
def network(own_leaf):
    torch.manual_seed(0)
    axes = own_leaf.Sizes.axes()
    return Network(own_leaf.Conv1d, axes).double().eval(), axes


def narrow(model, x, channels, filters):
    """The network of an architecture, written with torch's convolution on sliced weights."""
    first = F.conv1d(x, model.first.weight[:channels], model.first.bias[:channels], padding=1).relu()
    second = F.conv1d(first, model.second.weight[:filters, :channels], model.second.bias[:filters], padding=1).relu()
    return F.linear(second.mean(-1), model.head.weight[:, :filters], model.head.bias)


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_it_proves_itself():
    file = ROOT / "examples" / "own_leaf.py"
    done = subprocess.run([sys.executable, file], capture_output=True, text=True)
    assert done.returncode == 0 and "15 passed" in done.stdout, done.stdout + done.stderr


def test_the_page_shows_the_leaf_as_it_is():
    page, file = (ROOT / "docs" / "own-primitive.md", ROOT / "examples" / "own_leaf.py")
    source = file.read_text()
    leaf = source[source.index("class ElasticConv1d") : source.index("class Sizes")]
    assert "def Conv1d" in leaf and leaf.strip() in page.read_text()


def test_slices_masks_and_samples_of_their_own_equal_torchs_convolution(network, own_leaf):
    model, axes = network
    x, sizes = normal(3, 3, 3), own_leaf.Sizes
    archs = [sizes(channels=6, filters=4), sizes(channels=3, filters=7), sizes(channels=8, filters=7)]
    wanted = [narrow(model, x, arch.channels, arch.filters) for arch in archs]
    for arch, expected in zip(archs, wanted, strict=True):
        for scope in (axes.at(arch), axes.masked(arch)):
            with scope:
                torch.testing.assert_close(model(x), expected)
    with axes.masked(archs):  # as many samples as positions
        torch.testing.assert_close(model(x), torch.stack([each[row] for row, each in enumerate(wanted)]))


def test_relaxed_outputs_of_one_convolution_are_weighted_by_the_options(own_leaf):
    axes = own_leaf.Sizes.axes()
    leaf, x = own_leaf.Conv1d(3, axes.filters, 3).double(), normal(2, 3, 5)
    logits = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    with axes.relaxed({"filters": logits.softmax(0)}):
        soft = leaf(x)
    whole = F.conv1d(x, leaf.weight, leaf.bias, padding=1)
    # 7 or 4 filters with a probability of 1/2 each: the last three are there half of the time
    torch.testing.assert_close(soft, torch.cat([whole[:, :4], 0.5 * whole[:, 4:]], 1))
    soft.sum().backward()
    by_hand = 0.25 * whole[:, 4:].sum()  # d p_7 / d logit_7 = 1/4
    torch.testing.assert_close(logits.grad, torch.stack([by_hand, -by_hand]))


def test_dead_weights_may_hold_anything(network, own_leaf):
    model, axes = network
    arch, x = own_leaf.Sizes(channels=6, filters=4), normal(2, 3, 5)
    expected = narrow(model, x, 6, 4)
    with torch.no_grad():
        model.first.weight[6:], model.second.weight[:, 6:], model.second.bias[4:] = torch.nan, torch.inf, torch.nan
    with axes.masked(arch):
        output = model(x)
    torch.testing.assert_close(output, expected)
    output.sum().backward()
    assert model.first.weight.grad.isfinite().all()


def test_it_is_extracted_saved_and_loaded(network, own_leaf, tmp_path):
    model, _ = network
    arch, x = own_leaf.Sizes(channels=6, filters=4), normal(2, 3, 5)
    plain = elasticnas.extract(model, arch)  # no example of the network: each leaf has one
    assert type(plain.first) is type(plain.second) is nn.Conv1d and plain.second.weight.shape == (4, 6, 3)
    torch.testing.assert_close(plain(x), narrow(model, x, 6, 4))
    elasticnas.save(plain, arch, tmp_path)
    loaded = elasticnas.load(tmp_path, lambda sizes: Network(own_leaf.Conv1d, sizes))
    assert torch.equal(loaded(x), plain(x))


def test_an_extraction_that_is_wrong_is_told_without_an_example(own_leaf):
    class Wrong(own_leaf.ElasticConv1d):
        def plain(self, memo):
            plain = super().plain(memo)
            plain.bias = nn.Parameter(-plain.bias)
            return plain

    axes = own_leaf.Sizes.axes()
    model = nn.Sequential(Wrong(3, axes.channels, 3), own_leaf.Conv1d(axes.channels, axes.filters, 3))
    with pytest.raises(ExtractionError, match=re.escape("0.bias (Wrong): the extracted network differs")):
        elasticnas.extract(model, own_leaf.Sizes.largest())


def test_its_channels_are_sorted_by_norm(network):
    model, _ = network
    x = normal(2, 3, 5)
    before = model(x)
    rows, columns, head = (part.weight.detach().clone() for part in (model.first, model.second, model.head))
    norms = [float(rows[c].square().sum() + columns[:, c].square().sum()) for c in range(8)]
    order = sorted(range(8), key=lambda channel: -norms[channel])
    assert order != list(range(8))
    assert "channels: sorted" in str(done := reorder(model, x)) and "filters: sorted" in str(done)
    assert torch.equal(model.first.weight, rows[order])
    filters = sorted(range(7), key=lambda f: -float(columns[f].square().sum() + head[:, f].square().sum()))
    assert torch.equal(model.second.weight, columns[filters][:, order])
    torch.testing.assert_close(model(x), before)
