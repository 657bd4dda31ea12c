"""A fixed number of query heads with an elastic number of key heads: query head h of H uses key head h // (H / kv)."""

from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch._dynamo.testing import CompileCounterWithBackend

import elasticnas.nn as enn
from elasticnas import Space, extract
from elasticnas.cost import Flops, Params
from elasticnas.elastic import reorder
from elasticnas.errors import AxisError

HEADS, WIDTH, HIDDEN = 8, 3, 6
OPTIONS = (8, 4, 2, 1)
KINDS = [("softmax", "column"), ("linrec", "column"), ("linrec", "token")]


class Sizes(Space):
    kv: Literal[8, 4, 2, 1]


class OneOption(Space):
    heads: Literal[8]
    kv: Literal[8, 2]


class Odd(Space):
    kv: Literal[8, 3]


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def made(kind="softmax", key_norm="column", causal=True, kv_heads=None):
    torch.manual_seed(0)
    kv_heads = Sizes.axes().kv if kv_heads is None else kv_heads
    return enn.Attention(HIDDEN, HEADS, WIDTH, kind, causal, kv_heads, key_norm).double()


def close(computed, expected):
    torch.testing.assert_close(computed, expected, rtol=1e-9, atol=1e-9)


def unit(x, dim):
    return x / (x.square().sum(dim, keepdim=True) + 1e-12).sqrt()


def attend(q, k, v, kind, key_norm):
    """Attention over all keys, by its formula, for each head ``(H, N, k)``."""
    if kind == "softmax":
        return (q @ k.transpose(-1, -2) / WIDTH**0.5).softmax(-1) @ v
    scale = 1 / WIDTH if key_norm == "column" else WIDTH**-0.5
    return scale * unit(F.elu(q), -1) @ (unit(F.elu(k), -2 if key_norm == "column" else -1).transpose(-1, -2) @ v)


def by_hand(module, x, weights):
    """One sample ``(N, hidden)``; the keys and values of the options, repeated and then added with their weights."""
    q = F.linear(x, module.query.weight, module.query.bias).unflatten(-1, (HEADS, WIDTH)).transpose(0, 1)
    k, v = (
        sum(
            weight * full[:units].repeat_interleave(HEADS // units, 0)
            for units, weight in zip(OPTIONS, weights, strict=True)
        )
        for full in (
            F.linear(x, part.weight, part.bias).unflatten(-1, (OPTIONS[0], WIDTH)).transpose(0, 1)
            for part in (module.key, module.value)
        )
    )
    ends = [n + 1 if module.causal else len(x) for n in range(len(x))]
    rows = [attend(q[:, n : n + 1], k[:, :end], v[:, :end], module.kind, module.key_norm) for n, end in enumerate(ends)]
    return F.linear(torch.cat(rows, 1).transpose(0, 1).flatten(1), module.out.weight, module.out.bias)


def one_hot(kv):
    return [float(option == kv) for option in OPTIONS]


def scope_of(module, name, kv):
    """Return a scope and the option weights of two samples in it."""
    axes = module.kv_heads.axes
    soft = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.0, 0.1, 0.7, 0.2]], dtype=torch.float64)
    hard = [one_hot(kv)] * 2
    return {
        "slice": lambda: (axes.at(Sizes(kv=kv)), hard),
        "mask": lambda: (axes.masked(Sizes(kv=kv)), hard),
        "per sample": lambda: (axes.masked([Sizes(kv=kv), Sizes(kv=2)]), [one_hot(kv), one_hot(2)]),
        "one-hot": lambda: (axes.relaxed({"kv": torch.tensor(one_hot(kv))}), hard),
        "soft": lambda: (axes.relaxed({"kv": soft[0]}), [soft[0], soft[0]]),
        "soft per sample": lambda: (axes.relaxed({"kv": soft}), soft),
    }[name]()


SCOPES = ["slice", "mask", "per sample", "one-hot", "soft", "soft per sample"]


@pytest.mark.parametrize(("kind", "key_norm"), KINDS)
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("scope", SCOPES)
def test_attention_is_that_by_hand(kind, key_norm, causal, padded, scope):
    module, x = made(kind, key_norm, causal), normal(2, 5, HIDDEN)
    padding = torch.tensor([True, False, True, False, False]) if padded else torch.zeros(5, dtype=torch.bool)
    for kv in OPTIONS if "soft" not in scope else (8,):
        opened, weights = scope_of(module, scope, kv)
        real = torch.stack([by_hand(module, x[b, ~padding], weights[b]) for b in range(2)])
        expected = torch.zeros_like(x)
        expected[:, ~padding] = real
        with opened:
            out = module(x, padding.expand(2, 5) if padded else None)
            row = module(x, padding.expand(2, 5) if padded else None, torch.tensor([3, 4]))
        close(out, expected)
        close(row, torch.stack([expected[0, 3:4], expected[1, 4:5]]))
        parameters = list(module.parameters())
        gradients = (torch.autograd.grad(each.square().sum(), parameters) for each in (out, expected))
        for ours, theirs in zip(*gradients, strict=True):
            close(ours, theirs)


