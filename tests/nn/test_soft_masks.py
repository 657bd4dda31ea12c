"""Soft masks against formulas written out by hand, at probabilities that are not one-hot; and what they take."""

from typing import Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

import elasticnas.nn as enn
from elasticnas import Space
from elasticnas.nn import linear
from tests.nn import spaces as s


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


def random_weights(module):
    for number, parameter in enumerate(module.parameters()):
        parameter.data = normal(*parameter.shape, seed=number) * 0.5
    return module.double().eval()


def close(computed, expected):
    torch.testing.assert_close(computed, expected, rtol=1e-9, atol=1e-9)


def attend(q, k, v, kind, scale, m):
    """One head by its equation, ``(N, k)`` each; ``m`` is the mask of head_dim, ``scale`` its expected power."""
    if kind == "softmax":
        return ((q * m) @ k.T * scale).softmax(-1) @ (v * m)
    q, k = F.elu(q), F.elu(k)
    q = q * m / (q.square() * m).sum(-1, keepdim=True).sqrt()
    # columns: the norm over the sequence; tokens: over the features, each with its share
    k = k / (k.norm(dim=0) if kind == "column" else (k.square() * m).sum(-1, keepdim=True).sqrt())
    return q @ (k.T @ (v * m)) * scale


def attention_by_hand(module, x, kind, scale, m, m_kv, m_group):
    """The masks of the heads multiply what a head gives, and nothing before its softmax or its norms."""
    groups, members, width = len(m_kv), len(m_group), len(m)
    out = torch.zeros(*x.shape[:2], groups, members, width, dtype=x.dtype)
    q = F.linear(x, module.query.weight, module.query.bias).unflatten(-1, (groups, members, width))
    k, v = (F.linear(x, part.weight, part.bias).unflatten(-1, (groups, width)) for part in (module.key, module.value))
    for b in range(len(x)):
        for g in range(groups):
            for r in range(members):
                head = attend(q[b, :, g, r], k[b, :, g], v[b, :, g], kind, scale, m)
                out[b, :, g, r] = m_kv[g] * m_group[r] * head
    return F.linear(out.flatten(2), module.out.weight, module.out.bias)


KINDS = {"softmax": -0.5, "column": -1.0, "token": -0.5}


def options(kind):
    return {"kind": "softmax"} if kind == "softmax" else {"kind": "linrec", "key_norm": kind}


