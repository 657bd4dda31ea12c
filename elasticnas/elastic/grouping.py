"""Grouping: find the smallest groups of members whose units can be sorted together."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from elasticnas.elastic.layouts import starred
from elasticnas.elastic.linear import input_dim
from elasticnas.elastic.members import Member, layers_of
from elasticnas.elastic.tracing import holders
from elasticnas.elastic.trial import Trial

__all__ = ["Part", "Reads", "groups_to_sort", "reads_in"]

Part = tuple[str | None, list[Member]]
"""The layer that is sorted by itself, or None for the whole model, and its members."""

Reads = Callable[[Member], bool | None]
"""Whether a member is the input of a linear layer, its output, or neither (None)."""


def groups_to_sort(model: nn.Module, trial: Trial, members: list[Member], archs: Sequence[Any]) -> list[Part]:
    """Return groups of members that can be sorted, each by an order of its own; empty if no other order works.

    Layers are tried first: the modules with the innermost numbers, then those around them, at last all that is left.
    Within each, the members are also tried in runs that end before the next layer writes after one has read. If all
    that is left cannot be sorted together, members that hold other units (as many by coincidence) are left out.
    """
    found, left, reads = _groups(trial, members, archs, reads_in(model))
    if len(left) > 1:
        same = holders(model, trial, left, archs)
        if 1 < len(same) < len(left) and trial.is_free([same], archs):
            found.append((None, same))
            more, _, _ = _groups(trial, [member for member in left if member not in same], archs, reads)
            found += more
    return found


def _groups(
    trial: Trial, members: list[Member], archs: Sequence[Any], reads: Reads
) -> tuple[list[Part], list[Member], Reads]:
    found: list[Part] = []
    left = list(members)
    for depth in range(max(len(layers_of(member.name)) for member in members), -1, -1):
        nodes: dict[str | None, list[Member]] = {}
        for member in left:
            layers = layers_of(member.name)
            if len(layers) >= depth:
                nodes.setdefault(layers[depth - 1] if depth else None, []).append(member)
        runs = [(layer, run) for layer, node in nodes.items() for run in _runs(node, reads, depth)]
        for candidates in (runs, list(nodes.items())):
            for parts in _alike(candidates, left, reads):
                free = _free(trial, parts, archs)
                found += free
                sorted_now = {id(member) for _, part in free for member in part}
                left = [member for member in left if id(member) not in sorted_now]
    return found, left, reads


def _alike(candidates: Sequence[Part], left: Sequence[Member], reads: Reads) -> list[list[Part]]:
    """Return the parts that can hold units of their own, together with those of other layers that look alike."""
    kinds: dict[tuple[str, ...], list[Part]] = {}
    remaining = {id(member) for member in left}
    for layer, part in candidates:
        rest = [member for member in part if id(member) in remaining]
        # units come from one layer and go to another; norms and biases only follow
        ends = [reads(member) for member in rest if member.tensor.ndim > 1]
        if len(ends) > 1 and any(end is not True for end in ends) and any(end is not False for end in ends):
            kinds.setdefault(tuple(starred(member.name) for member in rest), []).append((layer, rest))
    return list(kinds.values())


def _free(trial: Trial, parts: list[Part], archs: Sequence[Any]) -> list[Part]:
    """Return the parts that are free; few trials if all are, or none."""
    if trial.is_free([part for _, part in parts], archs):
        return parts
    if len(parts) > 2 and not trial.is_free([parts[-1][1]], archs):
        return []
    half = len(parts) // 2
    return [*_free(trial, parts[:half], archs), *_free(trial, parts[half:], archs)] if half else []


def _runs(members: Sequence[Member], reads: Reads, depth: int) -> list[list[Member]]:
    """Split members before every layer that writes the units after another has read them.

    Returns:
        The runs; empty if there is only one, or if the members are in layers that were already tried by themselves.
    """
    deeper = [member.name for member in members if len(layers_of(member.name)) > depth]
    if any(layers_of(name)[depth] != name.rpartition(".")[0] for name in deeper):
        return []
    runs: list[list[Member]] = [[]]
    was_read = False
    for member in members:
        reading = reads(member)
        if was_read and reading is False:
            runs.append([])
            was_read = False
        was_read |= reading is True
        runs[-1].append(member)
    return runs if len(runs) > 1 else []


def reads_in(model: nn.Module) -> Reads:
    """Return the function that tells the input dimensions of linear layers from other dimensions."""
    modules = dict(model.named_modules())

    def reads(member: Member) -> bool | None:
        dim = input_dim(modules[member.name.rpartition(".")[0]])
        return None if dim is None else member.name.endswith("weight") and member.dim == dim

    return reads