@pytest.mark.parametrize("key_norm", ["column", "token"])
@pytest.mark.parametrize("scope", SCOPES)
def test_steps_continue_what_is_remembered(key_norm, scope):
    module, x = made("linrec", key_norm), normal(2, 6, HIDDEN)
    opened, weights = scope_of(module, scope, 4)
    expected = torch.stack([by_hand(module, x[b], weights[b]) for b in range(2)])
    with opened:
        state = module.remember(x[:, :3])
        for n in range(3, 6):
            out, state = module.step(x[:, n : n + 1], state)
            close(out, expected[:, n : n + 1])


@pytest.mark.parametrize(("kind", "key_norm"), KINDS)
def test_gradients_of_probabilities_and_mixed_keys(kind, key_norm):
    module, x = made(kind, key_norm), normal(2, 3, HIDDEN)
    axes = module.kv_heads.axes

    def run(p, key, value):
        with axes.relaxed({"kv": p}):
            return torch.func.functional_call(module, {"key.weight": key, "value.weight": value}, x)

    p = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (p, module.key.weight, module.value.weight))


def test_a_sample_shared_by_architectures():
    module, x = made(), normal(1, 4, HIDDEN)
    with module.kv_heads.axes.masked([Sizes(kv=kv) for kv in (4, 1, 8)]):
        out = module(x)
    close(out, torch.stack([by_hand(module, x[0], one_hot(kv)) for kv in (4, 1, 8)]))


def test_architectures_for_another_batch_are_refused():
    module = made()
    with module.kv_heads.axes.masked([Sizes(kv=8)] * 3), pytest.raises(AxisError, match="each of 3 samples"):
        module(normal(2, 4, HIDDEN))


def test_all_query_rows_are_kept_and_no_weight_is_wasted():
    module, x = made(), normal(2, 4, HIDDEN)
    width = HEADS * WIDTH
    for kv in OPTIONS:
        arch = Sizes(kv=kv)
        plain = extract(module, arch, x)
        assert torch.equal(plain.query.weight, module.query.weight) and torch.equal(plain.out.weight, module.out.weight)
        assert torch.equal(plain.key.weight, module.key.weight[: kv * WIDTH])
        parameters = 2 * (width * HIDDEN + kv * WIDTH * HIDDEN) + width + 2 * kv * WIDTH + HIDDEN
        assert sum(p.numel() for p in plain.parameters()) == parameters == int(Params(module)(arch))
        products = 2 * 8 * HIDDEN * (2 * width + 2 * kv * WIDTH) + 2 * 2 * 2 * 4 * 4 * width
        assert int(Flops(module, x)(arch)) == products
    assert sum(p.numel() for p in module.parameters()) == int(Params(module)(Sizes(kv=8)))
    assert made(kv_heads=8).state_dict().keys() == module.state_dict().keys()
    made(kv_heads=8).load_state_dict(module.state_dict())


def test_heads_with_one_option_do_not_vary():
    axes = OneOption.axes()
    module = enn.Attention(HIDDEN, axes.heads, WIDTH, kv_heads=axes.kv)
    assert module.query.weight.shape == (HEADS * WIDTH, HIDDEN)
    x = torch.randn(2, 4, HIDDEN)
    arch = OneOption(heads=8, kv=2)
    with axes.masked(arch):
        masked = module(x)
    torch.testing.assert_close(masked, extract(module, arch, x)(x))


def test_key_heads_that_do_not_divide_the_heads_are_refused():
    with pytest.raises(AxisError, match="8 // kv leaves a remainder for 8 // 3"):
        enn.Attention(HIDDEN, HEADS, WIDTH, kv_heads=Odd.axes().kv)


def test_key_heads_are_not_sorted_by_importance():
    """In another order the query heads would attend to other keys."""
    module, x = made(), normal(2, 4, HIDDEN)
    outputs = []
    for _ in range(2):
        with module.kv_heads.axes.at(Sizes(kv=8)):
            outputs.append(module(x))
        assert "kv" in reorder(module, x).kept
    close(*outputs)


@pytest.mark.parametrize("kind", ["softmax", "linrec"])
@pytest.mark.parametrize("per_sample", [False, True])
def test_one_compilation(kind, per_sample):
    torch._dynamo.reset()
    module, x = made(kind), normal(2, 4, HIDDEN)
    counted = CompileCounterWithBackend("eager" if kind == "linrec" else "aot_eager")
    compiled, axes = torch.compile(module, backend=counted, fullgraph=True), module.kv_heads.axes
    for kv in OPTIONS:
        with axes.masked([Sizes(kv=kv), Sizes(kv=2)] if per_sample else Sizes(kv=kv)):
            out = compiled(x)
        rows = [one_hot(kv), one_hot(2 if per_sample else kv)]
        close(out, torch.stack([by_hand(module, sample, row) for sample, row in zip(x, rows, strict=True)]))
        out.square().sum().backward()
    assert counted.frame_count == 1
    p = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64, requires_grad=True)
    with axes.relaxed({"kv": p}):
        out = compiled(x)
    close(out, torch.stack([by_hand(module, sample, p) for sample in x]))
    torch._dynamo.reset()


def test_autocast_is_the_same_masked_and_sliced():
    module, x = made().float(), normal(2, 4, HIDDEN).float()
    arch = Sizes(kv=2)
    with torch.autocast("cpu", torch.bfloat16):
        with module.kv_heads.axes.at(arch):
            sliced = module(x)
        with module.kv_heads.axes.masked(arch):
            masked = module(x)
    assert masked.dtype == sliced.dtype == torch.bfloat16
    torch.testing.assert_close(masked, sliced)
