"""RelativeBias against loops by hand in both attentions, its caches against the whole forward, and what it refuses."""

import math
from typing import Literal

import pytest
import torch
import torch.nn.functional as F

import elasticnas.nn as enn
from elasticnas import Space
from elasticnas.errors import AxisError, ConfigError

HEADS, WIDTH, BUCKETS = 2, 3, 30


def bucket(seconds):
    return min(BUCKETS - 1, math.floor(math.log(max(1, abs(seconds))) / 0.301))


def made(kind, causal, length=6):
    torch.manual_seed(0)
    if kind == "pointwise":
        relative = enn.RelativeBias(buckets=BUCKETS, causal=causal)
        module = enn.PointwiseAttention(5, HEADS, WIDTH, length=length, causal=causal, relative=relative)
    else:
        relative = enn.RelativeBias(length=length, buckets=BUCKETS, causal=causal)
        module = enn.Attention(5, HEADS, WIDTH, causal=causal, relative=relative)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module.double().eval()


def by_hand(module, x, times, asked, seen):
    """One sequence ``(N, hidden)``, query by query and head by head."""
    pointwise = isinstance(module, enn.PointwiseAttention)
    names = ("query", "key", "value", "gate") if pointwise else ("query", "key", "value")
    project = {name: getattr(module, name)(x) for name in names}
    project = {name: F.silu(value) for name, value in project.items()} if pointwise else project
    table = module.distances if pointwise else module.relative.positions
    rows = []
    for i in range(len(x)):
        mixed = []
        for h in range(HEADS):
            part = slice(h * WIDTH, (h + 1) * WIDTH)
            scores = [
                project["query"][i, part] @ project["key"][j, part] / (1 if pointwise else math.sqrt(WIDTH))
                + table[i - j if module.causal else i - j + 5]
                + module.relative.times[bucket(asked[i] - times[j])]
                for j in seen(i)
            ]
            weights = torch.stack(scores)
            weights = F.silu(weights) / len(scores) if pointwise else weights.softmax(0)
            mixed.append(weights @ project["value"][list(seen(i)), part])
        mixed = torch.cat(mixed)
        if pointwise:
            normed = F.layer_norm(mixed, (HEADS * WIDTH,), module.norm.weight, module.norm.bias, 1e-6)
            mixed = project["gate"][i] * normed
        rows.append(module.out(mixed))
    return torch.stack(rows)


@pytest.mark.parametrize("kind", ["softmax", "pointwise"])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("given", [True, False])
def test_it_equals_the_sum_by_hand(kind, causal, given):
    module, x = made(kind, causal), torch.randn(2, 5, 5, dtype=torch.float64)
    times = torch.tensor([[0, 3, 3, 5000, 90_000], [7, 1, 10**9, 10**9 + 1, 2 * 10**9]])
    asked = torch.tensor([[3, 3, 5000, 90_000, 10**7], [1, 2, 3, 4, 5]]) if given else times
    padding = torch.zeros(2, 5, dtype=torch.bool)
    padding[1, 3] = True
    free = module(x, times=times, query_times=asked if given else None)
    padded = module(x, padding, times=times, query_times=asked if given else None)
    for row in range(2):
        last = [i + 1 if causal else 5 for i in range(5)]
        of_row = module, x[row], times[row].tolist(), asked[row].tolist()
        torch.testing.assert_close(free[row], by_hand(*of_row, lambda i, last=last: range(last[i])), rtol=0, atol=1e-10)

        def unpadded(i, row=row, last=last):
            return [j for j in range(last[i]) if not padding[row, j] or j == i]

        expected = by_hand(*of_row, unpadded).masked_fill(padding[row, :, None], 0)
        torch.testing.assert_close(padded[row], expected, rtol=0, atol=1e-10)


def test_gradients_reach_the_buckets_that_occur_and_no_other():
    module, x = made("softmax", True), torch.randn(1, 3, 5, dtype=torch.float64)
    module(x, times=torch.tensor([[0, 2, 1000]])).sum().backward()
    used = {bucket(d) for d in (0, 2, 1000, 998)}
    assert set(module.relative.times.grad.nonzero().flatten().tolist()) == used == {0, 2, 22}


