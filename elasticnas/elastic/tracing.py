"""Tracing: which members hold the same units, seen from the inputs of modules in another order of units."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from elasticnas.elastic.layouts import starred
from elasticnas.elastic.linear import input_dim
from elasticnas.elastic.members import Member
from elasticnas.elastic.permutation import permuted
from elasticnas.elastic.trial import Trial

__all__ = ["holders"]

_MAX_RUNS = 48  # forward passes
_MAX_SUSPECTS = 8

Side = tuple[str, bool]  # kind of module (its path with * for numbers), and whether its inputs or its outputs
State = Literal["same", "moved", "mixed"]


def holders(model: nn.Module, trial: Trial, members: Sequence[Member], archs: Sequence[Any]) -> list[Member]:
    """Return the members that hold the same units as the first one; empty if they cannot be told from the others.

    All members are put into another order, and the input of every module that has members is compared with the one
    before: it is the same, or in the other order, or neither. A module reads these units if its input is in the other
    order. If an input is neither, outputs of modules that ran before are left out, the latest first.

    Args:
        model: The supernet.
        trial: Runs it.
        members: Members of the same axis, of which some may hold other units.
        archs: Architectures; only the first is traced.
    """
    tracer = _Tracer(model, trial, members, archs[:1])
    for _ in range(_MAX_RUNS):
        trace = tracer.run(tracer.left_out)
        mistaken = tracer.mistaken_reader(trace)
        if mistaken is not None:
            tracer.left_out ^= {mistaken}
        elif (stuck := next((at for at, (_, state) in enumerate(trace) if state == "mixed"), None)) is None:
            return tracer.kept(tracer.left_out)
        elif (better := tracer.without_suspects(trace, stuck)) is None:
            return []
        else:
            tracer.left_out = better
    return []


class _Tracer:
    def __init__(self, model: nn.Module, trial: Trial, members: Sequence[Member], archs: Sequence[Any]) -> None:
        self._trial, self._members, self._archs = trial, list(members), archs
        modules = dict(model.named_modules())
        self._side = {id(member): _side(member, modules) for member in members}
        paths = dict.fromkeys(member.name.rpartition(".")[0] for member in members)
        self._modules = {path: modules[path] for path in paths}
        generator = torch.Generator().manual_seed(1)
        self._order = torch.randperm(members[0].units, generator=generator)
        self._before = self._inputs()
        self.left_out: set[Side] = set()

    def kept(self, left_out: set[Side]) -> list[Member]:
        return [member for member in self._members if self._side[id(member)] not in left_out]

    def run(self, left_out: set[Side]) -> list[tuple[str, State]]:
        """Return the modules in the order in which they run, and how their inputs changed."""
        with permuted([(self.kept(left_out), self._order)]):
            after = self._inputs()
        pairs = zip(self._before, after, strict=False)
        return [(path, self._state(a, b)) for (path, a), (_, b) in pairs]

    def mistaken_reader(self, trace: Sequence[tuple[str, State]]) -> Side | None:
        """Return the first module before a mixed input that reads the units in another order than its input has."""
        sides = set(self._side.values())
        for path, state in trace:
            side = (starred(f".{path}."), True)
            if state == "mixed":
                return None
            if side in sides and (side in self.left_out) == (state == "moved"):
                return side
        return None

    def without_suspects(self, trace: Sequence[tuple[str, State]], stuck: int) -> set[Side] | None:
        """Return what to leave out so that the input of a module is no longer mixed; None if nothing helps."""
        sides = set(self._side.values())
        ran = dict.fromkeys((starred(f".{path}."), False) for path, _ in reversed(trace[:stuck]))
        suspects = [side for side in ran if side in sides][:_MAX_SUSPECTS]
        for flipped in (*(suspects[:count] for count in range(1, len(suspects) + 1)), *([s] for s in suspects[1:])):
            changed = self.left_out ^ set(flipped)
            state = self.run(changed)[: stuck + 1]
            if all(each != "mixed" for _, each in state):
                return changed
        return None

    def _state(self, before: Tensor, after: Tensor) -> State:
        if self._same(before, after):
            return "same"
        order = self._order.to(before.device)
        dims = [dim for dim, size in enumerate(before.shape) if size == len(order)]
        return "moved" if any(self._same(before.index_select(dim, order), after) for dim in dims) else "mixed"

    def _same(self, before: Tensor, after: Tensor) -> bool:
        return self._trial.same([("", before)], [("", after)], [])

    def _inputs(self) -> list[tuple[str, Tensor]]:
        found: list[tuple[str, Tensor]] = []
        hooks = [
            module.register_forward_pre_hook(
                lambda _, args, kwargs, path=path: found.extend((path, x) for x in _first(args, kwargs)),
                with_kwargs=True,
            )
            for path, module in self._modules.items()
        ]
        try:
            self._trial.outputs(self._archs)
        finally:
            for hook in hooks:
                hook.remove()
        return found


def _side(member: Member, modules: Mapping[str, nn.Module]) -> Side:
    path, _, name = member.name.rpartition(".")
    dim = input_dim(modules[path])
    read = member.tensor.ndim == 1 if dim is None else name == "weight" and member.dim == dim
    return starred(f".{path}."), read


def _first(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[Tensor]:
    tensors = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)]
    yield from tensors[:1]
