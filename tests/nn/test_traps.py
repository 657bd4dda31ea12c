"""Each way in which masking is known to break, put back on purpose: the law must notice."""

import pytest
import torch
import torch.nn.functional as F
import torch.utils.checkpoint
from torch import nn

import elasticnas.nn as enn
from elasticnas.axes import Product, active_size, apply_mask, full_size
from elasticnas.axes import select as right_select
from elasticnas.cost import Flops
from elasticnas.errors import AxisError
from elasticnas.nn import attention, depth, embedding, gate, linear, linrec, norm
from elasticnas.testing import assert_mask_slice_equal
from tests.nn import spaces as s


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_weights(module):
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.5
    return module.double().eval()


def keeps_the_law(build, space, arch, width, outputs=None):
    """Whether the law holds; a difference of shapes counts as broken."""
    axes = space.axes()
    module = random_weights(build(axes))
    size = width(axes)
    with axes.at(arch):
        x = normal(2, 5, active_size(size))
    out = size if outputs is None else outputs(axes)
    try:
        assert_mask_slice_equal(module, arch, x, inputs_size=size, outputs_size=out)
    except AssertionError:
        return False
    return True


def on_hidden(axes):
    return axes.hidden


def attend(kind="softmax", **options):
    return lambda axes: enn.Attention(axes.hidden, axes.heads, axes.head_dim, kind=kind, **options)


SMALL_HEADS = s.Heads(hidden=5, heads=2, head_dim=3)


def test_layer_norm_over_all_features(monkeypatch):
    arch = s.Hidden(hidden=5)
    assert keeps_the_law(lambda a: enn.LayerNorm(a.hidden), s.Hidden, arch, on_hidden)

    def plain(self, x):
        weight, bias = right_select(self.weight, [self.hidden]), right_select(self.bias, [self.hidden])
        return apply_mask(F.layer_norm(x, (x.shape[-1],), weight, bias, self.eps), self.hidden)

    monkeypatch.setattr(norm.ElasticLayerNorm, "forward", plain)
    assert not keeps_the_law(lambda a: enn.LayerNorm(a.hidden), s.Hidden, arch, on_hidden)


def test_rms_norm_over_all_features(monkeypatch):
    arch = s.Hidden(hidden=5)
    assert keeps_the_law(lambda a: enn.RMSNorm(a.hidden), s.Hidden, arch, on_hidden)

    def plain(self, x):
        return F.rms_norm(x, (x.shape[-1],), right_select(self.weight, [self.hidden]), self.eps)

    monkeypatch.setattr(norm.ElasticRMSNorm, "forward", plain)
    assert not keeps_the_law(lambda a: enn.RMSNorm(a.hidden), s.Hidden, arch, on_hidden)


@pytest.mark.parametrize("kind", ["softmax", "linrec"])
def test_attention_scaled_by_the_full_head_dim(monkeypatch, kind):
    assert keeps_the_law(attend(kind), s.Heads, SMALL_HEADS, on_hidden)
    real = attention.expected

    def full_when_masked(size, power, like):
        return real(size, power, like) if isinstance(size.at(), int) else float(full_size(size) ** power)

    monkeypatch.setattr(attention, "expected", full_when_masked)
    assert not keeps_the_law(attend(kind), s.Heads, SMALL_HEADS, on_hidden)


def test_tail_units_of_the_concatenated_heads(monkeypatch):
    """Taking the first units of (heads head_dim) instead of the first of each head."""
    arch = s.Heads(hidden=8, heads=4, head_dim=3)
    assert keeps_the_law(attend(), s.Heads, arch, on_hidden)

    def contiguous(tensor, sizes):
        for dim, size in enumerate(sizes):
            if isinstance(size, Product):
                tensor = tensor.narrow(dim, 0, active_size(size))
            else:
                tensor = right_select(tensor, [*tensor.shape[:dim], size, *tensor.shape[dim + 1 :]])
        return tensor

    monkeypatch.setattr(linear, "select", contiguous)
    assert not keeps_the_law(attend(), s.Heads, arch, on_hidden)


def test_fewer_query_heads_by_prefix_with_grouped_queries():
    """(heads head_dim) rows pair the queries that are left with other keys than they had."""
    arch = s.Heads(hidden=8, heads=2, head_dim=3)

    def right(axes):
        return enn.Attention(axes.hidden, axes.heads, axes.head_dim, kv_heads=2)

    def wrong(axes):
        module = right(axes)
        module.query.outputs = module.out.inputs = axes.heads * axes.head_dim
        return module

    assert keeps_the_law(right, s.Heads, arch, on_hidden)
    assert not keeps_the_law(wrong, s.Heads, arch, on_hidden)


