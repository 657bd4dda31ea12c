"""Importance order: sort units by importance, so that a prefix keeps the most important ones."""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from elasticnas.axes import Axes
from elasticnas.elastic.branches import Branches
from elasticnas.elastic.eval_mode import in_eval
from elasticnas.elastic.linear import input_dim
from elasticnas.elastic.members import Groups, Member, layer_of
from elasticnas.errors import ConfigError, ExtractionError

__all__ = ["Reordered", "Reordering", "reorder"]

Importance = Literal["magnitude", "activation"]
_TOLERANCE = 1e-6  # relative to the largest output; some norms compute in float32 for any input


@dataclass(frozen=True)
class Reordered:
    """Units that were sorted together.

    Attributes:
        axis: The axis, or the factor of a composite dimension.
        layer: The layer, if it has its own order; None for one order in the whole model.
        scores: Importance of the units in their new order, largest first.
        tensors: Names of the reordered tensors.
    """

    axis: str
    layer: str | None
    scores: Tensor
    tensors: tuple[str, ...]


@dataclass(frozen=True)
class Reordering:
    """The result of :func:`reorder`.

    Attributes:
        done: The sorted groups of units.
        kept: Axes that were not sorted, with the reason.
    """

    done: tuple[Reordered, ...]
    kept: Mapping[str, str]

    def __str__(self) -> str:
        lines = []
        for axis in dict.fromkeys(item.axis for item in self.done):
            items = [item for item in self.done if item.axis == axis]
            where = f"in each of {len(items)} layers" if items[0].layer is not None else "in the whole model"
            lines.append(f"{axis}: sorted {where}, {sum(len(item.tensors) for item in items)} tensors")
        return "\n".join([*lines, *(f"{axis}: kept in order, {reason}" for axis, reason in self.kept.items())])


@dataclass(frozen=True)
class _Check:
    """Outputs of architectures on an example, which reordering must not change."""

    example: object
    axes: Axes

    def outputs(self, model: nn.Module, archs: Sequence[Any]) -> list[Tensor]:
        found = []
        for arch in archs:
            with self.axes.at(arch):
                found += _output(model, self.example)
        return found

    def runs(self, model: nn.Module, archs: Sequence[Any]) -> bool:
        try:
            self.outputs(model, archs)
        except Exception:  # whatever a model raises for an unsuitable input
            return False
        return True


@torch.no_grad()
def reorder(
    model: nn.Module, example: object, importance: Importance = "magnitude", batches: Iterable[object] | None = None
) -> Reordering:
    """Sort the units of every elastic axis by importance, in place; the output of the full network does not change.

    Heads, feed-forward units and hidden units are permuted in every tensor that holds them. Whether an axis can be
    sorted, in each layer separately or only in the whole model, is found by trial: a random order must not change the
    output of a float64 copy with perturbed weights, in any branch of the space. An axis of the model's own input or
    output, or one that a rotary embedding depends on, is not sorted.

    Args:
        model: A supernet, elastified or made of elastic primitives, or a model that contains one.
        example: Input of the largest model: a tensor, a tuple of arguments, or a mapping of keyword arguments. A
            sequence needs several positions with different values, or effects of position would stay hidden.
        importance: ``"magnitude"``: squared norm of a unit's weights over all tensors. ``"activation"``: norm of the
            weights that multiply a unit, times the root mean square of its activation over ``batches`` (Wanda,
            arXiv:2306.11695, Eq. 1); magnitude if no linear layer has the unit as input.
        batches: Inputs in the form of ``example``, for ``"activation"``.

    Returns:
        What was sorted, and what was not.

    Raises:
        AxisError: The model has no elastic size, or sizes of several spaces.
        ConfigError: ``importance`` is unknown or needs batches, or all positions of the example are equal.
        ExtractionError: The output of the full network changed; the weights are restored.
    """
    if importance not in ("magnitude", "activation"):
        raise ConfigError(f"importance={importance!r}: choose 'magnitude' or 'activation'")
    if importance == "activation" and batches is None:
        raise ConfigError("importance='activation' measures activations: give batches of inputs")
    groups, trial = Groups(model), _perturbed(model)
    branches, check, kept = Branches(model, groups.axes), _Check(example, groups.axes), groups.kept
    branches.archs = [branches.archs[0], *(arch for arch in branches.archs[1:] if check.runs(trial, [arch]))]
    _require_distinct_positions(trial, check)
    by_input = _input_importance(model, batches) if batches is not None and importance == "activation" else {}
    done = []
    plans: list[tuple[list[Member], Tensor]] = []
    checked = branches.archs
    for axis, members in groups.sortable().items():
        archs = branches.with_full_axis(axis)
        if (option := branches.missing(archs)) is not None:
            kept[axis] = f"no architecture with its full size has {option}, so that its effect there cannot be tested"
            continue
        parts = _groups_to_sort(trial, members, check, archs)
        if parts is None:
            kept[axis] = (
                "another order changes the output (a size of the model's input or output, or the order has a meaning)"
            )
            continue
        checked = [arch for arch in checked if arch in archs]
        for layer, part in parts.items():
            scores = _scores(part, by_input)
            order = torch.argsort(scores, descending=True, stable=True)
            plans.append((part, order))
            names = tuple(dict.fromkeys(member.name for member in part))
            done.append(Reordered(axis, layer, scores[order], names))
    _apply(model, plans, check, checked)
    return Reordering(tuple(done), kept)


def _perturbed(model: nn.Module) -> nn.Module:
    """Return a float64 copy with noise on its weights: equal initial weights would hide the effect of an order."""
    trial, generator = copy.deepcopy(model).double().eval(), torch.Generator().manual_seed(0)
    for parameter in trial.parameters():
        if parameter.is_floating_point():
            spread = float(parameter.std(correction=0)) or 1.0
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.1 * spread * noise.to(parameter))
    return trial


