"""Importance order: sort units by importance, so that a prefix keeps the most important ones."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from elasticnas.elastic.branches import Branches
from elasticnas.elastic.disturbance import disturbed
from elasticnas.elastic.eval_mode import in_eval
from elasticnas.elastic.grouping import Part, groups_to_sort
from elasticnas.elastic.members import Groups
from elasticnas.elastic.permutation import Orders, interrupts_deferred, permute, undo
from elasticnas.elastic.scores import input_importance, scores_of
from elasticnas.elastic.trial import Trial
from elasticnas.errors import ConfigError, ExtractionError

__all__ = ["Reordered", "Reordering", "reorder"]

Importance = Literal["magnitude", "activation"]


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


@torch.no_grad()
def reorder(
    model: nn.Module,
    example: object,
    importance: Importance = "magnitude",
    batches: Iterable[object] | None = None,
    order_free: Sequence[str] = (),
) -> Reordering:
    """Sort the units of every elastic axis by importance, in place; the output of the full network does not change.

    Heads, feed-forward units and hidden units are permuted in every tensor that holds them. Which members of an axis
    can be sorted together, in each layer by itself or only in the whole model, is found by trial: a random order must
    not change the output, in any branch of the space. The trials run in float64 on the model itself, with disturbed
    weights; permutations and disturbance are undone exactly, without a copy of the model. An axis of the model's own
    input or output, or one that a rotary embedding depends on, is not sorted.

    Args:
        model: A supernet, elastified or made of elastic primitives, or a model that contains one.
        example: Input of the largest model: a tensor, a tuple of arguments, or a mapping of keyword arguments. A
            sequence needs several positions with different values, or effects of position would stay hidden.
        importance: ``"magnitude"``: squared norm of a unit's weights over all tensors. ``"activation"``: norm of the
            weights that multiply a unit, times the root mean square of its activation over ``batches`` (Wanda,
            arXiv:2306.11695, Eq. 1); magnitude if no linear layer has the unit as input.
        batches: Inputs in the form of ``example``, for ``"activation"``.
        order_free: Outputs in which the order of units does not matter, such as an embedding that is compared by
            cosine: keys or positions of the output, or ``"output"`` for all of it. Their units may be sorted too.

    Returns:
        What was sorted, and what was not.

    Raises:
        AxisError: The model has no elastic size, or sizes of several spaces.
        ConfigError: ``importance`` is unknown or needs batches, all positions of the example are equal, or
            ``order_free`` names no output.
        ExtractionError: The output of the full network changed, and the weights are restored; or the forward pass
            writes to the weights.
    """
    if importance not in ("magnitude", "activation"):
        raise ConfigError(f"importance={importance!r}: choose 'magnitude' or 'activation'")
    if importance == "activation" and batches is None:
        raise ConfigError("importance='activation' measures activations: give batches of inputs")
    groups = Groups(model)
    by_input = input_importance(model, batches) if batches is not None and importance == "activation" else {}
    with in_eval(model), interrupts_deferred() as raise_pending:
        trial = Trial(model, example, groups.axes, order_free, raise_pending)
        trial.start()
        with disturbed(model.parameters()):
            found, archs = _free_groups(model, groups, trial)
        plans, done = [], []
        for axis, (layer, part) in found:
            scores = scores_of(part, by_input)
            order = torch.argsort(scores, descending=True, stable=True)
            plans.append((part, order))
            names = tuple(dict.fromkeys(member.name for member in part))
            done.append(Reordered(axis, layer, scores[order], names))
        _apply(plans, trial, archs)
    return Reordering(tuple(done), groups.kept)


def _free_groups(model: nn.Module, groups: Groups, trial: Trial) -> tuple[list[tuple[str, Part]], list[Any]]:
    """Return the groups that can be sorted, and the architectures in which none changes the output."""
    branches = Branches(model, groups.axes)
    branches.archs = [branches.archs[0], *(arch for arch in branches.archs[1:] if trial.runs(arch))]
    _require_distinct_positions(trial, branches.archs[0])
    found: list[tuple[str, Part]] = []
    checked = branches.archs
    for axis, members in groups.sortable().items():
        archs = branches.with_full_axis(axis)
        if (option := branches.missing(archs)) is not None:
            reason = f"no architecture with its full size has {option}, so that its effect there cannot be tested"
            groups.kept[axis] = reason
            continue
        parts = groups_to_sort(model, trial, members, archs)
        if not parts:
            groups.kept[axis] = (
                "another order changes the output (a size of the model's input or output, or the order has a meaning)"
            )
            continue
        checked = [arch for arch in checked if arch in archs]
        found += [(axis, part) for part in parts]
    return found, checked


def _require_distinct_positions(trial: Trial, largest: Any) -> None:
    """Refuse an example that is a sequence whose positions are all equal.

    It is a sequence if the model also accepts another size of the second dimension, which holds the positions.

    Raises:
        ConfigError: All positions are equal.
    """
    grids = [x for x in tree_leaves(trial.example) if isinstance(x, Tensor) and x.ndim > 1]
    if not grids or any(bool((x != x[:, :1]).any()) for x in grids):
        return
    longer = trial.runs(largest, lambda x: torch.cat([x, x[:, :1]], 1) if x.ndim > 1 else x)
    if longer or (grids[0].shape[1] > 1 and trial.runs(largest, lambda x: x[:, 1:] if x.ndim > 1 else x)):
        raise ConfigError(
            f"example {' and '.join(str(tuple(x.shape)) for x in grids)}: its positions are all equal, which hides "
            "whether the order of units matters to rotary embeddings: give several positions with different values"
        )


def _apply(plans: Orders, trial: Trial, archs: Sequence[Any]) -> None:
    """Sort the units, and sort them back if the output changes or anything is raised."""
    before = trial.outputs(archs)
    permute(plans)
    try:
        if not trial.same(before, trial.outputs(archs), plans):
            raise ExtractionError(
                "the output of the full network changed in the new order (no single axis changed it); the weights are "
                "restored: give elastify rules for the layouts of this model"
            )
    except BaseException:
        undo(plans)
        raise