class Gated(nn.Module):
    """A gate on what a part without its own mask makes: the gate has to keep dead units dead."""

    def __init__(self, sizes):
        super().__init__()
        self.gate = enn.DataAwareGate(sizes.hidden, sizes.hidden)

    def forward(self, x):
        return self.gate(x)


def test_gate_not_masked_after_its_sigmoid(monkeypatch):
    arch = s.Hidden(hidden=2)
    assert keeps_the_law(Gated, s.Hidden, arch, on_hidden)
    monkeypatch.setattr(gate, "apply_support", lambda x, size: x)
    assert not keeps_the_law(Gated, s.Hidden, arch, on_hidden)


@pytest.mark.parametrize("causal", [False, True])
def test_zero_norm_of_dead_columns(monkeypatch, causal):
    build = attend("linrec", causal=causal)
    assert keeps_the_law(build, s.Heads, SMALL_HEADS, on_hidden)
    monkeypatch.setattr(linrec, "_EPS", 0.0)
    assert not keeps_the_law(build, s.Heads, SMALL_HEADS, on_hidden)
    # outside every mask too: a key of exactly 0
    axes = s.Heads.axes()
    module = random_weights(build(axes))
    module.key.bias.data.zero_()
    with axes.at(SMALL_HEADS):
        assert not module(torch.zeros(1, 4, 5, dtype=torch.float64)).isfinite().all()
    monkeypatch.undo()
    with axes.at(SMALL_HEADS):
        assert module(torch.zeros(1, 4, 5, dtype=torch.float64)).isfinite().all()


@pytest.mark.parametrize("key_norm", ["column", "token"])
@pytest.mark.parametrize("causal", [False, True])
def test_padding_masked_before_elu(monkeypatch, key_norm, causal):
    """elu of a large negative number is -1: a key that should be nothing would count."""
    module = random_weights(enn.Attention(8, 2, 4, kind="linrec", key_norm=key_norm, causal=causal))
    x = normal(1, 6, 8)
    padding = torch.tensor([[True, True, False, False, False, False]])

    def agrees():
        return torch.allclose(module(x, padding)[:, 2:], module(x[:, 2:]), rtol=1e-9, atol=1e-9)

    assert agrees()
    real = attention.linrec

    def before(query, key, value, causal, key_norm, padding, *more):
        key = key.masked_fill(padding[:, None, None, :, None], -1e9) if padding is not None else key
        return real(query, key, value, causal, key_norm, None, *more)

    monkeypatch.setattr(attention, "linrec", before)
    assert not agrees()


SOFT = {"head_dim": torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)}


def soft_attention(module, x):
    """Softmax attention by hand with m once in q k, once in V, and the expected scale."""
    weights = SOFT["head_dim"]
    m = weights @ torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 0, 0]], dtype=torch.float64)
    scale = (weights * torch.tensor([4.0, 3.0, 1.0], dtype=torch.float64) ** -0.5).sum()
    q, k, v = (
        F.linear(x, part.weight, part.bias).unflatten(-1, (4, 4)).transpose(1, 2)
        for part in (module.query, module.key, module.value)
    )
    out = ((q * m) @ k.transpose(-1, -2) * scale).softmax(-1) @ (v * m)
    return F.linear(out.transpose(1, 2).flatten(2), module.out.weight, module.out.bias)


def test_both_operands_of_a_product_carry_the_soft_mask(monkeypatch):
    axes = s.Heads.axes()
    module = random_weights(attend()(axes))
    x = normal(2, 5, 8)

    def agrees():
        with axes.relaxed(SOFT):
            return torch.allclose(module(x), soft_attention(module, x), rtol=1e-9, atol=1e-9)

    assert agrees()
    monkeypatch.setattr(attention, "project", lambda part, given: part(given))
    assert not agrees()


