"""The law on a device that is not the CPU: nothing is made on the wrong one."""

import pytest
import torch

pytest.importorskip("torch.utils.backend_registration", reason="needs devices written in Python")
from tests.devices.accelerator import DEVICE, on_device
from tests.nn.contracts import CONTRACTS


@pytest.mark.parametrize("name", CONTRACTS)
def test_mask_equals_slice_equals_extracted(name):
    contract = CONTRACTS[name]()
    module, axes = contract._module()
    smallest, largest = contract.space.smallest(), contract.space.largest()
    with on_device():
        module.to(DEVICE)
        for arch, other in ((smallest, largest), (largest, smallest)):
            inputs = contract.inputs(arch, torch.Generator().manual_seed(0))
            moved = [x.to(DEVICE) if isinstance(x, torch.Tensor) else x for x in inputs]
            contract._assert_law(module, axes, arch, *moved, others=[other])


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_step_hardly_waits_and_needs_no_float64(name):
    contract = CONTRACTS[name]()
    module, axes = contract._module()
    arch = contract.space.smallest()
    inputs = contract.inputs(arch, torch.Generator().manual_seed(0))
    full = contract._full(inputs, axes, arch)
    module.float()
    with on_device(doubles=False) as waits:
        module.to(DEVICE)
        half, whole = ([_moved(x) for x in each] for each in (inputs, full))
        relaxed = {
            choice: torch.full((len(options),), 1 / len(options), device=DEVICE, requires_grad=True)
            for choice, options in axes.space.choices().items()
        }
        for scope, given, allowed in ((axes.at, half, 0), (axes.masked, whole, 0), (axes.relaxed, whole, 1)):
            waits.clear()
            with scope(relaxed if scope == axes.relaxed else arch):
                out = module(*given)
            if out.requires_grad:
                out.sum().backward()
            # probabilities are checked once for all choices
            assert waits.total() <= allowed, dict(waits)


def _moved(x):
    if not isinstance(x, torch.Tensor):
        return x
    return (x.float() if x.is_floating_point() else x).to(DEVICE)