def test_half_precision_is_near():
    module, x = made("softmax", True), torch.randn(2, 4, 5)
    times = torch.tensor([[0, 2, 1000, 4000]] * 2)
    expected = module(x.double(), times=times)
    narrow = module.bfloat16()(x.bfloat16(), times=times)
    assert narrow.dtype == torch.bfloat16
    torch.testing.assert_close(narrow.double(), expected, rtol=0.1, atol=0.1)


def test_without_it_nothing_changes():
    assert [name for name, _ in enn.Attention(4, 2, 2).named_parameters()] == [
        f"{layer}.{kind}" for layer in ("query", "key", "value", "out") for kind in ("weight", "bias")
    ]
    names = dict(enn.PointwiseAttention(4, 2, 2, length=3).named_parameters())
    assert "distances" in names and not any(name.startswith("relative") for name in names)


@pytest.mark.parametrize("kind", ["softmax", "pointwise", "softmax without bias", "softmax by position"])
def test_steps_equal_the_whole_forward(kind):
    """Rows of different lengths, one with a gap, continue event by event to the end of the cache."""
    length = 9
    if kind == "softmax without bias":
        module = enn.Attention(5, HEADS, WIDTH, causal=True).double()
    elif kind == "softmax by position":
        relative = enn.RelativeBias(length=length, causal=True)
        module = enn.Attention(5, HEADS, WIDTH, causal=True, relative=relative).double()
    else:
        module = made(kind, True, length)
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(3, length, 5, generator=generator, dtype=torch.float64)
    times = torch.randint(10**6, (3, length), generator=generator).sort(1).values
    lengths, gap = torch.tensor([4, 2, 3]), (2, 1)
    padding = torch.arange(4) >= lengths[:, None]
    padding[gap] = True
    timed = kind in ("softmax", "pointwise")
    first = {"times": times[:, :4]} if timed else {}
    state = module.remember(x[:, :4], padding, length=length, **first)
    assert state.position.tolist() == [4, 2, 3]
    whole = torch.zeros(3, length, dtype=torch.bool)
    whole[gap] = True
    expected = module(x, whole, **({"times": times} if timed else {}))
    for _ in range(5):
        at = state.position
        event = torch.arange(3), at
        out, state = module.step(x[event][:, None], state, **({"time": times[event]} if timed else {}))
        torch.testing.assert_close(out[:, 0], expected[event], rtol=0, atol=1e-12)
    with pytest.raises(AxisError, match="the state holds 9 positions, and a sequence has all of them"):
        module.step(x[:, :1], state, **({"time": times[:, 0]} if timed else {}))


class Sizes(Space):
    heads: Literal[4, 2]
    head_dim: Literal[3, 1, 2]


@pytest.mark.parametrize("kind", ["softmax", "softmax of fixed heads", "pointwise"])
@pytest.mark.parametrize("mode", ["slice", "mask", "per sample", "relaxed"])
def test_steps_equal_the_whole_forward_in_every_scope(kind, mode):
    torch.manual_seed(0)
    axes, small = Sizes.axes(), Sizes(heads=2, head_dim=1)
    relative = enn.RelativeBias(buckets=BUCKETS, causal=True)
    if kind == "pointwise":
        module = enn.PointwiseAttention(5, axes.heads, axes.head_dim, 6, causal=True, relative=relative)
    elif kind == "softmax":
        module = enn.Attention(5, axes.heads, axes.head_dim, causal=True, relative=relative)
    else:
        module = enn.Attention(5, 4, axes.head_dim, causal=True, kv_heads=axes.heads, relative=relative)
    module = module.double()
    scope = {
        "slice": lambda: axes.at(small),
        "mask": lambda: axes.masked(small),
        "per sample": lambda: axes.masked([small, Sizes(heads=4, head_dim=2)]),
        "relaxed": lambda: axes.relaxed({"heads": torch.tensor([0.3, 0.7]), "head_dim": torch.tensor([0.2, 0.3, 0.5])}),
    }[mode]
    x, times = torch.randn(2, 5, 5, dtype=torch.float64), torch.tensor([[0, 3, 9, 100, 7000], [5, 6, 7, 8, 9]])
    with scope():
        expected = module(x, times=times)
        state = module.remember(x[:, :2], times=times[:, :2], length=6)
        for n in range(2, 5):
            out, state = module.step(x[:, n : n + 1], state, times[:, n])
            torch.testing.assert_close(out[:, 0], expected[:, n], rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["softmax", "pointwise"])