def test_both_operands_of_a_gated_feed_forward_carry_the_soft_mask(monkeypatch):
    from elasticnas.nn import feedforward

    axes = s.Widths.axes()
    module = random_weights(enn.FeedForward(axes.hidden, axes.inner, gated=True, activation="silu"))
    x = normal(2, 5, 8)
    p = torch.tensor([0.4, 0.6], dtype=torch.float64)
    m = torch.cat([torch.ones(6, dtype=torch.float64), p[0].expand(4)])
    inner = F.silu(F.linear(x, module.gate.weight, module.gate.bias)) * F.linear(x, module.up.weight, module.up.bias)
    expected = F.linear(inner * m, module.down.weight, module.down.bias)

    def agrees():
        with axes.relaxed({"inner": p}):
            return torch.allclose(module(x), expected, rtol=1e-9, atol=1e-9)

    assert agrees()
    monkeypatch.setattr(feedforward, "project", lambda part, given: part(given))
    assert not agrees()


def test_soft_layer_norm_is_the_stated_formula():
    axes = s.Hidden.axes()
    module = random_weights(enn.LayerNorm(axes.hidden))
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    m = torch.tensor([1.0, 1, 0.8, 0.8, 0.8, 0.5, 0.5], dtype=torch.float64)
    x = normal(2, 5, 7) * m
    mu = (m * x).sum(-1, keepdim=True) / (m * m).sum()
    var = ((x - m * mu) ** 2).sum(-1, keepdim=True) / (m * m).sum()
    expected = (x - m * mu) / (var + module.eps).sqrt() * module.weight + m * module.bias
    with axes.relaxed({"hidden": p}):
        torch.testing.assert_close(module(x), expected, rtol=1e-9, atol=1e-9)


