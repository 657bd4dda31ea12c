"""require_bypass: a network with chosen layers computes what the full one computes without the others."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from elasticnas.elastic.eval_mode import in_eval
from elasticnas.elastic.model import ElasticModel
from elasticnas.errors import AxisError
from elasticnas.runtime import random_state, restore_random_state

__all__ = ["require_bypass"]

_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}  # relative to the largest value


@torch.no_grad()
def require_bypass(model: ElasticModel[Any, Any], arch: Any, run: Callable[[nn.Module], Any]) -> bool:
    """Compare a sub-network with chosen layers with all layers, of which those left out hand on what they get.

    Finds code outside of the layers that depends on their positions, such as ``if i % 2`` in the loop over them.

    Args:
        model: The supernet.
        arch: The architecture.
        run: Runs a model on an example.

    Returns:
        Whether they could be compared: not if every layer is kept, nor if a layer does not return what it takes.

    Raises:
        AxisError: They compute something else.
    """
    layers = model.probing.layers
    if not layers or layers.all_kept(arch):
        return False
    whole = next((each for each, exact in layers.wholes(arch) if exact), None)
    if whole is None:
        return False
    passed: list[bool] = []
    with in_eval(model):
        ours, full = model._build(arch).bind(), model._build(whole).bind()
        for path, count in layers.counts.items():
            stack = list(full.get_submodule(path).children())
            for number in set(range(count)) - set(layers.kept_in(ours, path, arch)):
                stack[number].register_forward_hook(_hand_on(passed), with_kwargs=True)
        state = random_state()
        expected = run(full)
        restore_random_state(state)
        computed = run(ours)
        restore_random_state(state)
    if not passed or not all(passed):
        return False
    _require_equal(_leaves(expected), _leaves(computed), arch, next(iter(layers.counts)))
    return True


def _hand_on(passed: list[bool]) -> Any:
    def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        given = next((each for each in (*args, *kwargs.values()) if isinstance(each, Tensor)), None)
        first = output[0] if isinstance(output, tuple) and output else output
        passed.append(given is not None and isinstance(first, Tensor) and first.shape == given.shape)
        if not passed[-1]:
            return output
        return (given, *output[1:]) if isinstance(output, tuple) else given

    return hook


def _leaves(output: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def _require_equal(expected: list[Tensor], computed: list[Tensor], arch: Any, path: str) -> None:
    # those with an entry for each layer, such as all hidden states, have other lengths
    compared = len(expected) if len(expected) == len(computed) else 1
    for theirs, ours in zip(expected[:compared], computed[:compared], strict=True):
        if theirs.shape != ours.shape:
            continue
        difference, largest = (theirs - ours).abs().max().item(), theirs.abs().max().item()
        if difference > _TOLERANCE.get(theirs.dtype, 3e-2) * max(largest, 1e-6):
            raise AxisError(
                f"{arch!r}: without the layers that it leaves out, the full network computes something else (by up to "
                f"{difference:.3g} of {largest:.3g}): code around {path} depends on the layers' positions; let it "
                "depend on attributes of the layers, or keep the first layers by depth"
            )
