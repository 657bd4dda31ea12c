"""Cosine scores and their cross entropies: equal to torch's own, over the active units, in every scope."""

from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

import elasticnas.nn as enn
from elasticnas import Space, extract
from elasticnas.errors import ConfigError
from elasticnas.nn import cross_entropy, sampled_cross_entropy, tied_cross_entropy

T = 0.2


class Width(Space):
    hidden: Literal[8, 4, 6]


def cosines(x, weight):
    return F.cosine_similarity(x[..., None, :], weight, dim=-1) / T


def explicit(x, table, targets):
    scores = cosines(x, table.weight)
    if table.padding_idx is not None:
        scores = scores.index_fill(1, torch.tensor([table.padding_idx]), -torch.inf)
    return F.cross_entropy(scores, targets)


def tied(x, table, targets):
    return tied_cross_entropy(x, table, targets, T)


SAMPLED, Q = torch.tensor([2, 5, 5, 9, 7, 1]), torch.rand(11, generator=torch.Generator().manual_seed(1)).double()


def sampled(x, table, targets):
    return sampled_cross_entropy(x, table, targets, SAMPLED, Q, T)


def uncorrected(x, table, targets):
    return sampled_cross_entropy(x, table, targets, SAMPLED, None, T)


def both(loss, x, table, targets):
    x = x.detach().requires_grad_()
    value = 3 * loss(x, table, targets)
    return value.detach(), *torch.autograd.grad(value, [x, table.weight])


