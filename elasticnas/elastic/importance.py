"""Importance order: units that matter come first, so that prefixes keep them."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from elasticnas.axes import Axes
from elasticnas.elastic.branches import Branches
from elasticnas.elastic.linear import input_dim
from elasticnas.elastic.members import Groups, Member, layer_of
from elasticnas.errors import ConfigError, ExtractionError

__all__ = ["Reordered", "Reordering", "reorder"]

Importance = Literal["magnitude", "activation"]
_TOLERANCE = 1e-6  # of the largest output; some norms compute in float32 whatever they are given


@dataclass(frozen=True)
class Reordered:
    """Units that were sorted together.

    Attributes:
        axis: The axis, or the factor of a composite dimension.
        layer: The layer whose own order it is; None for one order in the whole model.
        scores: Importance of the units in their new order, largest first.
        tensors: Names of the tensors whose units moved.
    """

    axis: str
    layer: str | None
    scores: Tensor
    tensors: tuple[str, ...]


@dataclass(frozen=True)
class Reordering:
    """What :func:`reorder` did.

    Attributes:
        done: Orders that changed.
        kept: Axes left in order, with the reason.
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
    """What must stay as it is: outputs of architectures on an example."""

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
        except Exception:  # whatever a model says to an input that does not fit
            return False
        return True


@torch.no_grad()
def reorder(
    model: nn.Module, example: object, importance: Importance = "magnitude", batches: Iterable[object] | None = None
) -> Reordering:
    """Sort the units of every elastic axis by importance, in place; the full network computes what it did.

    Heads, feed-forward units and hidden units change places in every tensor that holds them. Whether an axis can be
    sorted, and in each layer by itself, is found by trying: random orders must leave the output of a float64 copy with
    disturbed weights as it is, in every branch that a choice of the space can run. An axis of the model's own input or
    output, or one that rotary tables run along, stays in order.

    Args:
        model: A supernet, elastified or made of elastic primitives, or a model that contains such.
        example: Input of the largest model: a tensor, a tuple of arguments, or a mapping of keyword arguments. A
            sequence needs several positions, not all alike: else no order of what positions turn would show.
        importance: ``"magnitude"``: squared norm of a unit's weights over all tensors. ``"activation"``: norm of the
            weights that read a unit times the root mean square of what they read over ``batches`` (Wanda,
            arXiv:2306.11695, Eq. 1); by magnitude where no linear layer reads it.
        batches: Inputs as ``example``, for ``"activation"``.

    Raises:
        AxisError: The model has no elastic size.
        ConfigError: ``importance`` is unknown or needs batches, or the positions of the example are alike.
        ExtractionError: The full network computes something else afterwards; the weights are put back.
    """
    if importance not in ("magnitude", "activation"):
        raise ConfigError(f"importance={importance!r}: choose 'magnitude' or 'activation'")
    if importance == "activation" and batches is None:
        raise ConfigError("importance='activation' measures activations: give batches of inputs")
    groups, trial = Groups(model), _disturbed(model)
    branches, check, kept = Branches(model, groups.axes), _Check(example, groups.axes), groups.kept
    branches.archs = [branches.archs[0], *(arch for arch in branches.archs[1:] if check.runs(trial, [arch]))]
    _refuse_alike_positions(trial, check)
    reads = _reads(model, batches) if batches is not None and importance == "activation" else {}
    done = []
    plans: list[tuple[list[Member], Tensor]] = []
    checked = branches.archs
    for axis, members in groups.sortable().items():
        archs = branches.whole(axis)
        if (option := branches.missing(archs)) is not None:
            kept[axis] = f"with all of its units no architecture runs {option}, so that nothing shows what it changes"
            continue
        parts = _scopes(trial, members, check, archs)
        if parts is None:
            kept[axis] = (
                "another order changes the output (a size of the model's input or output, or places that matter)"
            )
            continue
        checked = [arch for arch in checked if arch in archs]
        for layer, part in parts.items():
            scores = _scores(part, reads)
            order = torch.argsort(scores, descending=True, stable=True)
            plans.append((part, order))
            names = tuple(dict.fromkeys(member.name for member in part))
            done.append(Reordered(axis, layer, scores[order], names))
    _apply(model, plans, check, checked)
    return Reordering(tuple(done), kept)