def test_a_step_asks_at_its_own_time(kind):
    module, x = made(kind, True), torch.randn(2, 4, 5, dtype=torch.float64)
    times, later = torch.tensor([[1, 5, 50, 400]] * 2), torch.tensor([900, 10**7])
    asked = times.clone()
    asked[:, 3] = later
    state = module.remember(x[:, :3], times=times[:, :3])
    out, _ = module.step(x[:, 3:], state, times[:, 3], later)
    torch.testing.assert_close(out[:, 0], module(x, times=times, query_times=asked)[:, 3], rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_small_integers_do_not_wrap_around(dtype):
    """0, the least and the largest of the type, whose differences it cannot hold."""
    values = [0, torch.iinfo(dtype).min, torch.iinfo(dtype).max]
    bias = enn.RelativeBias(buckets=90)
    times = torch.tensor([values], dtype=dtype)
    for given in ((times,), (times, times)):
        found = bias(3, None, *given)[0, 0]
        for i, query in enumerate(values):
            for j, key in enumerate(values):
                assert found[i, j] == bias.times[math.floor(math.log(max(1, abs(query - key))) / 0.301)]


def test_mistakes_are_refused_in_words():
    with pytest.raises(ConfigError, match="give length for a bias by position, buckets for one by time, or both"):
        enn.RelativeBias()
    with pytest.raises(ConfigError, match="buckets=0; it must be at least 1"):
        enn.RelativeBias(buckets=0)
    by_time = enn.RelativeBias(buckets=4)
    with pytest.raises(ConfigError, match="kind='linrec' never computes the scores of queries and keys"):
        enn.Attention(4, 2, 2, "linrec", relative=by_time)
    with pytest.raises(ConfigError, match=r"the attention is causal=True, but its bias is .*causal=False"):
        enn.Attention(4, 2, 2, causal=True, relative=by_time)
    with pytest.raises(ConfigError, match="a bias by position of its own"):
        enn.PointwiseAttention(4, 2, 2, length=3, relative=enn.RelativeBias(length=3))
    x, times = torch.zeros(2, 3, 4), torch.zeros(2, 3, dtype=torch.long)
    timed, plain = enn.Attention(4, 2, 2, relative=by_time), enn.Attention(4, 2, 2)
    with pytest.raises(ConfigError, match=r"has a bias by time: give times \(B, N\)"):
        timed(x)
    with pytest.raises(ConfigError, match="has no bias by time, but times are given"):
        plain(x, times=times)
    with pytest.raises(AxisError, match=r"times must be integers of the shape \(2, 3\), got torch.float32"):
        timed(x, times=times.float())
    with pytest.raises(AxisError, match="RelativeBias has values for 2 positions, but the sequences have 3"):
        enn.Attention(4, 2, 2, relative=enn.RelativeBias(length=2))(x)
    causal = enn.Attention(4, 2, 2, causal=True)
    with pytest.raises(ConfigError, match=r"give remember\(length=...\)"):
        causal.remember(x)
    with pytest.raises(AxisError, match="a state of 2 positions cannot hold sequences of 3"):
        causal.remember(x, length=2)
    with pytest.raises(ConfigError, match="a bidirectional softmax attention cannot continue a sequence"):
        plain.remember(x, length=3)
    with pytest.raises(ConfigError, match="a bidirectional pointwise attention cannot continue a sequence"):
        enn.PointwiseAttention(4, 2, 2, length=3).remember(x)
