"""The law on the device: masked, sliced and extracted, forward and gradients, in float64, for every primitive."""

import random
import time
from typing import Any

import torch

from gpu_parts.scale import Scale

__all__ = ["SHARE", "TITLE", "measure"]

TITLE = "The law: masked = sliced = extracted"
SHARE = 0.25


def measure(record: Any, device: str, scale: Scale) -> None:
    """Check the contracts of the primitives at their smallest, largest and one random architecture."""
    from tests.nn.contracts import CONTRACTS

    begun, failures, checked = time.perf_counter(), dict[str, str](), 0
    for name in list(CONTRACTS)[: scale.contracts]:
        try:
            checked += _check(CONTRACTS[name](), device)
        except Exception as error:  # every failure is a result
            failures[name] = f"{type(error).__name__}: {error}"[:500]
        record(checked=checked, failures=failures, seconds=time.perf_counter() - begun)
    if failures:
        raise SystemExit(f"the law does not hold for {', '.join(failures)}")


def _check(contract: Any, device: str) -> int:
    module, axes = contract._module()
    module.to(device)
    smallest, largest = contract.space.smallest(), contract.space.largest()
    archs = [smallest, largest, contract.space.sample(random.Random(0))]
    for arch in archs:
        drawn = contract.inputs(arch, torch.Generator().manual_seed(0))
        inputs = [x.to(device) if isinstance(x, torch.Tensor) else x for x in drawn]
        contract._assert_law(module, axes, arch, *inputs, others=[smallest, largest])
    return len(archs)