@pytest.mark.parametrize("kind", KINDS)
def test_soft_heads_and_head_dim(kind):
    axes = s.Heads.axes()  # heads 4, 2; head_dim 4, 3, 1
    module = random_weights(enn.Attention(8, axes.heads, axes.head_dim, **options(kind)))
    x = normal(2, 5, 8)
    scale = 0.2 * 4.0 ** KINDS[kind] + 0.5 * 3.0 ** KINDS[kind] + 0.3
    expected = attention_by_hand(module, x, kind, scale, vector(1, 0.7, 0.7, 0.2), vector(1, 1, 0.4, 0.4), vector(1))
    with axes.relaxed({"heads": vector(0.4, 0.6), "head_dim": vector(0.2, 0.5, 0.3)}):
        close(module(x), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_soft_groups_of_queries(kind):
    axes = s.Grouped.axes()  # heads 8, 4, 2; kv_heads 4, 2, 1; head_dim 3, 2
    module = random_weights(enn.Attention(6, axes.heads, axes.head_dim, kv_heads=axes.kv_heads, **options(kind)))
    x = normal(2, 4, 6)
    p = {"heads": vector(0.5, 0.3, 0.2), "kv_heads": vector(0.1, 0.6, 0.3), "head_dim": vector(0.7, 0.3)}
    # group = heads // kv_heads; 2 heads with 4 kv_heads, with the probability 0.2 * 0.1, do not exist
    of = {8: 0.5 * 0.3, 4: 0.5 * 0.6 + 0.3 * 0.3, 2: 0.5 * 0.1 + 0.3 * 0.6 + 0.2 * 0.3, 1: 0.3 * 0.1 + 0.2 * 0.6}
    m_group = vector(*(sum(share for size, share in of.items() if size > member) / 0.98 for member in range(8)))
    scale = 0.7 * 3.0 ** KINDS[kind] + 0.3 * 2.0 ** KINDS[kind]
    expected = attention_by_hand(module, x, kind, scale, vector(1, 1, 0.7), vector(1, 0.7, 0.1, 0.1), m_group)
    with axes.relaxed(p):
        close(module(x), expected)


@pytest.mark.parametrize("eps", [None, 1e-3])
def test_soft_rms_norm(eps):
    axes = s.Hidden.axes()  # hidden 7, 5, 2
    module = random_weights(enn.RMSNorm(axes.hidden, eps))
    m = vector(1, 1, 0.8, 0.8, 0.8, 0.5, 0.5)
    x = normal(2, 5, 7) * m
    mean_square = x.square().sum(-1, keepdim=True) / m.square().sum()
    expected = x / (mean_square + (torch.finfo(x.dtype).eps if eps is None else eps)).sqrt() * module.weight
    with axes.relaxed({"hidden": vector(0.5, 0.3, 0.2)}):
        close(module(x), expected)


def test_soft_reductions():
    axes = s.Hidden.axes()
    m = vector(1, 1, 0.8, 0.8, 0.8, 0.5, 0.5)
    x = normal(2, 7, 3) * m.unsqueeze(-1)
    weighted = m.unsqueeze(-1) * x.exp()
    with axes.relaxed({"hidden": vector(0.5, 0.3, 0.2)}):
        close(enn.mean(x, axes.hidden, dim=1), x.sum(1) / 5.4)
        close(enn.softmax(x, axes.hidden, dim=1), weighted / weighted.sum(1, keepdim=True))


class Sizes(Space):
    hidden: Literal[96, 64, 32, 16, 8, 4, 2, 1]
    inner: Literal[128, 96, 64, 32, 16, 8, 4, 2]
    heads: Literal[4, 2]
    head_dim: Literal[32, 16, 8, 4]


class NoWeightSizedTensor(TorchDispatchMode):
    """Fails where an operation makes a tensor, no view of a weight, as large as the smallest weight matrix."""

    def __init__(self, module):
        super().__init__()
        matrices = [parameter for parameter in module.parameters() if parameter.ndim == 2]
        self.limit = min(parameter.numel() for parameter in matrices)
        self.weights = {parameter.untyped_storage().data_ptr() for parameter in matrices}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, torch.Tensor) and tensor.numel() >= self.limit:
                made = tensor.untyped_storage().data_ptr() not in self.weights
                assert not made, f"{function} made a tensor of the shape {tuple(tensor.shape)}"
        return out


@pytest.mark.parametrize(
    "build",
    [
        lambda a: enn.Linear(a.hidden, a.inner),
        lambda a: enn.Embedding(500, a.hidden),
        lambda a: enn.FeedForward(a.hidden, a.inner, gated=True),
        lambda a: enn.DataAwareGate(a.hidden, a.inner),
        lambda a: enn.Attention(a.hidden, a.heads, a.head_dim),
        lambda a: enn.Attention(a.hidden, a.heads, a.head_dim, kind="linrec", causal=True),
    ],
    ids=["linear", "embedding", "feed-forward", "gate", "attention", "LinRec"],
)
def test_soft_masks_take_no_weight_sized_memory(build):
    """Masks are on activations: a masked copy of the weights per option is 8 times their memory."""
    axes = Sizes.axes()
    module = build(axes)
    x = torch.tensor([[1, 2]]) if isinstance(module, enn.ElasticEmbedding) else torch.randn(1, 2, 96)
    p = {name: torch.ones(len(found)).requires_grad_().softmax(-1) for name, found in Sizes.choices().items()}
    with axes.relaxed(p), NoWeightSizedTensor(module):
        module(x)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("positions", [1, 40])