def test_scores_are_torchs_cosine_similarities():
    torch.manual_seed(0)
    for hidden, width in ((7, 7), (Width.axes().hidden, 8)):
        table, x = enn.Embedding(23, hidden, dtype=torch.float64), torch.randn(2, 3, width, dtype=torch.float64)
        torch.testing.assert_close(table.scores(x, T), cosines(x, table.weight), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("padding", [None, 0, 5])
@pytest.mark.parametrize("n", [1, 150])
def test_equals_the_cross_entropy_of_explicit_scores(padding, n, monkeypatch):
    monkeypatch.setitem(cross_entropy._CHUNK_ELEMENTS, "cpu", 1)  # chunks of 64
    torch.manual_seed(n)
    table = enn.Embedding(23, 7, padding_idx=padding, dtype=torch.float64)
    x, targets = torch.randn(n, 7, dtype=torch.float64), torch.randint(6, 23, (n,))
    for found, expected in zip(both(tied, x, table, targets), both(explicit, x, table, targets), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-13)


def test_gradients_through_the_norms():
    torch.manual_seed(0)
    table = enn.Embedding(11, 4, padding_idx=0, dtype=torch.float64)
    targets = torch.tensor([3, 1, -100])
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    weight = table.weight.detach().clone().requires_grad_()
    for loss in (tied, sampled, uncorrected):
        module = Loss(table, loss, targets)
        assert torch.autograd.gradcheck(
            lambda x, w, module=module: functional_call(module, {"table.weight": w}, (x,)), (x, weight)
        )


class Loss(nn.Module):
    def __init__(self, table, loss, targets):
        super().__init__()
        self.table, self.loss, self.targets = table, loss, targets

    def forward(self, x):
        return self.loss(x, self.table, self.targets)


@pytest.mark.parametrize("loss", [tied, sampled, uncorrected])
def test_masks_slices_per_sample_and_extracted_agree(loss):
    torch.manual_seed(0)
    axes = Width.axes()
    table = enn.Embedding(11, axes.hidden, padding_idx=0, dtype=torch.float64)
    full, targets = torch.randn(30, 8, dtype=torch.float64), torch.randint(1, 11, (30,))
    for width in (8, 6, 4):
        arch = Width(hidden=width)
        with axes.at(arch):
            sliced = both(loss, full[:, :width], table, targets)
        with axes.masked(arch):
            masked = both(loss, full, table, targets)  # what dead units of the input carry does not count
        with axes.masked([arch] * 30):
            per_sample = both(loss, full, table, targets)
        one = torch.tensor([float(width == option) for option in (8, 4, 6)], dtype=torch.float64)
        with axes.relaxed({"hidden": one}):
            relaxed = both(loss, full, table, targets)
        alone = extract(nn.Sequential(table), arch)[0]
        taken = both(loss, full[:, :width], alone, targets)
        for name, other in (("mask", masked), ("slice", sliced), ("per sample", per_sample), ("relaxed", relaxed)):
            torch.testing.assert_close(other[0], taken[0], msg=name)
            torch.testing.assert_close(other[1][:, :width], taken[1], msg=name)
            torch.testing.assert_close(other[2][:, :width], taken[2], msg=name)
            assert not other[1][:, width:].any() and not other[2][:, width:].any()


@pytest.mark.parametrize("loss", [tied, sampled, uncorrected])
def test_samples_of_different_widths_are_those_of_each_alone(loss):
    torch.manual_seed(0)
    axes = Width.axes()
    table = enn.Embedding(11, axes.hidden, padding_idx=0, dtype=torch.float64)
    full, targets = torch.randn(3, 8, dtype=torch.float64), torch.tensor([4, 3, 8])
    archs = [Width(hidden=width) for width in (4, 8, 6)]
    with axes.masked(archs):
        together = loss(full, table, targets)
    alone = []
    for row, arch in enumerate(archs):
        with axes.at(arch):
            alone.append(loss(full[row : row + 1, : arch.hidden], table, targets[row : row + 1]))
    torch.testing.assert_close(together, torch.stack(alone).mean())


def test_sampled_losses_by_hand():
    """Of the target among itself and the sample, without the target where it was drawn."""
    torch.manual_seed(0)
    table, x = enn.Embedding(11, 4, dtype=torch.float64), torch.randn(1, 4, dtype=torch.float64)
    scores, target = cosines(x, table.weight)[0], torch.tensor([5])
    others = scores[[2, 9, 7, 1]].exp()
    torch.testing.assert_close(uncorrected(x, table, target), (scores[5].exp() + others.sum()).log() - scores[5])
    estimate = (others / (6 * Q[[2, 9, 7, 1]])).sum()
    torch.testing.assert_close(sampled(x, table, target), (scores[5].exp() + estimate).log() - scores[5])


def test_what_dead_units_hold_does_not_count():
    axes = Width.axes()
    table = enn.Embedding(11, axes.hidden, dtype=torch.float64)
    with torch.no_grad():
        table.weight[:, 4:] = torch.nan
    x, targets = torch.randn(5, 8, dtype=torch.float64), torch.tensor([1, 2, 3, 4, 5])
    with axes.masked(Width(hidden=4)):
        for loss in (tied, sampled, uncorrected):
            assert all(each.isfinite().all() for each in both(loss, x, table, targets))


def test_half_precision_and_autocast_are_near():
    torch.manual_seed(0)
    table, x = enn.Embedding(11, 16), torch.randn(50, 16)
    targets = torch.randint(0, 11, (50,))
    for loss in (tied, sampled, uncorrected):
        expected = both(loss, x, table, targets)
        with torch.autocast("cpu", torch.bfloat16):
            automatic = both(loss, x, table, targets)
        narrow = both(loss, x.bfloat16(), enn.Embedding(11, 16, dtype=torch.bfloat16).requires_grad_(), targets)
        assert narrow[0].dtype == automatic[0].dtype == torch.float32
        for found, wanted in zip(automatic, expected, strict=True):
            torch.testing.assert_close(found.float(), wanted, rtol=0.1, atol=0.05)


def test_no_target_is_no_loss_and_zero_rows_give_finite_gradients():
    table = enn.Embedding(11, 3, padding_idx=0)
    for loss in (tied, sampled, uncorrected):
        assert loss(torch.zeros(0, 3), table, torch.zeros(0, dtype=torch.long)) == 0
        found = both(loss, torch.zeros(2, 3), table, torch.tensor([1, -100]))
        assert all(each.isfinite().all() for each in found) and not found[2][0].any()


def test_a_temperature_is_above_zero():
    table, x = enn.Embedding(5, 3), torch.ones(1, 3)
    with pytest.raises(ConfigError, match="cosine_temperature=0: give a number above 0, or None for dot products"):
        table.scores(x, 0)
    with pytest.raises(ConfigError, match=r"cosine_temperature=-1\.0: give a number above 0"):
        tied_cross_entropy(x, table, torch.tensor([1]), -1.0)
