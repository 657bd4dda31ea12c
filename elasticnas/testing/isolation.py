"""What must not leak from one pass to another: modes of torch, and the scopes of other threads."""

import copy
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from threading import Barrier
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_map

from elasticnas.axes import Axes

__all__ = ["MODES", "Mode", "assert_threads_apart", "pass_in_mode"]

Mode = Literal["inference", "fake", "meta"]
MODES: tuple[Mode, ...] = ("inference", "fake", "meta")
_SWITCH_SECONDS = 1e-6


def pass_in_mode(mode: Mode, model: nn.Module, axes: Axes, arch: Any, inputs: tuple[Any, ...], full: Any) -> None:
    """Run a model once in each kind of scope under a mode of torch; what it computes is thrown away.

    A later pass outside of the mode must not meet a tensor of this one.

    Args:
        mode: ``"inference"``: inference tensors, which no backward pass may save. ``"fake"``: tensors without values.
            ``"meta"``: a copy on the meta device.
        model: Elastic.
        axes: Those it follows.
        arch: The architecture in scope.
        inputs: Its arguments in slice form.
        full: Likewise of full size.
    """
    if mode == "meta":
        model, inputs, full = copy.deepcopy(model).to("meta"), _on_meta(inputs), _on_meta(full)
    even = {name: torch.full((len(options),), 1 / len(options)) for name, options in axes.space.choices().items()}
    with torch.no_grad():
        with _entered(mode), axes.at(arch):
            model(*inputs)
        with _entered(mode), axes.masked(arch):
            model(*full)
        with _entered(mode), axes.relaxed(even):
            model(*full)


def _entered(mode: Mode) -> AbstractContextManager[Any]:
    if mode == "inference":
        return torch.inference_mode()
    return FakeTensorMode(allow_non_fake_inputs=True) if mode == "fake" else torch.device("meta")


def _on_meta(inputs: tuple[Any, ...]) -> Any:
    return tree_map(lambda x: x.to("meta") if isinstance(x, Tensor) else x, inputs)


def assert_threads_apart(passes: Sequence[Callable[[], Tensor]], repeats: int = 5) -> None:
    """Check that passes give in threads, at the same time, what each gives alone.

    Args:
        passes: Each opens its own scope and gives an output.
        repeats: How often each is run in its thread.

    Raises:
        AssertionError: One gives something else.
    """
    with torch.no_grad():
        alone = [one() for one in passes]
    barrier, before = Barrier(len(passes)), sys.getswitchinterval()

    def run(one: Callable[[], Tensor]) -> list[Tensor]:
        barrier.wait()
        with torch.no_grad():  # of this thread
            return [one() for _ in range(repeats)]

    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        with ThreadPoolExecutor(len(passes)) as pool:
            together = list(pool.map(run, passes))
    finally:
        sys.setswitchinterval(before)
    for number, (wanted, found) in enumerate(zip(alone, together, strict=True)):
        same = all(torch.equal(wanted, each) for each in found)
        assert same, f"thread {number} of {len(passes)}: its output is not the one it has alone"
