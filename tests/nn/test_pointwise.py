"""PointwiseAttention against a loop by hand, its padding, and what it refuses."""

import pytest
import torch
import torch.nn.functional as F

import elasticnas.nn as enn
from elasticnas.errors import AxisError, ConfigError
from tests.nn import spaces as s

HEADS, WIDTH = 2, 3


def made(causal, length=6):
    torch.manual_seed(0)
    module = enn.PointwiseAttention(5, HEADS, WIDTH, length=length, causal=causal).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module


def by_hand(module, x, seen):
    """One sequence ``(N, hidden)``, position by position and head by head."""
    project = {name: F.silu(getattr(module, name)(x)) for name in ("query", "key", "value", "gate")}
    rows = []
    for i in range(len(x)):
        mixed = []
        for h in range(HEADS):
            part = slice(h * WIDTH, (h + 1) * WIDTH)
            total = torch.zeros(WIDTH, dtype=x.dtype)
            for j in seen(i):
                bias = module.distances[i - j if module.causal else i - j + module.length - 1]
                total = (
                    total
                    + F.silu(project["query"][i, part] @ project["key"][j, part] + bias) * (project["value"][j, part])
                )
            mixed.append(total / max(1, len(seen(i))))
        normed = F.layer_norm(torch.cat(mixed), (HEADS * WIDTH,), module.norm.weight, module.norm.bias, 1e-6)
        rows.append(module.out(project["gate"][i] * normed))
    return torch.stack(rows)


@pytest.mark.parametrize("causal", [True, False])
def test_it_equals_the_sum_by_hand(causal):
    module, x = made(causal), torch.randn(2, 5, 5, dtype=torch.float64)
    padding = torch.zeros(2, 5, dtype=torch.bool)
    padding[1, [0, 3]] = True
    free = module(x)
    padded = module(x, padding)
    for row in range(2):
        expected = by_hand(module, x[row], lambda i: range(i + 1 if causal else 5))
        torch.testing.assert_close(free[row], expected, rtol=1e-10, atol=1e-10)
        expected = by_hand(
            module, x[row], lambda i, row=row: [j for j in range(i + 1 if causal else 5) if not padding[row, j]]
        )
        torch.testing.assert_close(padded[row], expected.masked_fill(padding[row, :, None], 0), rtol=1e-10, atol=1e-10)
    assert not padded[padding].any()


def test_padding_on_the_right_changes_nothing():
    module, x = made(False), torch.randn(1, 4, 5, dtype=torch.float64)
    longer = torch.cat([x, torch.randn(1, 2, 5, dtype=torch.float64)], 1)
    padding = torch.tensor([[False] * 4 + [True] * 2])
    torch.testing.assert_close(module(longer, padding)[:, :4], module(x), rtol=1e-12, atol=1e-12)


def test_nothing_but_padding_is_zero_with_finite_gradients():
    module, x = made(True), torch.randn(1, 4, 5, dtype=torch.float64, requires_grad=True)
    out = module(x, torch.ones(1, 4, dtype=torch.bool))
    out.sum().backward()
    assert not out.any() and x.grad.isfinite().all() and all(p.grad.isfinite().all() for p in module.parameters())


def test_soft_masks_are_carried_once():
    """Of query and key the query carries that of head_dim; value and output what the norm then takes out."""
    axes = s.Heads.axes()
    torch.manual_seed(0)
    module = enn.PointwiseAttention(5, axes.heads, axes.head_dim, length=4, causal=True).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x = torch.randn(1, 4, 5, dtype=torch.float64)
    of_heads = torch.tensor([0.3, 0.7], dtype=torch.float64)
    of_width = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    with axes.relaxed({"heads": of_heads, "head_dim": of_width}):
        computed = module(x)
    # the options are 4 and 2 heads of width 4, 3 and 1
    heads = torch.tensor([1, 1, 0.3, 0.3], dtype=torch.float64)
    width = torch.tensor([1, 0.5, 0.5, 0.2], dtype=torch.float64)
    query, key, value = (
        F.silu(F.linear(x, part.weight, part.bias)).unflatten(-1, (4, 4)).transpose(1, 2)
        for part in (module.query, module.key, module.value)
    )
    distance = (torch.arange(4)[:, None] - torch.arange(4)[None, :]).clamp_min(0)
    weights = F.silu((query * width) @ key.transpose(-1, -2) + module.distances[distance]).tril()
    mixed = weights @ (value * width) / torch.arange(1, 5)[:, None] * heads[:, None, None]
    mixed, m = mixed.transpose(1, 2).flatten(2), (heads[:, None] * width).flatten()
    centred = mixed - m * ((m * mixed).sum(-1, keepdim=True) / (m * m).sum())
    variance = centred.square().sum(-1, keepdim=True) / (m * m).sum()
    normed = centred / (variance + 1e-6).sqrt() * module.norm.weight + m * module.norm.bias
    gate = F.silu(F.linear(x, module.gate.weight, module.gate.bias))
    expected = F.linear(gate * normed, module.out.weight, module.out.bias)
    torch.testing.assert_close(computed, expected, rtol=1e-10, atol=1e-10)


def test_how_often_something_occurred_is_not_lost():
    """Softmax weights of equal keys do not tell three occurrences from one; these do, through the bias by distance."""
    module = made(True)
    once = torch.randn(1, 1, 5, dtype=torch.float64)
    thrice = once.expand(1, 3, 5)
    softmax = enn.Attention(5, HEADS, WIDTH, causal=True).double()
    torch.testing.assert_close(softmax(thrice)[:, 2], softmax(once)[:, 0])
    assert (module(thrice)[:, 2] - module(once)[:, 0]).abs().max() > 1e-3


def test_mistakes_are_refused_in_words():
    with pytest.raises(ConfigError, match="length=0: the maximum sequence length must be at least 1"):
        enn.PointwiseAttention(4, 2, 2, length=0)
    message = r"biases for 6 positions, but the input has the shape \(1, 7, 5\): give it a larger length"
    with pytest.raises(AxisError, match=message):
        made(False)(torch.zeros(1, 7, 5, dtype=torch.float64))
