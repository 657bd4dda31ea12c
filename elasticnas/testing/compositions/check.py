"""check_composition: the law on a whole model, and what stands around it."""

import copy
import pickle
import sys
import threading
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import parametrize

from elasticnas.axes import Axes
from elasticnas.cost import Params
from elasticnas.extraction import axes_of, extract
from elasticnas.testing.compositions.draw import Composition
from elasticnas.testing.law import assert_mask_slice_equal

__all__ = ["check_composition"]

_THOROUGH = 8
"""One composition in so many is also run in other modes, in a second thread, and after being pickled."""
_FAKED = 64


def check_composition(composition: Composition) -> None:
    """Check the law on a composition: every form, mixed batches, extraction, its parameters, modes and threads.

    Raises:
        AssertionError: Says what differs.
    """
    first, *others = composition.architectures(3)
    axes = composition.space.axes()
    model = composition.build(axes)
    given = composition.input(first)
    if composition.seed % _THOROUGH == 0:
        _run_in_modes(model, axes, first, given, fake=composition.seed % _FAKED == 0)
    size = axes.hidden if composition.reads == "features" else None
    sizes = {"inputs_size": size, "outputs_size": axes.hidden}
    kinds = {name: tensor.dtype for name, tensor in model.named_parameters()}
    assert_mask_slice_equal(model, first, given, **sizes, others=others if len(given) > 1 else ())
    plain = extract(model, first, given)
    assert kinds == {name: tensor.dtype for name, tensor in model.named_parameters()}, "a forward changed a weight"
    # a plain network computes weights of parametrizations anew, and takes no size of 0
    if "parametrized" not in composition.part.kinds() and first.inner > 0:
        _as_built(composition, plain, first, given)
    if composition.seed % _THOROUGH == 0:
        assert Params(model)(first) == sum(p.numel() for p in plain.parameters()), "another count of parameters"
        _in_a_second_thread(composition, model, axes, [first, others[0]])
        _copied(model, axes, first, given)


def _as_built(composition: Composition, plain: nn.Module, arch: Any, given: Tensor) -> None:
    """The plain network built from numbers has the same parameters, and with these weights the same output."""
    built = composition.build(arch)
    state, own = plain.state_dict(), built.state_dict()
    assert {n: t.shape for n, t in state.items()} == {n: t.shape for n, t in own.items()}, "other tensors than as built"
    counts = [sum(parameter.numel() for parameter in each.parameters()) for each in (plain, built)]
    assert counts[0] == counts[1], f"{counts[0]} parameters, and {counts[1]} as built"
    built.load_state_dict(state)
    assert torch.equal(built(given), plain(given)), "another output than as built"


def _run_in_modes(model: nn.Module, axes: Axes, arch: Any, given: Tensor, fake: bool) -> None:
    """What runs in another mode first must not reach what runs later. Faked tensors are slow."""
    full = axes.space.largest()
    wide = given if not given.is_floating_point() else given.new_zeros(*given.shape[:-1], axes.hidden.size)
    shares = {c.name: torch.full((len(c.options),), 1 / len(c.options)) for c in axes.space.choice_list()}
    for masked in (True, False):
        with torch.inference_mode(), axes.masked(arch) if masked else axes.relaxed(shares):
            model(wide)
        if fake:
            faked = FakeTensorMode(allow_non_fake_inputs=True)
            with faked, axes.masked(arch) if masked else axes.relaxed(shares):
                model(wide)
    meta = copy.deepcopy(model).to("meta")
    with axes.masked(full), torch.device("meta"):
        meta(wide.to("meta"))


def _in_a_second_thread(composition: Composition, model: nn.Module, axes: Axes, archs: list[Any]) -> None:
    """Two threads at once, each with a scope of its own, give what they give one after the other."""
    inputs = [composition.input(arch) for arch in archs]
    expected, found = [], [[], []]  # type: ignore[var-annotated]
    for arch, given in zip(archs, inputs, strict=True):
        with axes.at(arch), torch.no_grad():
            expected.append(model(given))

    def run(which: int) -> None:
        for _ in range(3):
            with axes.at(archs[which]), torch.no_grad():
                found[which].append(model(inputs[which]))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=run, args=(which,)) for which in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    for outputs, wanted in zip(found, expected, strict=True):
        assert len(outputs) == 3, "a thread failed"
        assert all(torch.equal(output, wanted) for output in outputs), "a thread computed at the sizes of another"


def _copied(model: nn.Module, axes: Axes, arch: Any, given: Tensor) -> None:
    """A copy follows the scope of the original, and a pickled model its own axes."""
    with axes.at(arch), torch.no_grad():
        expected = model(given)
        assert torch.equal(copy.deepcopy(model)(given), expected), "a copy follows another scope"
    if any(parametrize.is_parametrized(module) for module in model.modules()):
        return  # torch does not pickle them
    restored = pickle.loads(pickle.dumps(model))
    with axes_of(restored).at(arch), torch.no_grad():
        assert torch.equal(restored(given), expected), "a pickled model computes something else"