def test_a_mask_on_the_weight_is_a_mask_on_the_output(monkeypatch, positions, bias):
    """Of many positions the weight is the smaller one; values and all gradients are those of the mask on the output."""
    masked, right = [], linear.apply_mask
    monkeypatch.setattr(linear, "apply_mask", lambda x, size: masked.append(tuple(x.shape)) or right(x, size))
    axes = s.Hidden.axes()
    module = random_weights(enn.Linear(5, axes.hidden, bias=bias))
    x = normal(positions, 5).requires_grad_()
    logits = normal(3, seed=9).requires_grad_()
    given = [x, logits, *module.parameters()]
    with axes.relaxed({"hidden": logits.softmax(-1)}):
        out = module(x)
    assert masked == ([(1, 7)] if positions == 1 else [])
    m = logits.softmax(-1) @ torch.stack([vector(*[1.0] * n, *[0.0] * (7 - n)) for n in (7, 5, 2)])
    expected = F.linear(x, module.weight, module.bias) * m
    close(out, expected)
    for mine, theirs in zip(
        torch.autograd.grad(out.square().sum(), given), torch.autograd.grad(expected.square().sum(), given), strict=True
    ):
        close(mine, theirs)


def test_a_scope_serves_several_backward_passes():
    """Masks are remembered in a scope only where no graph ends in them."""
    axes = s.Hidden.axes()
    module, x = random_weights(enn.LayerNorm(axes.hidden)), normal(3, 7)
    for learned in (True, False):
        p = vector(0.5, 0.3, 0.2).requires_grad_(learned)
        with axes.relaxed({"hidden": p}):
            with torch.no_grad():
                module(x)
            with torch.inference_mode():
                module(x)
            first, second = (torch.autograd.grad(module(x).square().sum(), module.weight)[0] for _ in range(2))
            close(first, second)
            if learned:
                for _ in range(2):
                    module(x).square().sum().backward()
                assert p.grad.abs().sum() > 0


def test_a_scope_remembers_a_mask_for_every_dtype():
    axes = s.Hidden.axes()
    module = enn.Linear(axes.hidden, axes.hidden)
    with axes.relaxed({"hidden": torch.tensor([0.5, 0.3, 0.2])}):
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            assert module.to(dtype)(torch.ones(2, 7, dtype=dtype)).dtype == dtype


def test_probabilities_may_change_in_an_open_scope():
    axes = s.Hidden.axes()
    module, x = random_weights(enn.Linear(7, axes.hidden)), normal(3, 7)
    p = vector(0.0, 0.0, 1.0)
    with axes.relaxed({"hidden": p}):
        assert int((module(x) != 0).sum()) == 3 * 2
        p.copy_(vector(1.0, 0.0, 0.0))
        assert int((module(x) != 0).sum()) == 3 * 7
        p.requires_grad_()
        module(x).square().sum().backward()
        assert p.grad.abs().sum() > 0


@pytest.mark.parametrize("masked", [True, False])
def test_a_scope_serves_inside_and_outside_of_vmap(masked):
    axes = s.Heads.axes()
    module, x = random_weights(enn.Linear(axes.hidden, axes.heads * axes.head_dim)), normal(3, 8)
    target = axes.space.smallest() if masked else {"head_dim": vector(0.2, 0.5, 0.3)}
    with (axes.masked if masked else axes.relaxed)(target):
        close(torch.func.vmap(module)(x), module(x))


@pytest.mark.parametrize("masked", [True, False])
def test_what_is_traced_in_a_scope_leaves_nothing_in_it(masked):
    axes = s.Hidden.axes()
    module, x = random_weights(enn.Linear(axes.hidden, axes.hidden)), normal(20, 7)
    axes.hidden.quantity.precompute()
    target = axes.space.smallest() if masked else {"hidden": vector(0.5, 0.3, 0.2)}
    with (axes.masked if masked else axes.relaxed)(target):
        with FakeTensorMode(allow_non_fake_inputs=True):
            module(torch.ones(3, 7, dtype=torch.float64))
        traced, symbolic = torch.jit.trace(module, x), make_fx(module)(x)
        expected = module(x)
        assert not isinstance(expected, FakeTensor)
        close(traced(x), expected)
        close(symbolic(x), expected)


def test_probabilities_that_are_no_tensors_are_copied():
    axes = s.Hidden.axes()
    module, p = random_weights(enn.Linear(7, axes.hidden)), np.array([0.0, 0.0, 1.0])
    with axes.relaxed({"hidden": p}):
        p[:] = 1.0, 0.0, 0.0
        assert int((module(normal(3, 7)) != 0).sum()) == 3 * 2