class Explodes(nn.Module):
    """A layer that makes inf of everything, as an untrained or overflowing one does."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return x + self.bias + torch.full_like(x, torch.inf)


@pytest.mark.parametrize(
    "form", ["prefix", "chosen", "branch"], ids=["exits of a stack", "a skipped layer", "a branch not taken"]
)
def test_dead_times_inf(monkeypatch, form):
    from elasticnas.nn import mixture

    if form == "prefix":
        space, arch = s.Depth, s.Depth(hidden=6, depth=1)

        def build(axes):
            return enn.Stack([enn.Linear(axes.hidden, axes.hidden), Explodes(), Explodes()], axes.depth)
    elif form == "chosen":
        space, arch = s.Chosen, s.Chosen(hidden=6, first=True, second=False)

        def build(axes):
            return enn.Stack([enn.Linear(axes.hidden, axes.hidden), Explodes()], [axes.first, axes.second])
    else:
        space, arch = s.Branches, s.Branches(hidden=6, kind="plain")

        def build(axes):
            return enn.Mixture({"plain": enn.Linear(axes.hidden, axes.hidden), "deep": Explodes()}, axes.kind)

    def multiplied(share, part, to=None):
        return share * part if to is None else to + share * part

    assert keeps_the_law(build, space, arch, on_hidden)
    for module in (depth, mixture):
        monkeypatch.setattr(module, "contribute", multiplied)
    assert not keeps_the_law(build, space, arch, on_hidden)


def blockwise(axes):
    return nn.Sequential(enn.Linear(axes.hidden, axes.inner), nn.Tanh(), enn.Linear(axes.inner, axes.hidden))


def test_reentrant_checkpoint_is_refused_where_it_would_be_silently_wrong(monkeypatch):
    axes = s.Widths.axes()
    module, arch = random_weights(blockwise(axes)), s.Widths(hidden=8, inner=6)
    x = normal(2, 8).requires_grad_()
    with axes.at(arch):
        module(x).sum().backward()
    right = [p.grad.clone() for p in module.parameters()]

    def checkpointed(run):
        module.zero_grad()
        with axes.at(arch):
            out = run(module, x)
        out.sum().backward()
        return [p.grad.clone() for p in module.parameters()]

    assert all(map(torch.equal, checkpointed(enn.checkpoint), right))

    def reentrant(block, given):
        return torch.utils.checkpoint.checkpoint(block, given, use_reentrant=True)

    with pytest.raises(AxisError, match=r"elasticnas\.nn\.checkpoint"):
        checkpointed(reentrant)
    from elasticnas.axes import stack

    # without the refusal: gradients that are wrong, and nobody says so
    monkeypatch.setattr(stack, "_backward_id", lambda: -1)
    assert not all(map(torch.equal, checkpointed(reentrant), right))


class Pools(nn.Module):
    """Softmax and mean over an elastic dimension."""

    def __init__(self, sizes, softmax, mean):
        super().__init__()
        self.part, self.softmax, self.mean = enn.Linear(sizes.hidden, sizes.hidden), softmax, mean
        self.hidden = sizes.hidden

    def forward(self, x):
        x = self.part(x)
        return self.softmax(x, self.hidden) * self.mean(x, self.hidden).unsqueeze(-1)


def test_reductions_of_torch_over_an_elastic_dimension():
    arch = s.Hidden(hidden=5)
    assert keeps_the_law(lambda a: Pools(a, enn.softmax, enn.mean), s.Hidden, arch, on_hidden)
    assert not keeps_the_law(lambda a: Pools(a, lambda x, _: x.softmax(-1), enn.mean), s.Hidden, arch, on_hidden)
    assert not keeps_the_law(lambda a: Pools(a, enn.softmax, lambda x, _: x.mean(-1)), s.Hidden, arch, on_hidden)


class Concatenates(nn.Module):
    def __init__(self, sizes, size):
        super().__init__()
        self.left, self.right = enn.Linear(sizes.hidden, sizes.hidden), enn.Linear(sizes.hidden, sizes.inner)
        self.joined = enn.Linear(size, 3)

    def forward(self, x):
        return self.joined(torch.cat([self.left(x), self.right(x)], -1))


def test_concatenation_needs_a_sum_of_sizes():
    arch = s.Widths(hidden=6, inner=6)
    assert keeps_the_law(lambda a: Concatenates(a, a.hidden + a.inner), s.Widths, arch, on_hidden, lambda a: None)
    # a fixed size refuses the sliced input; the full-size prefix of another order is another network
    wrong = random_weights(Concatenates(s.Widths.axes(), 18))
    with pytest.raises(RuntimeError):
        assert_mask_slice_equal(wrong, arch, normal(2, 5, 6), inputs_size=wrong.left.inputs)
    swapped = lambda a: Concatenates(a, a.inner + a.hidden)  # noqa: E731
    assert not keeps_the_law(swapped, s.Widths, arch, on_hidden, lambda a: None)


def test_scores_of_a_sliced_table_need_the_support_of_the_input(monkeypatch):
    """What dead units carry must not reach the scores."""

    class Scores(nn.Module):
        def __init__(self, sizes):
            super().__init__()
            self.table = enn.Embedding(7, sizes.hidden)

        def forward(self, x):
            return self.table.scores(x + 1)  # + 1 fills the dead units

    arch = s.Hidden(hidden=5)
    assert keeps_the_law(Scores, s.Hidden, arch, on_hidden, lambda a: None)
    monkeypatch.setattr(embedding, "apply_support", lambda x, size, dim=-1: x)
    monkeypatch.setattr(embedding, "without_dead", lambda weight, sizes: weight)
    assert not keeps_the_law(Scores, s.Hidden, arch, on_hidden, lambda a: None)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam_moves_dead_units_only_by_weight_decay_or_momentum(decay):
    axes = s.Hidden.axes()
    module = random_weights(enn.Linear(axes.hidden, 3))
    before = module.weight.detach().clone()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1, weight_decay=decay)
    with axes.at(s.Hidden(hidden=2)):
        module(normal(4, 2)).square().sum().backward()
    optimizer.step()
    moved = (module.weight != before).any(0)
    assert moved[:2].all() and bool(moved[2:].any()) == (decay > 0)


def test_trainers_leave_weight_decay_out():
    """Searches, trainings of supernets and of plain networks descend by one class."""
    from elasticnas.search import BilevelSearcher, PlainTraining, Problem, SearchSettings, SupernetTrainer

    model = enn.Linear(4, s.Hidden.axes().hidden)
    flops, batches = Flops(model, torch.zeros(1, 4)), [torch.zeros(2, 4)]
    problem = Problem(model, lambda model, x: model(x).sum(), batches, batches, {"flops": flops})
    plain = PlainTraining(
        nn.Linear(2, 2), problem.loss, batches, steps=1, rate=lambda step: 0.1, clip_norm=None, seed=0, identity={}
    )
    for trainer in (BilevelSearcher(problem, SearchSettings()), SupernetTrainer(problem), plain):
        assert all(group["weight_decay"] == 0 for group in trainer._descent.optimizer.param_groups)


def test_a_supernet_holds_the_largest_of_each_axis_and_no_mask():
    axes = s.Encoder.axes()
    module = enn.Attention(axes.hidden, axes.heads, axes.head_dim)
    assert not list(module.buffers())
    # head_dim reaches 6 with 2 heads, heads 4
    assert sum(p.numel() for p in module.parameters()) == 4 * (12 * 24) + 3 * 24 + 12
