"""Reordering by importance leaves the full network's output, and puts what matters first."""

from typing import Literal

import pytest
import torch
from pydantic import model_validator
from torch import nn

import elasticnas.nn as enn
from elasticnas import Space, elastify
from elasticnas.elastic import reorder
from elasticnas.errors import AxisError, ConfigError
from tests.elastic.families import CASES, ROTARY_RULES, Rotary
from tests.elastic.test_families import first, supernet


class Parts(Space):
    hidden: Literal[24, 16]
    inner: Literal[48, 24]
    heads: Literal[4, 2]
    head_dim: Literal[6, 4]
    depth: Literal[2, 1]


class Primitive(nn.Module):
    """Made of elastic primitives."""

    def __init__(self, sizes):
        super().__init__()
        self.items = enn.Embedding(11, sizes.hidden)
        self.layers = enn.Stack([_Block(sizes) for _ in range(2)], sizes.depth)

    def forward(self, ids):
        return self.items.scores(self.layers(self.items(ids)))


class _Block(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.norm = enn.LayerNorm(sizes.hidden)
        self.attention = enn.Attention(sizes.hidden, sizes.heads, sizes.head_dim, causal=True)
        self.ffn = enn.FeedForward(sizes.hidden, sizes.inner)

    def forward(self, x):
        x = x + self.attention(self.norm(x))
        return x + self.ffn(x)


@pytest.mark.parametrize("importance", ["magnitude", "activation"])
@pytest.mark.parametrize("case", CASES)
def test_the_full_output_stays(case, importance):
    model, example = supernet(case), CASES[case][3](CASES[case][1].largest())
    before = first(model(**example))
    weights = [parameter.clone() for parameter in model.parameters()]
    done = reorder(model, example, importance, [example])
    torch.testing.assert_close(first(model(**example)), before, rtol=1e-5, atol=1e-6)
    assert any(not torch.equal(a, b) for a, b in zip(weights, model.parameters(), strict=True))
    assert {"inner"} <= {item.axis for item in done.done}
    for item in done.done:
        assert torch.equal(item.scores, item.scores.sort(descending=True).values)


@pytest.mark.parametrize("importance", ["magnitude", "activation"])
def test_a_supernet_of_primitives(importance):
    torch.manual_seed(0)
    model = Primitive(Parts.axes()).double()
    ids = torch.randint(0, 11, (3, 7))
    before = model(ids)
    done = reorder(model, ids, importance, [ids])
    torch.testing.assert_close(model(ids), before, rtol=1e-9, atol=1e-12)
    assert {item.axis for item in done.done} == {"hidden", "inner", "heads", "head_dim"}
    assert {item.layer for item in done.done if item.axis == "inner"} == {"layers.layers.0", "layers.layers.1"}
    assert [item.layer for item in done.done if item.axis == "hidden"] == [None]


def test_each_layer_has_its_own_order_unless_layers_share_units():
    rules = {"*.c_attn.weight": "hidden (3 heads 8)", "*.attn.c_proj.weight": "(heads 8) hidden"}
    report = reorder(elastify(*CASES["GPT-2"][:2], rules).double().eval(), CASES["GPT-2"][3](None))
    layers = {item.axis: item.layer for item in report.done}
    assert layers["hidden"] is None and layers["heads"] is not None
    # the position bias of T5's first layer is every layer's: their heads must keep together, cross-attention apart
    report = reorder(supernet("T5"), CASES["T5"][3](None))
    cross = {f"network.decoder.block.{layer}.layer.1" for layer in range(3)}
    assert {item.layer for item in report.done if item.axis == "heads"} == {None, *cross}
    assert len({item.layer for item in report.done if item.axis == "inner"}) == 6


def test_places_that_matter_stay_in_order():
    case = "rotary by hand, gated FFN"
    report = reorder(supernet(case), CASES[case][3](None))
    assert set(report.kept) == {"hidden", "d"}  # d counts the rotary pairs of queries and keys
    assert "d: kept in order, another order changes the output" in str(report)
    assert "heads: sorted in each of 2 layers, 14 tensors" in str(report)
    assert "head_dim: sorted in each of 2 layers, 6 tensors" in str(report)  # of values and outputs


class Width(Space):
    inner: Literal[8, 4]


def two_layers(inner):
    return nn.Sequential(nn.Linear(5, inner), nn.ReLU(), nn.Linear(inner, 2))


def test_planted_importance_is_found():
    torch.manual_seed(0)
    model = elastify(two_layers, Width)
    useful = torch.tensor([7, 2, 5, 1])
    dead = torch.tensor([0, 3, 4, 6])
    with torch.no_grad():
        model.network[0].weight[dead] = 0.01
        model.network[2].weight[:, dead] = 0.01
        model.network[0].weight[useful] += 1
    x = torch.rand(64, 5)
    full = model(x)
    errors = {}
    for importance in ("before", "magnitude", "activation"):
        changed = elastify(two_layers, Width, weights=model.network)
        if importance != "before":
            reorder(changed, x, importance, [x])
        with changed.at(Width(inner=4)):
            errors[importance] = (changed(x) - full).square().mean().item()
    assert max(errors["magnitude"], errors["activation"]) < 0.01 * errors["before"]


def test_activations_see_what_weights_do_not():
    """A unit with large weights that reads nothing matters less than a small one that is always on."""
    model = elastify(two_layers, Width)
    with torch.no_grad():
        model.network[0].weight.fill_(0.1)
        model.network[0].weight[:4] = -5.0  # never on for positive inputs
        model.network[0].bias.zero_()
        model.network[2].weight[:, 4:] = 1.0
    x = torch.rand(32, 5)
    full = model(x)
    reorder(model, x, "activation", [x])
    with model.at(Width(inner=4)):
        torch.testing.assert_close(model(x), full)


def test_unknown_layouts_are_not_sorted():
    class Slopes(nn.Module):
        """Every unit has a meaning of its own, which no behaviour shows."""

        def __init__(self, inner):
            super().__init__()
            self.linear = nn.Linear(5, 2 * inner)

        def forward(self, x):
            y = self.linear(x)
            return y * torch.arange(1, y.shape[-1] + 1)

    def build(inner):
        return nn.Sequential(nn.Linear(5, 2 * inner), nn.Linear(2 * inner, 3))

    report = reorder(elastify(Slopes, Width, assume=True), torch.rand(2, 5))
    assert not report.done
    reason = "nothing shows which units of 2 inner linear.weight keeps: give a rule"
    assert report.kept == {"inner": reason}
    ruled = elastify(build, Width, {"0.weight": "(2 inner) _", "0.bias": "(2 inner)", "1.weight": "_ (2 inner)"})
    assert [item.axis for item in reorder(ruled, torch.rand(2, 5)).done] == ["inner"]


@pytest.mark.parametrize("shape", [(3, 1), (2, 4)])
def test_an_example_whose_positions_are_alike_is_refused(shape):
    """Rotation by nothing, or of equal tokens, hides that the order within a head matters."""

    class Cut(Space):
        head_dim: Literal[8, 4]
        inner: Literal[48, 24]

    model = elastify(lambda head_dim, inner: Rotary(32, 4, head_dim, inner, 2), Cut, ROTARY_RULES)
    example = torch.linspace(-1, 1, shape[0] * 5).reshape(shape[0], 1, 5).expand(*shape, 5).contiguous()
    weights = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(
        ConfigError,
        match=rf"^example \({shape[0]}, {shape[1]}, 5\): its positions are all equal, .*: give several positions with "
        "different values$",
    ):
        reorder(model, example)
    assert all(torch.equal(a, b) for a, b in zip(weights, model.parameters(), strict=True))
    assert set(reorder(model, torch.randn(3, 2, 5)).kept) == {"half"}


def test_one_feature_or_one_channel_is_no_sequence():
    model = elastify(lambda inner: nn.Sequential(nn.Linear(1, inner), nn.ReLU(), nn.Linear(inner, 2)), Width)
    assert reorder(model, torch.rand(3, 1)).done


class Kinds(Space):
    hidden: Literal[16, 8]
    kind: Literal["plain", "backwards"]


class Backwards(nn.Module):
    """Units of the output run against those of the input."""

    def __init__(self, hidden):
        super().__init__()
        self.linear = enn.Linear(hidden, hidden)

    def forward(self, x):
        return self.linear(x).flip(-1)


class Branched(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.items = enn.Embedding(9, sizes.hidden)
        branches = {"plain": enn.FeedForward(sizes.hidden, 16), "backwards": Backwards(sizes.hidden)}
        self.layer = enn.Mixture(branches, sizes.kind, sizes.hidden)

    def forward(self, ids):
        return self.items.scores(self.layer(self.items(ids)))


def test_a_branch_that_the_largest_does_not_run_is_tried_too():
    assert Kinds.largest().kind == "plain"
    axes, ids = Kinds.axes(), torch.randint(0, 9, (3, 7))
    model = Branched(axes).double()
    with axes.at(Kinds(hidden=16, kind="backwards")):
        before = model(ids)
    report = reorder(model, ids)
    with axes.at(Kinds(hidden=16, kind="backwards")):
        assert torch.equal(model(ids), before)
    assert not report.done and "another order changes the output" in report.kept["hidden"]


def test_a_branch_of_an_elastified_model_is_tried_too():
    class Turned(nn.Module):
        def __init__(self, hidden, kind):
            super().__init__()
            self.first, self.last, self.kind = nn.Linear(5, hidden), nn.Linear(hidden, 2), kind

        def forward(self, x):
            y = self.first(x)
            return self.last(y.cumsum(-1) if self.kind == "backwards" else y)

    model, x = elastify(Turned, Kinds).double(), torch.rand(3, 5).double()
    assert "hidden" in reorder(model, x).kept


def test_a_branch_that_needs_fewer_units_leaves_them_in_order():
    class Ruled(Kinds):
        @model_validator(mode="after")
        def narrow(self):
            if self.kind == "backwards" and self.hidden > 8:
                raise ValueError("backwards is narrow")
            return self

    report = reorder(Branched(Ruled.axes()), torch.randint(0, 9, (3, 7)))
    assert report.kept["hidden"].startswith("no architecture with its full size has kind='backwards'")


def test_weights_that_start_at_zero_hide_nothing():
    class Last(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.first, self.last = nn.Linear(5, inner), nn.Linear(inner, 2)
            nn.init.zeros_(self.last.weight)

        def forward(self, x):
            return self.last(self.first(x).cumsum(-1))

    assert "inner" in reorder(elastify(Last, Width), torch.rand(3, 5)).kept


def test_supernets_inside_a_model_are_sorted_with_it():
    torch.manual_seed(0)
    inside = elastify(two_layers, Width).double()
    wrapped = nn.Sequential(nn.Linear(3, 5), inside, nn.Linear(2, 1)).double()
    x = torch.rand(4, 3).double()
    before, weights = wrapped(x), inside.network[0].weight.clone()
    report = reorder(wrapped, x, "activation", [x])
    torch.testing.assert_close(wrapped(x), before)
    assert [item.axis for item in report.done] == ["inner"] and not torch.equal(weights, inside.network[0].weight)
    assert set(report.done[0].tensors) == {"1.network.0.weight", "1.network.0.bias", "1.network.2.weight"}


def test_wrong_use():
    with pytest.raises(AxisError, match=r"^Linear holds units of the axes of 0 spaces \[\], expected one: give"):
        reorder(nn.Linear(3, 3), torch.rand(2, 3))
    model = elastify(two_layers, Width)
    with pytest.raises(ConfigError, match="importance='gradient': choose 'magnitude' or 'activation'"):
        reorder(model, torch.rand(2, 5), "gradient")
    with pytest.raises(ConfigError, match="importance='activation' measures activations: give batches"):
        reorder(model, torch.rand(2, 5), "activation")
