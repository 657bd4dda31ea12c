"""Which units are sorted together: the smallest groups, in layers by themselves where they are by themselves."""

from typing import Annotated, Literal

import pytest
import torch
from torch import nn

from elasticnas import PerLayer, Space, elastify
from elasticnas.elastic import reorder
from elasticnas.elastic.members import layers_of


class Width(Space):
    inner: Literal[8, 4]


class Hidden(Space):
    hidden: Literal[16, 8]


def block(inner):
    return nn.Sequential(nn.Linear(6, inner), nn.Tanh(), nn.Linear(inner, 6))


def sorted_groups(build, space, example, rules=None):
    torch.manual_seed(0)
    model = elastify(build, space, rules).double().eval()
    before = model(example)
    report = reorder(model, example)
    torch.testing.assert_close(model(example), before)
    short = [(item.layer, {name.removeprefix("network.") for name in item.tensors}) for item in report.done]
    return sorted(short, key=lambda group: min(group[1])), report


def test_the_numbered_modules_around_a_tensor():
    assert layers_of("net.3.experts.0.w.weight") == ["net.3", "net.3.experts.0"]
    assert layers_of("3.weight") == ["3"] and layers_of("a.b") == []


def test_nested_stacks_have_an_order_for_each_layer():
    groups, _ = sorted_groups(
        lambda inner: nn.Sequential(nn.Sequential(block(inner), block(inner)), block(inner)),
        Width,
        torch.randn(3, 6).double(),
    )
    assert groups == [
        ("network.0.0", {"0.0.0.weight", "0.0.0.bias", "0.0.2.weight"}),
        ("network.0.1", {"0.1.0.weight", "0.1.0.bias", "0.1.2.weight"}),
        ("network.1", {"1.0.weight", "1.0.bias", "1.2.weight"}),
    ]


def test_layers_of_one_flat_stack_have_orders_of_their_own():
    groups, _ = sorted_groups(
        lambda inner: nn.Sequential(*block(inner), nn.Tanh(), *block(inner)), Width, torch.randn(3, 6).double()
    )
    assert [names for _, names in groups] == [
        {"0.weight", "0.bias", "2.weight"},
        {"4.weight", "4.bias", "6.weight"},
    ]


class OneHeadBlock(nn.Module):
    """Four heads in 16 units that a space with hidden alone takes for the residual ones: their order has a meaning."""

    def __init__(self, hidden):
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.q, self.k, self.v, self.o = (nn.Linear(hidden, hidden) for _ in range(4))
        self.up, self.down = nn.Linear(hidden, 12), nn.Linear(12, hidden)

    def forward(self, x):
        y = self.norm(x)
        q, k, v = (part(y).unflatten(-1, (4, -1)).transpose(1, 2) for part in (self.q, self.k, self.v))
        x = x + self.o(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2))
        return x + self.down(self.up(x).relu())


class FixedHeads(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.items = nn.Embedding(11, hidden)
        self.layers = nn.ModuleList(OneHeadBlock(hidden) for _ in range(3))
        self.out = nn.Linear(hidden, 3)

    def forward(self, ids):
        x = self.items(ids)
        for layer in self.layers:
            x = layer(x)
        return self.out(x)


def test_projections_as_large_as_hidden_by_coincidence_are_left_out():
    torch.manual_seed(0)
    rules = {f"*.{name}.weight": "_ hidden" for name in "qkv"} | {f"*.{name}.bias": "_" for name in "qkv"}
    rules["*.o.weight"] = "hidden _"
    model = elastify(FixedHeads, Hidden, rules).double().eval()
    ids = torch.randint(0, 11, (2, 6))
    before, weights = model(ids), {name: value.clone() for name, value in model.network.named_parameters()}
    (item,) = reorder(model, ids).done
    torch.testing.assert_close(model(ids), before)
    order = [
        int((weights["items.weight"] == column[:, None]).all(0).nonzero()) for column in model.network.items.weight.t()
    ]
    assert order != sorted(order) and item.axis == "hidden" and item.layer is None
    for name, now in model.network.named_parameters():
        reads = name.split(".")[-2] in ("q", "k", "v", "up", "out")
        writes = name.split(".")[-2] in ("norm", "o", "down")
        expected = weights[name]
        if name == "items.weight" or (reads and now.ndim == 2):
            expected = expected[:, order]
        elif writes:
            expected = expected[order]
        assert torch.equal(now, expected), name


def test_units_of_fixed_heads_are_sorted_alike_in_every_head():
    torch.manual_seed(0)
    model = elastify(FixedHeads, Hidden).double().eval()
    ids = torch.randint(0, 11, (2, 6))
    before, old = model(ids), {name: value.clone() for name, value in model.network.named_parameters()}
    report = reorder(model, ids)
    assert {item.axis for item in report.done} == {"hidden", "d"} and not report.kept
    torch.testing.assert_close(model(ids), before)
    for number, block in model.network.layers.named_children():
        place = [int((old[f"layers.{number}.v.bias"] == value).nonzero()) for value in block.v.bias]
        within = torch.tensor(place).reshape(4, 4) - 4 * torch.arange(4)[:, None]
        assert (within == within[0]).all() and within[0].tolist() != [0, 1, 2, 3]
        assert sorted(within[0].tolist()) == [0, 1, 2, 3]
        assert torch.equal(block.k.bias, old[f"layers.{number}.k.bias"][place])


def test_computed_tables_do_not_block_hidden():
    transformers = pytest.importorskip("transformers")

    def llama(hidden):
        return transformers.LlamaForCausalLM(
            transformers.LlamaConfig(
                vocab_size=31, hidden_size=hidden, num_attention_heads=4, num_key_value_heads=4, intermediate_size=48,
                num_hidden_layers=2, max_position_embeddings=32,
            )
        )  # fmt: skip

    class Wide(Space):
        hidden: Literal[64, 32]

    ids = torch.randint(0, 31, (2, 6))
    model = elastify(llama, Wide).double().eval()
    table = model.network.model.rotary_emb.inv_freq.clone()
    before = model(ids).logits
    report = reorder(model, {"input_ids": ids})
    torch.testing.assert_close(model(ids).logits, before)
    assert "hidden" in {item.axis for item in report.done}
    assert torch.equal(model.network.model.rotary_emb.inv_freq, table)


def test_chosen_layers_need_no_trial_of_their_own():
    class Kept(Space):
        inner: Literal[8, 4]
        keep: Annotated[tuple[bool, ...], PerLayer(8)]

        @property
        def depth(self):
            return sum(self.keep)

    class Counted(nn.Module):
        passes = 0  # of all instances: a sub-network is one of its own

        def __init__(self, inner, depth):
            super().__init__()
            self.layers = nn.ModuleList(block(inner) for _ in range(depth))

        def forward(self, x):
            Counted.passes += 1
            for layer in self.layers:
                x = x + layer(x)
            return x

    model = elastify(Counted, Kept, {"layers": "keep"})
    Counted.passes = 0
    report = reorder(model, torch.randn(3, 6))
    assert len({item.layer for item in report.done}) == 8 and Counted.passes < 10
