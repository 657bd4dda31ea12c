"""LinRec attention against its equations, prefix by prefix, and its cost in memory."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

import elasticnas.nn as enn
from elasticnas.nn.linrec import linrec


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def module(causal, key_norm, hidden=8, heads=2):
    torch.manual_seed(0)
    return (
        enn.Attention(hidden, heads, hidden // heads, kind="linrec", causal=causal, key_norm=key_norm).double().eval()
    )


def by_the_equation(query, key, value, key_norm):
    """Eq. 5 literally, loop by loop: one head, ``(N, k)`` each, with its constant factor."""
    features = query.shape[-1]
    q, k = torch.nn.functional.elu(query), torch.nn.functional.elu(key)
    rows = torch.stack([row / row.norm() for row in q])
    if key_norm == "column":
        columns = torch.stack([column / column.norm() for column in k.T], 1)
        return (rows / features**0.5) @ ((columns / features**0.5).T @ value)
    tokens = torch.stack([row / row.norm() for row in k])
    return rows @ (tokens.T @ value) / features**0.5


@pytest.mark.parametrize("key_norm", ["column", "token"])
def test_bidirectional_is_equation_5(key_norm):
    attention, x = module(False, key_norm), normal(1, 7, 8)
    q, k, v = (part(x)[0].unflatten(-1, (2, 4)) for part in (attention.query, attention.key, attention.value))
    heads = [by_the_equation(q[:, h], k[:, h], v[:, h], key_norm) for h in range(2)]
    expected = attention.out(torch.cat(heads, -1)[None])
    torch.testing.assert_close(attention(x), expected, rtol=1e-10, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(
    length=st.integers(1, 200),
    features=st.sampled_from([1, 3, 70]),
    key_norm=st.sampled_from(["column", "token"]),
    seed=st.integers(0, 999),
)
def test_causal_equals_the_bidirectional_form_of_every_prefix(length, features, key_norm, seed):
    q, k, v = (normal(1, 1, 1, length, features, seed=seed * 3 + part) for part in range(3))
    causal = linrec(q, k, v, True, key_norm)
    for n in {1, 2, length // 2 + 1, length}:
        if n <= length:
            prefix = linrec(q[..., :n, :], k[..., :n, :], v[..., :n, :], False, key_norm)
            torch.testing.assert_close(causal[..., n - 1, :], prefix[..., -1, :], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("key_norm", ["column", "token"])
def test_causal_layer_equals_bidirectional_layer_at_the_last_position(key_norm):
    causal, whole, x = module(True, key_norm), module(False, key_norm), normal(3, 90, 8)
    whole.load_state_dict(causal.state_dict())
    torch.testing.assert_close(causal(x)[:, -1], whole(x)[:, -1], rtol=1e-9, atol=1e-9)
    # two layers are another model: what comes before the last position differs
    assert not torch.allclose(causal(causal(x))[:, -1], whole(whole(x))[:, -1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["softmax", "linrec"])
@pytest.mark.parametrize("key_norm", ["column", "token"])
@pytest.mark.parametrize("causal", [False, True])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_padded_equals_unpadded(kind, key_norm, causal, data):
    """Any pattern of padding; padded rows come out as 0, also where everything is padded."""
    torch.manual_seed(0)
    attention = enn.Attention(8, 2, 4, kind=kind, causal=causal, key_norm=key_norm).double().eval()
    length = data.draw(st.integers(1, 80))
    padding = torch.tensor(data.draw(st.lists(st.booleans(), min_size=length, max_size=length)))
    x = normal(1, length, 8, seed=length).requires_grad_()
    out = attention(x, padding[None])
    assert (out[0, padding] == 0).all()
    real = attention(x[:, ~padding]) if (~padding).any() else x[:, :0]
    torch.testing.assert_close(out[:, ~padding], real, rtol=1e-9, atol=1e-9)
    out.sum().backward()
    assert x.grad.isfinite().all() and (x.grad[0, padding] == 0).all()


class Largest(TorchDispatchMode):
    """The largest tensor that any operation makes, forward and backward."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


@pytest.mark.parametrize("batch", [0, 2])
def test_vmap_over_several_chunks_is_a_loop(batch):
    operands = [normal(3, batch, 2, 1, 130, 4, seed=seed) for seed in range(3)]
    mapped = torch.vmap(lambda *each: linrec(*each, True, "column"))(*operands)
    loop = torch.stack([linrec(*(x[number] for x in operands), True, "column") for number in range(3)])
    torch.testing.assert_close(mapped, loop)


@pytest.mark.parametrize("key_norm", ["column", "token"])
def test_causal_memory_is_linear_in_the_length(key_norm):
    """No N x N and no N x d x d tensor, forward or backward."""

    def largest(length, features):
        q, k, v = (torch.randn(1, 1, 1, length, features).requires_grad_() for _ in range(3))
        with Largest() as seen:
            linrec(q, k, v, True, key_norm).sum().backward()
        return seen.elements

    for features in (4, 64, 128):
        # the chunked scores: N x max(64, k)
        assert largest(1024, features) <= 1024 * max(64, features)
    assert largest(4096, 32) == 4 * largest(1024, 32)


@pytest.mark.parametrize("key_norm", ["column", "token"])
def test_bfloat16_stays_close(key_norm):
    attention, x = module(True, key_norm).float(), normal(2, 300, 8).float()
    exact = attention(x)
    half = attention.bfloat16()(x.bfloat16()).float()
    assert (half - exact).abs().max() < 0.05 * exact.abs().max()


@pytest.mark.parametrize("kind", ["softmax", "linrec"])
@pytest.mark.parametrize("key_norm", ["column", "token"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_left_padding_in_half_precision(kind, key_norm, causal, dtype):
    """Causal positions before the first real one have seen no key: their norm is 0."""
    torch.manual_seed(0)
    attention, x = enn.Attention(8, 2, 4, kind=kind, causal=causal, key_norm=key_norm), normal(2, 70, 8).float()
    padding = torch.zeros(2, 70, dtype=torch.bool)
    padding[0, :2] = padding[1, :66] = True
    exact = attention(x, padding)
    with torch.autocast("cpu", dtype=dtype):
        half = attention(x, padding)
    assert (half - exact).abs().max() < 10 * torch.finfo(dtype).eps * exact.abs().max()
    half.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in attention.parameters())


def test_a_first_key_close_to_zero_in_float16():
    """Smaller than what 1 / norm can be in float16."""
    q, k, v = (normal(1, 1, 1, 5, 3, seed=seed).half() for seed in range(3))
    k[..., 0, :] = torch.tensor([0.0, 1e-7, 1e-5])
    inputs = [x.requires_grad_() for x in (q, k, v)]
    out = linrec(*inputs, True, "column")
    out.float().sum().backward()
    assert out.isfinite().all() and all(x.grad.isfinite().all() for x in inputs)
