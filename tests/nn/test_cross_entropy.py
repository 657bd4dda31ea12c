"""tied_cross_entropy: equal to the cross entropy of the scores, loss and gradients, in chunks."""

from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import elasticnas.nn as enn
from elasticnas import Space, extract
from elasticnas.errors import AxisError
from elasticnas.nn import cross_entropy, sampled_cross_entropy, tied_cross_entropy


class Width(Space):
    hidden: Literal[8, 4, 6]


def plain(x, table, targets):
    scores = F.linear(x, table.weight)
    if table.padding_idx is not None:
        scores = scores.index_fill(1, torch.tensor([table.padding_idx]), -torch.inf)
    return F.cross_entropy(scores, targets)


def both(loss, x, table, targets):
    x = x.detach().requires_grad_()
    value = 3 * loss(x, table, targets)
    return value.detach(), *torch.autograd.grad(value, [x, table.weight])


@pytest.mark.parametrize("padding", [None, 0, 5])
@pytest.mark.parametrize("n", [1, 64, 150])
def test_equals_the_cross_entropy_of_the_scores(padding, n, monkeypatch):
    monkeypatch.setitem(cross_entropy._CHUNK_ELEMENTS, "cpu", 1)  # chunks of 64
    torch.manual_seed(n)
    table = enn.Embedding(23, 7, padding_idx=padding, dtype=torch.float64)
    x, targets = torch.randn(n, 7, dtype=torch.float64), torch.randint(6, 23, (n,))
    for found, expected in zip(
        both(tied_cross_entropy, x, table, targets), both(plain, x, table, targets), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


def test_masks_slices_and_extracted_agree():
    torch.manual_seed(0)
    axes = Width.axes()
    table = enn.Embedding(11, axes.hidden, padding_idx=0, dtype=torch.float64)
    full, targets = torch.randn(30, 8, dtype=torch.float64), torch.randint(1, 11, (30,))
    for width in (8, 6, 4):
        arch = Width(hidden=width)
        with axes.at(arch):
            sliced = both(tied_cross_entropy, full[:, :width], table, targets)
        with axes.masked(arch):
            # what dead units of the input carry does not count
            masked = both(tied_cross_entropy, full, table, targets)
        alone = extract(nn.Sequential(table), arch)[0]
        taken = both(tied_cross_entropy, full[:, :width], alone, targets)
        for name, other in (("mask", (masked[0], masked[1][:, :width], masked[2])), ("slice", sliced)):
            torch.testing.assert_close(other[0], taken[0], msg=name)
            torch.testing.assert_close(other[1], taken[1], msg=name)
            torch.testing.assert_close(other[2][:, :width], taken[2], msg=name)
            assert not other[2][:, width:].any()
        assert not masked[1][:, width:].any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(dtype):
    torch.manual_seed(0)
    table, x = enn.Embedding(40, 16), torch.randn(300, 16)
    targets = torch.randint(0, 40, (300,))
    expected = both(plain, x, table, targets)
    narrow = both(tied_cross_entropy, x.to(dtype), table.to(dtype), targets)
    assert narrow[0].dtype == torch.float32 and narrow[1].dtype == narrow[2].dtype == dtype
    for found, wanted in zip(narrow, expected, strict=True):
        torch.testing.assert_close(found.float(), wanted, rtol=0.05, atol=2e-3)


def test_under_autocast_gradients_have_the_weights_type():
    torch.manual_seed(0)
    table, x = enn.Embedding(40, 16), torch.randn(300, 16)
    targets = torch.randint(0, 40, (300,))
    with torch.autocast("cpu", torch.bfloat16):
        found = both(tied_cross_entropy, x, table, targets)
    assert {each.dtype for each in found} == {torch.float32}
    for one, wanted in zip(found, both(plain, x, table, targets), strict=True):
        torch.testing.assert_close(one, wanted, rtol=0.05, atol=2e-3)


def test_only_what_is_asked_for():
    table, x = enn.Embedding(5, 3), torch.randn(4, 3, requires_grad=True)
    table.weight.requires_grad_(False)
    tied_cross_entropy(x, table, torch.ones(4, dtype=torch.long)).backward()
    assert x.grad is not None and table.weight.grad is None
    with torch.no_grad():
        assert tied_cross_entropy(x, table, torch.ones(4, dtype=torch.long)) > 0


def test_no_row_is_no_loss():
    table = enn.Embedding(5, 3)
    x = torch.zeros(0, 3, requires_grad=True)
    loss = tied_cross_entropy(x, table, torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert loss == 0 and not table.weight.grad.any()


def test_an_elastic_count_is_refused():
    class Rows(Space):
        count: Literal[4, 8]

    table = enn.Embedding(Rows.axes().count, 3)
    with pytest.raises(AxisError, match="use scores"):
        tied_cross_entropy(torch.zeros(1, 3), table, torch.zeros(1, dtype=torch.long))


def test_the_sampled_sum_is_unbiased():
    """exp(loss + x w_t) is the estimated sum: over many draws its mean is the sum itself."""
    torch.manual_seed(0)
    table, x = enn.Embedding(9, 4, padding_idx=0, dtype=torch.float64), torch.randn(1, 4, dtype=torch.float64)
    target, q = torch.tensor([3]), torch.tensor([0.0, 1, 2, 3, 4, 5, 6, 7, 8], dtype=torch.float64) / 36
    draws = torch.multinomial(q, 3 * 20_000, replacement=True).view(-1, 3)
    with torch.no_grad():
        scores = table.scores(x)[0]
        sums = [sampled_cross_entropy(x, table, target, drawn, q) + scores[3] for drawn in draws]
    mean = torch.stack(sums).exp().mean()
    torch.testing.assert_close(mean, scores[1:].exp().sum(), rtol=0.01, atol=0)


def test_sampled_masks_and_slices_agree():
    torch.manual_seed(0)
    axes = Width.axes()
    table = enn.Embedding(11, axes.hidden, padding_idx=0, dtype=torch.float64)
    full, targets = torch.randn(30, 8, dtype=torch.float64), torch.randint(1, 11, (30,))
    sampled, q = torch.randint(1, 11, (6,)), torch.full((11,), 0.1, dtype=torch.float64)

    def loss(x, table, targets):
        return sampled_cross_entropy(x, table, targets, sampled, q)

    arch = Width(hidden=4)
    with axes.at(arch):
        sliced = both(loss, full[:, :4], table, targets)
    with axes.masked(arch):
        masked = both(loss, full, table, targets)
    torch.testing.assert_close(masked[0], sliced[0])
    torch.testing.assert_close(masked[1][:, :4], sliced[1])
    torch.testing.assert_close(masked[2], sliced[2])
    assert not masked[1][:, 4:].any() and not masked[2][:, 4:].any()
    empty = sampled_cross_entropy(full[:0, :4], extract(nn.Sequential(table), arch)[0], targets[:0], sampled, q)
    assert empty == 0
