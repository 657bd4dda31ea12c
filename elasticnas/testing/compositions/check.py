"""check_composition: the law on a whole model, and what stands around it."""

import copy
import pickle
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from elasticnas.axes import Axes
from elasticnas.cost import Params
from elasticnas.extraction import axes_of, extract, unverified
from elasticnas.testing.compositions.draw import Composition
from elasticnas.testing.compositions.reference import reference
from elasticnas.testing.ends import End
from elasticnas.testing.isolation import Mode, assert_threads_apart, pass_in_mode
from elasticnas.testing.law import assert_mask_slice_equal

__all__ = ["check_composition"]

_REFERENCE = 10
"""One composition in so many is compared with a forward that uses nothing of elasticnas.nn."""
_EXTRACT = 8
_MODES: dict[Mode, int] = {"inference": 16, "meta": 32, "fake": 128}
"""One in so many is run in the mode first; fake tensors are the slowest by far."""
_THREADS, _COPIES = 16, 8


def check_composition(composition: Composition) -> None:
    """Check the law on a composition: every form, mixed batches, extraction, its parameters, modes and threads.

    Raises:
        AssertionError: Says what differs.
        ElasticNASError: A part refuses what it should take.
    """
    first, *others = composition.architectures(3)
    axes: Any = composition.space.axes()
    model, given, seed = composition.build(axes), composition.input(first), composition.seed
    inputs_size, outputs_size = composition.ends(axes)
    full = End(inputs_size, -1, axes, first).embed(given)
    for mode, every in _MODES.items():
        if seed % every == 0:
            pass_in_mode(mode, model, axes, first, (given,), (full,))
    others = _one_for_each(others, len(given))
    assert_mask_slice_equal(model, first, given, inputs_size=inputs_size, outputs_size=outputs_size, others=others)
    if first.inner > 0:  # a part takes the option 0 of an axis, and not the number
        _as_built(composition, model, first, given, counted=seed % _EXTRACT == 2)
    if seed % _REFERENCE == 1:
        _by_hand(composition, model, axes, first, given)
    if seed % _EXTRACT == 2:
        extract(model, first, given)
        extract(model, first)
    if seed % _THREADS == 3:
        archs = [first, others[0] if others else first]
        assert_threads_apart([partial(_run, model, axes.at, arch, composition.input(arch)) for arch in archs], 3)
    if seed % _COPIES == 5:
        _copied(model, axes, first, given, picklable="parametrized" not in composition.part.kinds())


def _one_for_each(others: list[Any], samples: int) -> list[Any]:
    """Architectures for all samples but the first, drawn ones in turn."""
    return [others[position % len(others)] for position in range(samples - 1)]


def _as_built(composition: Composition, model: nn.Module, arch: Any, given: Tensor, counted: bool) -> None:
    """The plain network built from numbers has the same parameters, and with these weights the same output."""
    plain, built = unverified(model, arch), composition.build(arch)
    for module in [module for module in built.modules() if parametrize.is_parametrized(module)]:
        parametrize.remove_parametrizations(module, "weight")  # extraction takes what they compute
    state, own = plain.state_dict(), built.state_dict()
    assert {n: t.shape for n, t in state.items()} == {n: t.shape for n, t in own.items()}, "other tensors than as built"
    count = sum(parameter.numel() for parameter in built.parameters())
    assert sum(parameter.numel() for parameter in plain.parameters()) == count, "other parameters than as built"
    assert not counted or Params(model)(arch) == count, "Params counts others than as built"
    built.load_state_dict(state)
    assert torch.equal(built(given), plain(given)), "another output than as built"


def _by_hand(composition: Composition, model: nn.Module, axes: Axes, arch: Any, given: Tensor) -> None:
    with axes.at(arch), torch.no_grad():
        found = model(given)
    with torch.no_grad():
        expected = reference(composition, model, arch, given)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9, msg=lambda said: f"not as by hand: {said}")


def _run(model: nn.Module, scope: Any, arch: Any, given: Tensor) -> Tensor:
    with scope(arch):
        return model(given)  # type: ignore[no-any-return]


def _copied(model: nn.Module, axes: Axes, arch: Any, given: Tensor, picklable: bool) -> None:
    """A copy follows the scope of the original, and a pickled model its own axes."""
    with axes.at(arch), torch.no_grad():
        expected = model(given)
        assert torch.equal(copy.deepcopy(model)(given), expected), "a copy follows another scope"
    if picklable:  # torch pickles no parametrized module
        restored = pickle.loads(pickle.dumps(model))
        with axes_of(restored).at(arch), torch.no_grad():
            assert torch.equal(restored(given), expected), "a pickled model computes something else"
