"""Primitives with ints are torch's own; wrong sizes and options are refused in words."""

import copy

import pytest
import torch
from torch import nn

import elasticnas.nn as enn
from elasticnas import extract
from elasticnas.errors import AxisError, ConfigError
from tests.nn import spaces as s


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (lambda: enn.Linear(4, 3), nn.Linear),
        (lambda: enn.LayerNorm(4), nn.LayerNorm),
        (lambda: enn.RMSNorm(4), nn.RMSNorm),
        (lambda: enn.Parameter(4, 3), nn.Parameter),
    ],
)
def test_ints_give_torchs_own_classes(made, kind):
    assert type(made()) is kind


def test_an_embedding_of_ints_is_torchs_and_scores():
    table = enn.Embedding(6, 4, padding_idx=0)
    assert isinstance(table, nn.Embedding) and table.padding_idx == 0 and (table.weight[0] == 0).all()
    x = torch.randn(2, 4)
    assert torch.equal(table.scores(x), x @ table.weight.T)


def test_softmax_attention_is_torchs():
    """The same weights in torch.nn.MultiheadAttention give the same output."""
    torch.manual_seed(0)
    ours = enn.Attention(8, 2, 4).double()
    theirs = nn.MultiheadAttention(8, 2, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    padding = torch.zeros(3, 5, dtype=torch.bool)
    padding[:, 4] = True
    expected, _ = theirs(x, x, x, key_padding_mask=padding, need_weights=False)
    torch.testing.assert_close(ours(x, padding)[:, :4], expected[:, :4], rtol=1e-9, atol=1e-9)


def test_grouped_queries_repeat_keys_and_values():
    torch.manual_seed(0)
    grouped, full = enn.Attention(8, 4, 2, kv_heads=2).double(), enn.Attention(8, 4, 2).double()
    state = grouped.state_dict()
    for name in ("key", "value"):
        for part in ("weight", "bias"):
            rows = state[f"{name}.{part}"].unflatten(0, (2, 2))
            state[f"{name}.{part}"] = rows.repeat_interleave(2, 0).flatten(0, 1)
    full.load_state_dict(state)
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    torch.testing.assert_close(grouped(x), full(x), rtol=1e-9, atol=1e-9)


def test_full_size_of_an_elastic_layer_norm_is_torchs():
    axes = s.Hidden.axes()
    norm, plain = enn.LayerNorm(axes.hidden), nn.LayerNorm(7)
    x = torch.randn(3, 7)
    with axes.masked(s.Hidden.largest()):
        torch.testing.assert_close(norm(x), plain(x))


def test_padding_row_of_an_embedding_stays_zero():
    axes = s.Hidden.axes()
    table = enn.Embedding(6, axes.hidden, padding_idx=0)
    with axes.at(s.Hidden(hidden=2)):
        table(torch.tensor([[0, 1]])).sum().backward()
    assert (table.weight[0] == 0).all() and (table.weight.grad[0] == 0).all() and (table.weight.grad[1, :2] == 1).all()


def test_averaged_models_follow_the_scope():
    axes = s.Widths.axes()
    model = nn.Sequential(enn.Linear(axes.hidden, axes.inner), enn.Linear(axes.inner, 2))
    average = torch.optim.swa_utils.AveragedModel(model)
    average.update_parameters(model)
    arch = s.Widths(hidden=4, inner=6)
    with axes.at(arch):
        x = torch.randn(3, 4)
        assert torch.equal(average(x), model(x))


def test_layers_that_do_not_run_get_no_gradient():
    axes = s.Depth.axes()
    stack = enn.Stack([enn.Linear(axes.hidden, axes.hidden) for _ in range(3)], axes.depth)
    with axes.at(s.Depth(hidden=4, depth=1)):
        stack(torch.randn(2, 4)).sum().backward()
    assert stack.layers[0].weight.grad is not None and stack.layers[1].weight.grad is None


def test_parameter_is_used_like_the_tensor_it_stands_for():
    axes = s.Hidden.axes()
    positions = enn.Parameter(9, axes.hidden)
    x = torch.randn(2, 4, 5)
    with axes.at(s.Hidden(hidden=5)):
        assert torch.equal(x + positions[:4], x + positions.weight[:4, :5])
        assert torch.equal(torch.add(positions, 1), positions.weight[:, :5] + 1)
        assert positions.shape == (9, 5)


@pytest.mark.parametrize("form", ["chosen layers", "layer drop"])
def test_chosen_layers_are_extracted_as_what_runs(form):
    axes = s.Chosen.axes()
    stack = enn.Stack([enn.Linear(axes.hidden, axes.hidden) for _ in range(2)], [axes.first, axes.second])
    plain = extract(stack, s.Chosen(hidden=4, first=False, second=True), torch.randn(2, 4))
    assert sum(p.numel() for p in plain.parameters()) == 4 * 4 + 4
    assert copy.deepcopy(plain)(torch.ones(1, 4)).shape == (1, 4)


def axes():
    return s.Encoder.axes()


def sized(make, scope=None):
    def run():
        sizes = axes()
        module, x = make(sizes)
        with sizes.at(scope or s.Encoder.largest()):
            module(x)

    return run


@pytest.mark.parametrize(
    ("error", "message", "run"),
    [
        (ConfigError, "kind='other': choose 'softmax' or 'linrec'", lambda: enn.Attention(8, 2, 4, kind="other")),
        (ConfigError, "key_norm='row': choose", lambda: enn.Attention(8, 2, 4, key_norm="row")),
        (AxisError, "heads=3 is not a multiple of kv_heads=2", lambda: enn.Attention(9, 3, 3, kv_heads=2)),
        (ConfigError, "layers=3: a data-aware gate has 1 or 2", lambda: enn.DataAwareGate(4, 4, layers=3)),
        (ConfigError, "activation='swish'", lambda: enn.FeedForward(4, 4, activation="swish")),
        (ConfigError, "activation='sigmoid'", lambda: enn.FeedForward(4, 4, activation="sigmoid")),
        (AxisError, "depth is up to 3, but only 2 layers", lambda: enn.Stack([nn.Identity()] * 2, 3)),
        (AxisError, "depth=-1: a depth must be at least 0", lambda: enn.Stack([nn.Identity()] * 2, -1)),
        (AxisError, "Linear: outputs=0: a size must be at least 1", lambda: enn.Linear(4, 0)),
        (AxisError, "Linear: inputs=-4: a size must be at least 1", lambda: enn.Linear(-4, axes().hidden)),
        (AxisError, "Linear: inputs=1.5 is not a size: give an int, an Axis", lambda: enn.Linear(1.5, 4)),
        (AxisError, "Embedding: count=0: a size", lambda: enn.Embedding(0, 4)),
        (AxisError, "Embedding: hidden=-1: a size", lambda: enn.Embedding(5, -1)),
        (AxisError, "LayerNorm: hidden=0: a size", lambda: enn.LayerNorm(0)),
        (AxisError, "RMSNorm: hidden=-2: a size", lambda: enn.RMSNorm(-2)),
        (AxisError, "Parameter: size=0: a size", lambda: enn.Parameter(4, 0)),
        (AxisError, "Attention: heads=0: a size", lambda: enn.Attention(4, 0, 2)),
        (AxisError, "Attention: heads=-1: a size", lambda: enn.Attention(4, -1, 2)),
        (AxisError, "Attention: head_dim=0: a size", lambda: enn.Attention(4, 2, 0)),
        (AxisError, "Attention: kv_heads=0: a size", lambda: enn.Attention(4, 2, 2, kv_heads=0)),
        (AxisError, "FeedForward: inner=0: a size", lambda: enn.FeedForward(4, 0)),
        (AxisError, "DataAwareGate: rank=0: a size", lambda: enn.DataAwareGate(4, 4, rank=0)),
        (AxisError, "give an int, an Axis, or one bool per layer", lambda: enn.Stack([nn.Identity()] * 2, [True])),
        (
            AxisError,
            "ElasticLinear expects 12 features for Axis(hidden: 8, 12) in this scope, but the input has the shape "
            "(2, 8): was it made in another scope?",
            sized(lambda a: (enn.Linear(a.hidden, a.inner), torch.randn(2, 8))),
        ),
        (AxisError, "a sum of sizes cannot be a factor", lambda: (lambda a: 2 * (a.hidden + a.inner))(axes())),
        (AxisError, "cannot multiply an axis by 1.5", lambda: axes().hidden * 1.5),
        (AxisError, "mix axes of 2 Axes objects", lambda: axes().hidden * axes().inner),
        (AxisError, "kind is no size", lambda: enn.Linear(4, axes().kind)),
        (AxisError, "leaves a remainder for", lambda: axes().hidden // 5),
    ],
)
def test_mistakes_are_refused_in_words(error, message, run):
    with pytest.raises(error) as raised:
        run()
    assert message in str(raised.value)


@pytest.mark.parametrize("norm", [enn.LayerNorm, enn.RMSNorm])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_masked_norms_are_as_exact_as_sliced_ones_in_half_precision(norm, dtype, scale):
    axes = s.Hidden.axes()
    module, arch = norm(axes.hidden).to(dtype), s.Hidden(hidden=5)
    x = (torch.randn(20, 7, generator=torch.Generator().manual_seed(0)) * scale).to(dtype)
    x[:, 5:] = 0
    with axes.at(arch):
        sliced = module(x[:, :5])
    with axes.masked(arch):
        masked = module(x)
    assert masked.dtype == dtype
    torch.testing.assert_close(masked[:, :5], sliced, rtol=torch.finfo(dtype).eps, atol=torch.finfo(dtype).eps)


def test_softmax_ignores_what_dead_units_hold():
    """exp of a dead unit may overflow: 0 * inf would be NaN in backward."""
    axes = s.Hidden.axes()
    x = torch.tensor([[-90.0, -91.0, 0.0, torch.inf, 0.0, 0.0, 0.0]], requires_grad=True)
    with axes.masked(s.Hidden(hidden=2)):
        out = enn.softmax(x, axes.hidden)
    out[0, 0].backward()
    assert out[0, 2:].eq(0).all() and x.grad.isfinite().all() and x.grad[0, 2:].eq(0).all()
    torch.testing.assert_close(out[0, :2], torch.tensor([-90.0, -91.0]).softmax(-1))


@pytest.mark.parametrize("key_norm", ["column", "token"])
def test_masked_linrec_is_finite_in_float16(key_norm):
    axes = s.Heads.axes()
    module = enn.Attention(axes.hidden, axes.heads, axes.head_dim, kind="linrec", causal=True, key_norm=key_norm).half()
    with axes.masked(s.Heads(hidden=5, heads=2, head_dim=1)):
        assert module(torch.randn(1, 70, 8).half()).isfinite().all()


def test_operators_of_a_parameter():
    axes = s.Hidden.axes()
    parameter, x = enn.Parameter(3, axes.hidden), torch.randn(3, 5)
    with axes.at(s.Hidden(hidden=5)):
        value = parameter()
        for ours, theirs in (
            (-parameter, -value),
            (parameter - x, value - x),
            (x - parameter, x - value),
            (parameter / 2, value / 2),
            (parameter @ x.T, value @ x.T),
            (x.T @ parameter, x.T @ value),
        ):
            assert torch.equal(ours, theirs)
