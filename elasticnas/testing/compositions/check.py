"""check_composition: check the law and related properties on a whole model."""

import copy
import pickle
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from elasticnas.axes import Axes
from elasticnas.cost import Params
from elasticnas.extraction import axes_of, extract, extract_unverified
from elasticnas.testing.compositions.draw import Composition
from elasticnas.testing.compositions.reference import reference
from elasticnas.testing.ends import End
from elasticnas.testing.isolation import Mode, assert_threads_apart, pass_in_mode
from elasticnas.testing.law import assert_mask_slice_equal

__all__ = ["check_composition"]

_REFERENCE_EVERY = 10
"""One composition in this many is compared with a forward that does not use elasticnas.nn."""
_EXTRACT_EVERY = 8
_MODES_EVERY: dict[Mode, int] = {"inference": 16, "meta": 32, "fake": 128}
"""One composition in this many is run in the mode first; fake tensors are the slowest by far."""
_THREADS_EVERY, _COPIES_EVERY = 16, 8


def check_composition(composition: Composition) -> None:
    """Check the law on a composition: every form, mixed batches, extraction, parameters, modes, threads and copies.

    Raises:
        AssertionError: A check fails; the message names it.
        ElasticNASError: A part raises an error for valid arguments.
    """
    first, *others = composition.architectures(3)
    axes: Any = composition.space.axes()
    model, x, seed = composition.build(axes), composition.input(first), composition.seed
    inputs_size, outputs_size = composition.ends(axes)
    full = End(inputs_size, -1, axes, first).embed(x)
    for mode, every in _MODES_EVERY.items():
        if seed % every == 0:
            pass_in_mode(mode, model, axes, first, (x,), (full,))
    others = _per_sample(others, len(x))
    assert_mask_slice_equal(model, first, x, inputs_size=inputs_size, outputs_size=outputs_size, others=others)
    if first.inner > 0:  # parts accept an option 0 of an axis, but not the number 0
        _compare_with_built(composition, model, first, x, counted=seed % _EXTRACT_EVERY == 2)
    if seed % _REFERENCE_EVERY == 1:
        _compare_with_reference(composition, model, axes, first, x)
    if seed % _EXTRACT_EVERY == 2:
        extract(model, first, x)
        extract(model, first)
    if seed % _THREADS_EVERY == 3:
        archs = [first, others[0] if others else first]
        assert_threads_apart([partial(_run, model, axes.at, arch, composition.input(arch)) for arch in archs], 3)
    if seed % _COPIES_EVERY == 5:
        _check_copies(model, axes, first, x, picklable="parametrized" not in composition.part.kinds())


def _per_sample(others: list[Any], samples: int) -> list[Any]:
    """Return an architecture for every sample but the first, cycling through the given ones."""
    return [others[position % len(others)] for position in range(samples - 1)]


def _compare_with_built(composition: Composition, model: nn.Module, arch: Any, x: Tensor, counted: bool) -> None:
    """Check that the network built with ints has the same parameters and, with these weights, the same output."""
    plain, built = extract_unverified(model, arch), composition.build(arch)
    for module in [module for module in built.modules() if parametrize.is_parametrized(module)]:
        parametrize.remove_parametrizations(module, "weight")  # extraction replaces them by parameters
    state, own = plain.state_dict(), built.state_dict()
    assert {n: t.shape for n, t in state.items()} == {n: t.shape for n, t in own.items()}, (
        "tensors differ from a network built with ints"
    )
    count = sum(parameter.numel() for parameter in built.parameters())
    assert sum(parameter.numel() for parameter in plain.parameters()) == count, (
        "parameters differ from a network built with ints"
    )
    assert not counted or Params(model)(arch) == count, "Params differs from a network built with ints"
    built.load_state_dict(state)
    assert torch.equal(built(x), plain(x)), "output differs from a network built with ints"


def _compare_with_reference(composition: Composition, model: nn.Module, axes: Axes, arch: Any, x: Tensor) -> None:
    with axes.at(arch), torch.no_grad():
        found = model(x)
    with torch.no_grad():
        expected = reference(composition, model, arch, x)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9, msg=lambda said: f"reference: {said}")


def _run(model: nn.Module, scope: Any, arch: Any, x: Tensor) -> Tensor:
    with scope(arch):
        return model(x)  # type: ignore[no-any-return]


def _check_copies(model: nn.Module, axes: Axes, arch: Any, x: Tensor, picklable: bool) -> None:
    """Check that a copy follows the scopes of the original, and an unpickled model those of its axes."""
    with axes.at(arch), torch.no_grad():
        expected = model(x)
        assert torch.equal(copy.deepcopy(model)(x), expected), "a copy does not follow the scope"
    if picklable:  # torch cannot pickle parametrized modules
        restored = pickle.loads(pickle.dumps(model))
        with axes_of(restored).at(arch), torch.no_grad():
            assert torch.equal(restored(x), expected), "the output of an unpickled model differs"
