"""Isolation of passes: from modes of torch in earlier passes, and from the scopes of other threads."""

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
    """Run a model once in each kind of scope under a mode of torch, and discard the outputs.

    A later pass outside of the mode must not use tensors cached in this one.

    Args:
        mode: ``"inference"``: inference tensors, which cannot be saved for backward. ``"fake"``: tensors without
            values. ``"meta"``: a copy on the meta device.
        model: An elastic model.
        axes: Its axes.
        arch: The architecture in scope.
        inputs: Arguments with the active sizes.
        full: The same arguments in full size.
    """
    if mode == "meta":
        model, inputs, full = copy.deepcopy(model).to("meta"), _on_meta(inputs), _on_meta(full)
    even = {name: torch.full((len(options),), 1 / len(options)) for name, options in axes.space.choices().items()}
    with torch.no_grad():
        with _mode_context(mode), axes.at(arch):
            model(*inputs)
        with _mode_context(mode), axes.masked(arch):
            model(*full)
        with _mode_context(mode), axes.relaxed(even):
            model(*full)


def _mode_context(mode: Mode) -> AbstractContextManager[Any]:
    if mode == "inference":
        return torch.inference_mode()
    return FakeTensorMode(allow_non_fake_inputs=True) if mode == "fake" else torch.device("meta")


def _on_meta(inputs: tuple[Any, ...]) -> Any:
    return tree_map(lambda x: x.to("meta") if isinstance(x, Tensor) else x, inputs)


def assert_threads_apart(passes: Sequence[Callable[[], Tensor]], repeats: int = 5) -> None:
    """Check that passes that run in threads at the same time return the same outputs as alone.

    Args:
        passes: Functions that open a scope and return an output.
        repeats: Number of runs of each in its thread.

    Raises:
        AssertionError: An output differs.
    """
    with torch.no_grad():
        alone = [one() for one in passes]
    barrier, before = Barrier(len(passes)), sys.getswitchinterval()

    def run(one: Callable[[], Tensor]) -> list[Tensor]:
        barrier.wait()
        with torch.no_grad():  # grad mode is per thread
            return [one() for _ in range(repeats)]

    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        with ThreadPoolExecutor(len(passes)) as pool:
            together = list(pool.map(run, passes))
    finally:
        sys.setswitchinterval(before)
    for number, (expected, outputs) in enumerate(zip(alone, together, strict=True)):
        same = all(torch.equal(expected, output) for output in outputs)
        assert same, f"thread {number} of {len(passes)}: its output differs from that of a run alone"
