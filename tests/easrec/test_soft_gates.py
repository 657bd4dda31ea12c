"""Data-aware gates under soft masks, against the layer written out by hand."""

import pytest
import torch
import torch.nn.functional as F

import elasticnas
from easrec.config import ModelConfig
from easrec.model import supernet


def prefixes(p, sizes):
    """``sum_i p_i`` times the prefix mask of candidate i."""
    return sum(share * (torch.arange(max(sizes)) < size) for share, size in zip(p, sizes, strict=True))


def gate(mixture, x, p, inputs, outputs):
    """The mean of the candidates' gates, over those that have the unit: what it multiplies carries the mask."""
    total = torch.zeros(*x.shape[:-1], max(outputs), dtype=x.dtype)
    for index, (share, width, size) in enumerate(zip(p, inputs, outputs, strict=True)):
        cross, perceive = mixture.candidates[str(index)].cross, mixture.candidates[str(index)].perceive
        hidden = F.relu(F.linear(x[..., :width], cross.weight, cross.bias))
        total[..., :size] += share * 2 * torch.sigmoid(F.linear(hidden, perceive.weight, perceive.bias))
    return total / prefixes(p, outputs)


@pytest.mark.parametrize("position", ["before", "after"])
def test_gates_of_one_layer_at_soft_masks(position):
    config = ModelConfig(
        hidden=16,
        inner=32,
        length=9,
        layers=1,
        heads=2,
        hidden_pruning=(0, 0.25, 0.5),
        inner_pruning=(0, 0.5, 0.75),
        mixing="mask",
        gate_position=position,
        gate_input="position",
    )
    torch.manual_seed(0)
    model = supernet(config, 13, True).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    (layer,) = model.layers.layers
    hidden, inner = (8, 12, 16), (8, 16, 32)
    p = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    m, m_inner = prefixes(p, hidden), prefixes(p, inner)
    ids = torch.randint(1, 14, (2, 7), generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), elasticnas.axes_of(model).relaxed({"candidate": p}):
        x = model.norm(model.items(ids) + model.positions[:7])
        mixed = layer.attention_norm(x + layer.attention(x))
        if position == "before":
            first, second = gate(layer.gates.first, x, p, hidden, hidden), gate(layer.gates.second, x, p, hidden, inner)
            up = F.linear(first * mixed, layer.up.weight, layer.up.bias) * m_inner
            out = F.linear(second * F.gelu(up), layer.down.weight, layer.down.bias) * m
        else:
            first, second = gate(layer.gates.first, x, p, hidden, inner), gate(layer.gates.second, x, p, hidden, hidden)
            up = first * F.linear(mixed, layer.up.weight, layer.up.bias) * m_inner
            out = second * F.linear(F.gelu(up), layer.down.weight, layer.down.bias) * m
        torch.testing.assert_close(model(ids), layer.norm(mixed + out), rtol=1e-9, atol=1e-9)
