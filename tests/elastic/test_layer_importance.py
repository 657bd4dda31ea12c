"""Layers are ranked by the change of the output without them."""

import pytest
import torch
from torch import nn

from elasticnas.elastic import layer_importance
from elasticnas.errors import ConfigError


class Adds(nn.Module):
    """Adds a vector; returns a tuple, whose second part every later layer needs."""

    def __init__(self, vector, form):
        super().__init__()
        self.vector, self.form = nn.Parameter(torch.tensor(vector)), form

    def forward(self, x, scale=None):
        scale = torch.ones(()) * 2 if scale is None else scale
        y = x + scale * self.vector
        return {"tensor": y, "tuple": (y, scale), "mapping": {"none": None, "states": y, "scale": scale}}[self.form]


class Stacked(nn.Module):
    def __init__(self, form="tensor", vectors=((1.0, 0.0), (0.0, 3.0), (0.5, 0.0))):
        super().__init__()
        self.layers = nn.ModuleList(Adds(vector, form) for vector in vectors)

    def forward(self, x):
        scale = None
        for layer in self.layers:
            found = layer(x, scale)
            x, scale = {
                torch.Tensor: lambda found: (found, None),
                tuple: lambda found: found,
                dict: lambda found: (found["states"], found["scale"]),
            }[type(found)](found)
        return x


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / (sum(x * x for x in a) * sum(x * x for x in b)) ** 0.5


@pytest.mark.parametrize("form", ["tensor", "tuple", "mapping"])
def test_scores_by_hand(form):
    """Twice the vectors are added to (1, 1): (4, 7) in full; without each, (2, 7), (4, 1), (3, 7)."""
    found = layer_importance(Stacked(form), [torch.ones(2, 3, 2)])
    expected = [1 - cosine((4, 7), without) for without in ((2, 7), (4, 1), (3, 7))]
    assert found.scores == pytest.approx(expected, abs=1e-6)
    assert found.stack == "layers" and found.removal == (2, 0, 1)
    assert found.keep(2) == (True, True, False) and found.keep(1) == (False, True, False)
    assert found.keep(3) == (True, True, True)
    assert str(found).splitlines()[-1] == "remove in this order: 2, 0, 1"


def test_scores_by_a_loss():
    model = Stacked()
    found = layer_importance(model, [torch.ones(1, 2), torch.zeros(1, 2)], loss=lambda output, x: (output - x).sum())
    assert found.scores == pytest.approx([-2, -6, -1]) and found.removal == (1, 0, 2)
    assert not any(layer._forward_hooks for layer in model.layers)


def test_greedy_removal_sees_layers_that_replace_each_other():
    """Layers 0 and 1 do the same: each alone is dispensable, both are not."""

    def clipped(output, batch):
        return -output.clamp(max=3.0).sum()

    model = Stacked(vectors=((1.5, 0.0), (1.5, 0.0), (0.0, 0.2)))
    batches = [torch.zeros(1, 2)]
    assert layer_importance(model, batches, loss=clipped).removal == (0, 1, 2)
    greedy = layer_importance(model, batches, loss=clipped, greedy=True)
    assert greedy.removal == (0, 2, 1) and greedy.keep(1) == (False, True, False)


@torch.no_grad()
def test_a_real_model_whose_first_layer_makes_the_bias_of_all():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=31, d_model=16, num_heads=2, d_kv=8, d_ff=32, num_layers=3, dropout_rate=0.0
    )
    model = transformers.T5EncoderModel(config).eval()
    ids = torch.randint(0, 31, (2, 7))
    found = layer_importance(model, [{"input_ids": ids}])
    states = model(ids, output_hidden_states=True).hidden_states
    expected = model.encoder.final_layer_norm(states[2])  # what enters the last layer
    similarity = nn.functional.cosine_similarity(expected, model(ids).last_hidden_state, dim=-1).mean()
    assert found.scores[2] == pytest.approx(1 - float(similarity), abs=1e-6)
    assert found.stack == "encoder.block" and min(found.scores) > 0


def test_wrong_use():
    model, x = Stacked(), torch.ones(1, 2)
    with pytest.raises(ConfigError, match=r"^stack='blocks' is no stack of layers of the model: choose from"):
        layer_importance(model, [x], "blocks")
    with pytest.raises(ConfigError, match=r"^batches is empty: give inputs"):
        layer_importance(model, [])
    with pytest.raises(ConfigError, match=r"^Linear has no stack of layers of the same class: give stack"):
        layer_importance(nn.Linear(2, 2), [x])
    two = nn.ModuleDict({"a": nn.ModuleList([Stacked(), Stacked()]), "b": nn.ModuleList([Stacked(), Stacked()])})
    with pytest.raises(ConfigError, match=r"^ModuleDict has 2 stacks of layers, \['a', 'b'\]: give stack"):
        layer_importance(two, [x])
    with pytest.raises(
        ConfigError, match=r"^0 turns \(1, 2\) into \(1, 3\), so that it cannot be skipped: give a stack"
    ):
        layer_importance(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)), [x], "")
    with pytest.raises(ConfigError, match=r"^keep\(4\): layers has 3 layers, keep 1 to 3$"):
        layer_importance(model, [x]).keep(4)
