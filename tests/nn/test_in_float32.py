"""Attention under autocast on the CPU: projections in bfloat16, softmax attention in float32."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import elasticnas.nn as enn

HEADS, WIDTH, LENGTH = 2, 4, 6


def projected(linear: torch.nn.Module, x: Tensor) -> Tensor:
    """The heads of a projection whose inputs, weights and result are rounded to bfloat16, as float32."""
    narrow = F.linear(x.bfloat16(), linear.weight.bfloat16(), linear.bias.bfloat16()).float()
    return narrow.unflatten(-1, (HEADS, WIDTH)).transpose(1, 2)


@pytest.mark.parametrize("causal", [True, False])
def test_scores_and_weights_are_in_float32(causal):
    torch.manual_seed(0)
    attention = enn.Attention(8, HEADS, WIDTH, causal=causal)
    x = torch.randn(3, LENGTH, 8)
    scores = projected(attention.query, x) @ projected(attention.key, x).transpose(-1, -2) / WIDTH**0.5
    if causal:
        scores = scores.masked_fill(torch.ones(LENGTH, LENGTH).triu(1).bool(), -torch.inf)
    mixed = (scores.softmax(-1) @ projected(attention.value, x)).transpose(1, 2).flatten(2)
    merged = []
    attention.out.register_forward_pre_hook(lambda module, inputs: merged.append(inputs[0]))
    with torch.autocast("cpu", torch.bfloat16):
        assert attention(x).dtype == torch.bfloat16
    attention(x)
    torch.testing.assert_close(merged[0], mixed, rtol=1e-5, atol=1e-6)
    assert (merged[1] - mixed).abs().max() > 1e-4


def test_a_bias_is_added_in_float32():
    torch.manual_seed(0)
    bias = enn.RelativeBias(length=LENGTH, causal=True)
    torch.nn.init.normal_(bias.positions, std=3)
    attention, x = enn.Attention(8, HEADS, WIDTH, causal=True, relative=bias), torch.randn(3, LENGTH, 8)
    back = torch.arange(LENGTH)[:, None] - torch.arange(LENGTH)
    scores = projected(attention.query, x) @ projected(attention.key, x).transpose(-1, -2) / WIDTH**0.5
    scores = (scores + bias.positions[back.clamp_min(0)]).masked_fill(back < 0, -torch.inf)
    mixed = (scores.softmax(-1) @ projected(attention.value, x)).transpose(1, 2).flatten(2)
    merged = []
    attention.out.register_forward_pre_hook(lambda module, inputs: merged.append(inputs[0]))
    with torch.autocast("cpu", torch.bfloat16):
        attention(x)
    torch.testing.assert_close(merged[0], mixed, rtol=1e-5, atol=1e-6)


def of_projections(attention, x):
    """What the three projections give, and what the last one gets, under autocast."""
    merged = []
    hook = attention.out.register_forward_pre_hook(lambda module, inputs: merged.append(inputs[0]))
    with torch.autocast("cpu", torch.bfloat16):
        attention(x)
    hook.remove()
    return [projected(linear, x) for linear in (attention.query, attention.key, attention.value)], merged[0]


def test_linrec_is_in_float32():
    torch.manual_seed(0)
    x = torch.randn(3, LENGTH, 8)
    (query, key, value), merged = of_projections(enn.Attention(8, HEADS, WIDTH, "linrec", causal=True), x)
    query, key = F.normalize(F.elu(query), dim=-1) / WIDTH, F.elu(key)
    rows = []
    for n in range(1, LENGTH + 1):
        norms = key[..., :n, :].square().sum(-2, keepdim=True).sqrt()
        rows.append(query[..., n - 1 : n, :] @ ((key[..., :n, :] / norms).transpose(-1, -2) @ value[..., :n, :]))
    torch.testing.assert_close(merged, torch.cat(rows, -2).transpose(1, 2).flatten(2), rtol=1e-4, atol=1e-5)


def test_pointwise_attention_is_in_float32():
    torch.manual_seed(0)
    attention, x = enn.PointwiseAttention(8, HEADS, WIDTH, LENGTH, causal=True), torch.randn(3, LENGTH, 8)
    normed = []
    attention.norm.register_forward_pre_hook(lambda module, inputs: normed.append(inputs[0]))
    with torch.autocast("cpu", torch.bfloat16):
        attention(x)
    layers = attention.query, attention.key, attention.value
    query, key, value = (F.silu(projected(linear, x).bfloat16()).float() for linear in layers)
    place = torch.arange(LENGTH)
    bias = attention.distances[(place[:, None] - place).clamp_min(0)]
    weights = F.silu(query @ key.transpose(-1, -2) + bias).tril()
    mixed = (weights @ value) / (1 + place[:, None])
    torch.testing.assert_close(normed[0], mixed.transpose(1, 2).flatten(2), rtol=1e-5, atol=1e-6)


def test_gradients_reach_float32_weights():
    attention, x = enn.Attention(8, HEADS, WIDTH, causal=True), torch.randn(3, LENGTH, 8)
    gradients = {}
    for enabled in (False, True):
        attention.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = attention(x).float().square().sum()
        loss.backward()
        gradients[enabled] = {name: p.grad.clone() for name, p in attention.named_parameters()}
    largest = max(wide.abs().max().item() for wide in gradients[False].values())
    for name, wide in gradients[False].items():
        assert gradients[True][name].dtype == torch.float32
        torch.testing.assert_close(gradients[True][name], wide, rtol=0.05, atol=0.02 * largest)


def test_float64_stays_float64():
    attention = enn.Attention(8, HEADS, WIDTH, causal=True).double()
    x = torch.randn(3, LENGTH, 8, dtype=torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(attention(x), attention(x))
        assert attention(x).dtype == torch.float64


def test_a_padding_mask_and_a_bias_are_used_under_autocast():
    torch.manual_seed(0)
    bias = enn.RelativeBias(length=LENGTH, causal=True)
    for each in bias.parameters():
        torch.nn.init.normal_(each)
    attention, x = enn.Attention(8, HEADS, WIDTH, causal=True, relative=bias), torch.randn(3, LENGTH, 8)
    padding = torch.zeros(3, LENGTH, dtype=torch.bool)
    padding[0, 4:] = True
    with torch.autocast("cpu", torch.bfloat16):
        out = attention(x, padding)
    torch.testing.assert_close(out.float(), attention(x, padding), rtol=0.05, atol=0.05)
    without = enn.Attention(8, HEADS, WIDTH, causal=True)
    without.load_state_dict(attention.state_dict(), strict=False)
    assert (without(x, padding) - attention(x, padding)).abs().max() > 0.1