def _require_distinct_positions(trial: nn.Module, check: _Check) -> None:
    """Refuse an example that is a sequence whose positions are all equal.

    It is a sequence if the model also accepts another size of the second dimension, which holds the positions.

    Raises:
        ConfigError: All positions are equal.
    """
    grids = [x for x in tree_leaves(check.example) if isinstance(x, Tensor) and x.ndim > 1]
    if any(bool((x != x[:, :1]).any()) for x in grids):
        return
    largest = [check.axes.space.largest()]

    def accepts(change: Callable[[Tensor], Tensor]) -> bool:
        other = tree_map(lambda x: change(x) if isinstance(x, Tensor) and x.ndim > 1 else x, check.example)
        return replace(check, example=other).runs(trial, largest)

    longer = bool(grids) and accepts(lambda x: torch.cat([x, x[:, :1]], 1))
    if longer or (bool(grids) and grids[0].shape[1] > 1 and accepts(lambda x: x[:, 1:])):
        raise ConfigError(
            f"example {' and '.join(str(tuple(x.shape)) for x in grids)}: its positions are all equal, which hides "
            "whether the order of units matters to rotary embeddings: give several positions with different values"
        )


def _groups_to_sort(
    trial: nn.Module, members: list[Member], check: _Check, archs: Sequence[Any]
) -> dict[str | None, list[Member]] | None:
    """Return the members that can be sorted together: those of each layer, or all; None if no other order works."""
    layers: dict[str | None, list[Member]] = {}
    for member in members:
        layers.setdefault(layer_of(member.name), []).append(member)
    together: dict[str | None, list[Member]] = {None: members}
    for parts in (together,) if None in layers else (layers, together):
        if _is_order_free(trial, list(parts.values()), check, archs):
            return parts
    return None


def _is_order_free(trial: nn.Module, parts: Sequence[list[Member]], check: _Check, archs: Sequence[Any]) -> bool:
    tensors = _tensors(trial)
    before, generator = check.outputs(trial, archs), torch.Generator().manual_seed(0)
    orders = [torch.randperm(part[0].units, generator=generator) for part in parts]
    if all(torch.equal(order, order.sort().values) for order in orders):
        orders = [order.flip(0) for order in orders]
    for part, order in zip(parts, orders, strict=True):
        _permute(tensors, part, order)
    same = _close(before, check.outputs(trial, archs))
    for part, order in zip(parts, orders, strict=True):
        _permute(tensors, part, torch.argsort(order))
    return same


def _apply(model: nn.Module, plans: Sequence[tuple[list[Member], Tensor]], check: _Check, archs: Sequence[Any]) -> None:
    tensors = _tensors(model)
    saved = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    before = check.outputs(copy.deepcopy(model).double().eval(), archs)
    for part, order in plans:
        _permute(tensors, part, order)
    after = check.outputs(copy.deepcopy(model).double().eval(), archs)
    if not _close(before, after):
        for name, tensor in tensors.items():
            tensor.copy_(saved[name])
        raise ExtractionError(
            "the output of the full network changed in the new order (no single axis changed it); the weights are "
            "restored: give elastify rules for the layouts of this model"
        )


def _permute(tensors: Mapping[str, Tensor], members: Sequence[Member], order: Tensor) -> None:
    for member in members:
        tensor = tensors[member.name]
        inner = tensor.unflatten(member.dim, member.factors)
        moved = inner.index_select(member.dim + member.position, order.to(tensor.device))
        tensor.copy_(moved.flatten(member.dim, member.dim + len(member.factors) - 1))


def _scores(members: Sequence[Member], by_input: Mapping[tuple[str, int], Tensor]) -> Tensor:
    """Return the importance of the units, ``(units,)`` float64 on the CPU."""
    found = [(member, by_input[member.name, member.dim]) for member in members if (member.name, member.dim) in by_input]
    total = torch.zeros(members[0].units, dtype=torch.float64)
    for member, values in found or [(member, member.norms().square()) for member in members if member.tensor.ndim > 1]:
        grid = values.double().cpu().reshape(member.factors)
        others = [position for position in range(grid.ndim) if position != member.position]
        total += grid.sum(others) if others else grid
    return total


def _input_importance(model: nn.Module, batches: Iterable[Any]) -> dict[tuple[str, int], Tensor]:
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
                _call(model, batch)
    finally:
        for hook in hooks:
            hook.remove()
    found = {}
    for name, total in squares.items():
        module = linear[name]
        dim = input_dim(module)
        assert dim is not None and isinstance(module.weight, Tensor)
        rms = (total / max(1, counts[name])).sqrt()
        found[f"{name}.weight".lstrip("."), dim] = module.weight.detach().double().norm(dim=1 - dim) * rms
    return found


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _call(model: nn.Module, example: object) -> Any:
    if isinstance(example, Mapping):
        return model(**example)
    return model(*(example if isinstance(example, tuple) else (example,)))


def _output(model: nn.Module, example: object) -> list[Tensor]:
    wide = tree_map(lambda x: x.double() if isinstance(x, Tensor) and x.is_floating_point() else x, example)
    found = [x for x in tree_leaves(_call(model, wide)) if isinstance(x, Tensor)]
    return [x for x in found if x.is_floating_point()]


def _close(before: Sequence[Tensor], after: Sequence[Tensor]) -> bool:
    return all(
        (a - b).abs().max() <= _TOLERANCE * max(1.0, float(a.abs().max())) for a, b in zip(before, after, strict=True)
    )