def _disturbed(model: nn.Module) -> nn.Module:
    """A float64 copy with noise on its weights: what starts at zero or one hides what an order changes."""
    trial, generator = copy.deepcopy(model).double().eval(), torch.Generator().manual_seed(0)
    for parameter in trial.parameters():
        if parameter.is_floating_point():
            spread = float(parameter.std(correction=0)) or 1.0
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.1 * spread * noise.to(parameter))
    return trial


def _refuse_alike_positions(trial: nn.Module, check: _Check) -> None:
    """A sequence is what a model takes at another length too; its positions are the second dimension."""
    grids = [x for x in tree_leaves(check.example) if isinstance(x, Tensor) and x.ndim > 1]
    if any(bool((x != x[:, :1]).any()) for x in grids):
        return
    largest = [check.axes.space.largest()]

    def takes(change: Callable[[Tensor], Tensor]) -> bool:
        other = tree_map(lambda x: change(x) if isinstance(x, Tensor) and x.ndim > 1 else x, check.example)
        return replace(check, example=other).runs(trial, largest)

    longer = bool(grids) and takes(lambda x: torch.cat([x, x[:, :1]], 1))
    if longer or (bool(grids) and grids[0].shape[1] > 1 and takes(lambda x: x[:, 1:])):
        raise ConfigError(
            f"example {' and '.join(str(tuple(x.shape)) for x in grids)}: its positions are all alike, which hides "
            "what rotary tables and the like do with the order of units: give several positions of different values"
        )


def _scopes(
    trial: nn.Module, members: list[Member], check: _Check, archs: Sequence[Any]
) -> dict[str | None, list[Member]] | None:
    """Members that share an order: those of each layer, or all; None where no order but the present one works."""
    layers: dict[str | None, list[Member]] = {}
    for member in members:
        layers.setdefault(layer_of(member.name), []).append(member)
    together: dict[str | None, list[Member]] = {None: members}
    for parts in (together,) if None in layers else (layers, together):
        if _same_in_any_order(trial, list(parts.values()), check, archs):
            return parts
    return None


def _same_in_any_order(trial: nn.Module, parts: Sequence[list[Member]], check: _Check, archs: Sequence[Any]) -> bool:
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
            "the full network computes something else in the new order (each axis alone did not change it); the "
            "weights are as they were: say what is unusual about the model by rules of elastify"
        )


def _permute(tensors: Mapping[str, Tensor], members: Sequence[Member], order: Tensor) -> None:
    for member in members:
        tensor = tensors[member.name]
        inner = tensor.unflatten(member.dim, member.factors)
        moved = inner.index_select(member.dim + member.position, order.to(tensor.device))
        tensor.copy_(moved.flatten(member.dim, member.dim + len(member.factors) - 1))


def _scores(members: Sequence[Member], reads: Mapping[tuple[str, int], Tensor]) -> Tensor:
    """Importance ``(units,)``, float64 on the CPU."""
    read = [(member, reads[member.name, member.dim]) for member in members if (member.name, member.dim) in reads]
    total = torch.zeros(members[0].units, dtype=torch.float64)
    for member, values in read or [(member, member.norms().square()) for member in members if member.tensor.ndim > 1]:
        grid = values.double().cpu().reshape(member.factors)
        others = [position for position in range(grid.ndim) if position != member.position]
        total += grid.sum(others) if others else grid
    return total


def _reads(model: nn.Module, batches: Iterable[Any]) -> dict[tuple[str, int], Tensor]:
    """For every linear layer's weight and input dimension: norm of the column times RMS of the feature."""
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
        with _in_eval(model):
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


@contextmanager
def _in_eval(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
