"""require_bypass: a network with chosen layers computes what the full one computes without the others."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from elasticnas.elastic.eval_mode import in_eval
from elasticnas.elastic.model import ElasticModel
from elasticnas.elastic.probe import valid
from elasticnas.elastic.running import inputs_of
from elasticnas.elastic.trial import call, tensors_of
from elasticnas.errors import AxisError
from elasticnas.runtime import random_state, restore_random_state

__all__ = ["require_bypass", "require_free_positions"]

_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}  # relative to the largest value


def require_free_positions(model: ElasticModel[Any, Any], example: Any) -> None:
    """Require that a network without its first layer computes what the full one computes without it.

    Args:
        model: The supernet; nothing is required if its space chooses no layers, or no input is found.
        example: The input; None makes one.

    Raises:
        AxisError: Code around the layers depends on their positions.
    """
    space = model.space
    values = space.assignment(space.largest())
    for field in sorted(model.probing.layers.fields):
        arch = valid(space, values, {f"{field}.0": False})
        if arch is None or model.probing.layers.all_kept(arch):
            continue
        for made in inputs_of(model.network, arch, example):
            try:
                require_bypass(model, arch, partial(call, example=made))
            except AxisError:
                raise
            except Exception:
                continue
            break


@torch.no_grad()
def require_bypass(model: ElasticModel[Any, Any], arch: Any, run: Callable[[nn.Module], Any]) -> bool:
    """Compare a sub-network with chosen layers with all layers, of which those left out do nothing.

    They hand on what they get, or return zeros, where code around them adds what they return to what they get. Finds
    code outside of the layers that depends on their positions, such as ``if i % 2`` in the loop over them.

    Args:
        model: The supernet.
        arch: The architecture.
        run: Runs a model on an example.

    Returns:
        Whether they could be compared: not if every layer is kept, nor if a layer is not called or does not return
        what it takes.

    Raises:
        AxisError: They compute something else.
    """
    layers = model.probing.layers
    if not layers or layers.all_kept(arch):
        return False
    whole = next((each for each, exact in layers.wholes(arch) if exact), None)
    if whole is None:
        return False
    with in_eval(model):
        ours, full = model._build(arch).bind(), model._build(whole).bind()
        left_out = [
            part
            for path, count in layers.counts.items()
            for number in set(range(count)) - set(layers.kept_in(ours, path, arch))
            for part in _called(list(full.get_submodule(path).children())[number])
        ]
        state = random_state()
        computed = run(ours)
        problems = []
        for replaced in (_given, _zeros):
            restore_random_state(state)
            passed: list[bool] = []
            hooks = [part.register_forward_hook(_hook(passed, replaced), with_kwargs=True) for part in left_out]
            try:
                expected = run(full)
            finally:
                for hook in hooks:
                    hook.remove()
            if not passed or not all(passed):
                continue
            problem = _difference(_leaves(expected), _leaves(computed))
            if problem is None:
                restore_random_state(state)
                return True
            problems.append(problem)
        restore_random_state(state)
    if problems:
        raise AxisError(
            f"{arch!r}: without the layers that it leaves out, the full network computes something else (by up to "
            f"{problems[0]}): code around {next(iter(layers.counts))} depends on the layers' positions; let it depend "
            "on attributes of the layers, or keep the first layers by depth"
        )
    return False


def _called(layer: nn.Module) -> list[nn.Module]:
    """Return a layer, or its parts if these are called in its place."""
    if isinstance(layer, (nn.ModuleList, nn.ModuleDict)):
        return [part for child in layer.children() for part in _called(child)]
    return [layer]


def _hook(passed: list[bool], replaced: Callable[[Tensor], Tensor]) -> Any:
    def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        given = next((each for each in (*args, *kwargs.values()) if isinstance(each, Tensor)), None)
        first = output[0] if isinstance(output, tuple) and output else output
        passed.append(given is not None and isinstance(first, Tensor) and first.shape == given.shape)
        if given is None or not passed[-1]:
            return output
        return (replaced(given), *output[1:]) if isinstance(output, tuple) else replaced(given)

    return hook


def _given(x: Tensor) -> Tensor:
    return x


def _zeros(x: Tensor) -> Tensor:
    return torch.zeros_like(x)


def _leaves(output: Any) -> list[Tensor]:
    return [leaf for _, leaf in tensors_of(output) if leaf.is_floating_point()]


def _difference(expected: list[Tensor], computed: list[Tensor]) -> str | None:
    """Return the largest difference as text, None if there is none."""
    # those with an entry for each layer, such as all hidden states, have other lengths
    compared = len(expected) if len(expected) == len(computed) else 1
    for theirs, ours in zip(expected[:compared], computed[:compared], strict=True):
        if theirs.shape != ours.shape:
            continue
        difference, largest = (theirs - ours).abs().max().item(), theirs.abs().max().item()
        if difference > _TOLERANCE.get(theirs.dtype, 3e-2) * max(largest, 1e-6):
            return f"{difference:.3g} of {largest:.3g}"
    return None
