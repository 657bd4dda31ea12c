"""Scores: the importance of units, by the magnitude of their weights or by activations."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from elasticnas.elastic.eval_mode import in_eval
from elasticnas.elastic.linear import input_dim
from elasticnas.elastic.members import Member
from elasticnas.elastic.trial import call

__all__ = ["input_importance", "scores_of"]


def scores_of(members: Sequence[Member], by_input: Mapping[tuple[str, int], Tensor]) -> Tensor:
    """Return the importance of the units, ``(units,)`` float64 on the CPU."""
    found = [
        (member, by_input[member.name, member.dim].narrow(0, member.start, member.size))
        for member in members
        if (member.name, member.dim) in by_input
    ]
    total = torch.zeros(members[0].units, dtype=torch.float64)
    for member, values in found or [(member, member.norms().square()) for member in members if member.tensor.ndim > 1]:
        grid = values.double().cpu().reshape(member.factors)
        others = [position for position in range(grid.ndim) if position != member.position]
        total += grid.sum(others) if others else grid
    return total


def input_importance(model: nn.Module, batches: Iterable[Any]) -> dict[tuple[str, int], Tensor]:
    """Return column norm times input RMS of every feature, by name and input dimension of linear layers' weights."""
    squares: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def watch(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            x = args[0].detach().double().flatten(0, -2)
            squares[name] = squares.get(name, torch.zeros(x.shape[-1], dtype=torch.float64).to(x)) + x.square().sum(0)
            counts[name] = counts.get(name, 0) + len(x)

        return hook

    linear = {name: module for name, module in model.named_modules() if input_dim(module) is not None}
    hooks = [module.register_forward_pre_hook(watch(name)) for name, module in linear.items()]
    try:
        with in_eval(model):
            for batch in batches:
                call(model, batch)
    finally:
        for hook in hooks:
            hook.remove()
    found = {}
    for name, total in squares.items():
        module = linear[name]
        dim = input_dim(module)
        assert dim is not None and isinstance(module.weight, Tensor)
        rms = (total / max(1, counts[name])).sqrt()
        norms = Member(name, module.weight, dim, (module.weight.shape[dim],), 0).norms()
        found[f"{name}.weight".lstrip("."), dim] = norms * rms.cpu()
    return found
