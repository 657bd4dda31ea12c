"""The device of the tests refuses what a GPU refuses, and counts waits."""

import pytest
import torch

pytest.importorskip("torch.utils.backend_registration", reason="needs devices written in Python")
from tests.devices.accelerator import DEVICE, Toy, on_device


def test_it_computes_like_the_cpu():
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(4, 5), torch.randn(3, 4)
    expected = torch.autograd.grad(layer(x).square().sum(), layer.weight)[0]
    with on_device():
        layer.to(DEVICE)
        y = layer(x.to(DEVICE))
        y.square().sum().backward()
        assert y.device == DEVICE and isinstance(layer.weight.grad, Toy)
        assert torch.equal(layer.weight.grad.cpu(), expected)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda x: x + torch.ones(3), "found toy and cpu"),
        (lambda x: x.index_select(0, torch.tensor([0])), "found toy and cpu"),
        (lambda x: torch.cat([x, torch.ones(1)]), "found toy and cpu"),
        (lambda x: x.uniform_(generator=torch.Generator()), "found one of the cpu"),
        (lambda x: torch.rand(3, device=DEVICE, generator=torch.Generator()), "found one of the cpu"),
        (lambda x: x.numpy(), "numpy"),
    ],
)
def test_what_a_gpu_refuses_is_refused(wrong, message):
    with on_device(), pytest.raises((RuntimeError, TypeError), match=message):
        wrong(torch.ones(3, device=DEVICE))


def test_what_a_gpu_takes_is_taken():
    with on_device():
        x = torch.arange(3, device=DEVICE)
        assert (x[torch.tensor([2, 1])] * torch.tensor(2)).tolist() == [4, 2]


def test_waits_are_counted():
    with on_device() as waits:
        x = torch.ones(3, device=DEVICE)
        (x + 1).sum()
        assert not waits
        x.sum().item(), bool((x > 0).all()), x.cpu(), x.tolist(), x.nonzero(), float(x[0])
        assert waits.total() == 6


def test_a_device_may_have_no_float64():
    with on_device(doubles=False), pytest.raises(TypeError, match="no float64"):
        torch.ones(3, device=DEVICE).double()
