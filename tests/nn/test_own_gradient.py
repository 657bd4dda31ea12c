"""Causal LinRec's gradients, written by hand: against finite differences, the equation, and plain operations."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import forward_ad
from torch.autograd.gradcheck import GradcheckError

from elasticnas.nn import causal_product as products
from elasticnas.nn import running_norm as norms
from elasticnas.nn.causal_product import causal_product
from elasticnas.nn.linrec import linrec


def operands(length, features, heads=2, queries=1, batch=2, grad=True):
    generator = torch.Generator().manual_seed(length)
    shapes = (batch, heads, queries, length, features), *[(batch, heads, 1, length, features)] * 2
    return [torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_(grad) for s in shapes]


def by_the_equation(query, key, value, mask, scale):
    """Position by position, with torch's own gradient; 1e-12 is added to squared norms."""
    q, k = F.elu(query), F.elu(key)
    q = scale * q * mask / ((mask * q**2).sum(-1, keepdim=True) + 1e-12).sqrt()
    out = []
    for n in range(q.shape[-2]):
        seen, values = k[..., : n + 1, :], value[..., : n + 1, :]
        norm = ((seen**2).sum(-2, keepdim=True) + 1e-12).sqrt()
        out.append((q[..., n : n + 1, :] / norm) @ (seen.mT @ values))
    return torch.cat(out, -2)


@pytest.fixture
def short_chunks(monkeypatch):
    monkeypatch.setattr(products, "_CHUNK", 2)


@pytest.mark.parametrize("length, queries", [(1, 1), (2, 1), (5, 1), (5, 2), (6, 3)])
def test_first_and_second_derivatives_by_finite_differences(short_chunks, length, queries):
    inputs = operands(length, 2, queries=queries)
    assert torch.autograd.gradcheck(causal_product, inputs)
    assert torch.autograd.gradgradcheck(causal_product, inputs)

    def attention(query, key, value):
        return linrec(query, key, value, True, "column", scale=0.5)

    assert torch.autograd.gradcheck(attention, inputs)
    assert torch.autograd.gradgradcheck(attention, inputs)


@pytest.mark.parametrize("length, features, queries", [(7, 3, 1), (70, 3, 2), (130, 4, 1), (150, 70, 3)])
@pytest.mark.parametrize("masked", ["none", "hard", "soft", "per sample"])
def test_values_and_gradients_equal_the_equation(length, features, queries, masked):
    inputs = operands(length, features, queries=queries)
    width = torch.arange(features, dtype=torch.float64)
    mask = {
        "none": torch.ones(()),
        "hard": (width < 2).double(),
        "soft": 1 / (1 + width),
        "per sample": (width < torch.tensor([[1], [3]])).double().reshape(2, 1, 1, 1, features),
    }[masked]
    given = None if masked == "none" else mask
    outer = torch.randn_like(inputs[0])
    found = linrec(*inputs, True, "column", feature_mask=given, scale=0.5)
    expected = by_the_equation(*inputs, mask.double(), 0.5)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    gradients = (torch.autograd.grad(out, inputs, outer) for out in (found, expected))
    for mine, truth in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, truth, rtol=1e-8, atol=1e-8)


def test_only_some_inputs_need_a_gradient():
    inputs = operands(70, 3)
    whole = torch.autograd.grad(linrec(*inputs, True, "column").sum(), inputs)
    for number, expected in enumerate(whole):
        some = [x if n == number else x.detach() for n, x in enumerate(inputs)]
        out = linrec(*some, True, "column")
        (first,) = torch.autograd.grad(out.sum(), [some[number]], create_graph=True)
        torch.testing.assert_close(first, expected)
        if number < 2:
            assert torch.autograd.grad(first.square().sum(), [some[number]])[0].isfinite().all()


def test_inputs_are_left_as_they_are():
    """One head, whose tensors are contiguous already."""
    inputs = operands(70, 3, heads=1, batch=1)
    before = [x.detach().clone() for x in inputs]
    out = linrec(*inputs, True, "column")
    outer = torch.ones_like(out)
    out.backward(outer)
    assert (outer == 1).all() and all(torch.equal(x, y) for x, y in zip(inputs, before, strict=True))


@pytest.mark.parametrize("batch, length", [(0, 70), (2, 0)])
def test_empty_inputs(batch, length):
    inputs = operands(length, 3, batch=batch)
    out = linrec(*inputs, True, "column")
    out.sum().backward()
    assert out.shape == inputs[0].shape and all(x.grad.shape == x.shape for x in inputs)


def test_transforms_and_batched_gradients():
    """Those take plain operations; each is compared with the gradient written by hand, or with finite differences."""
    inputs = operands(70, 3, queries=2, grad=False)

    def scalar(*each):
        return linrec(*each, True, "column").square().sum()

    leaves = [x.clone().requires_grad_() for x in inputs]
    own = torch.autograd.grad(scalar(*leaves), leaves)
    for mine, other in zip(own, torch.func.grad(scalar, argnums=(0, 1, 2))(*inputs), strict=True):
        torch.testing.assert_close(mine, other)
    doubled = [torch.stack([x, 2 * x]) for x in inputs]
    mapped = torch.vmap(lambda *each: linrec(*each, True, "column"))(*doubled)
    for number in range(2):
        torch.testing.assert_close(mapped[number], linrec(*(x[number] for x in doubled), True, "column"))
    step = 1e-6
    with forward_ad.dual_level():
        dual = [forward_ad.make_dual(x, torch.ones_like(x)) for x in inputs]
        moved = forward_ad.unpack_dual(linrec(*dual, True, "column")).tangent
    ahead, behind = (linrec(*(x + sign * step for x in inputs), True, "column") for sign in (1, -1))
    torch.testing.assert_close(moved, (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-6)
    outer = torch.eye(3, dtype=torch.float64)[:, None, None, None, None].expand(3, *inputs[0].shape)
    batched = torch.autograd.grad(linrec(*leaves, True, "column"), leaves, outer, is_grads_batched=True)
    for number in range(3):
        one = torch.autograd.grad(linrec(*leaves, True, "column"), leaves, outer[number].contiguous())
        for mine, other in zip(batched, one, strict=True):
            torch.testing.assert_close(mine[number], other)


def test_a_wrong_gradient_would_be_detected(monkeypatch):
    monkeypatch.setattr(norms, "_through_elu", lambda grad, result: grad)
    with pytest.raises(GradcheckError):
        torch.autograd.gradcheck(lambda *x: linrec(*x, True, "column"), operands(5, 2))
