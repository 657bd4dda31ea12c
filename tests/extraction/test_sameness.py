"""Architectures that are the same network, told by what runs; the oracle is what the networks compute."""

from collections import defaultdict
from typing import Annotated, Literal

import pytest
import torch
from pydantic import model_validator
from torch import nn

import elasticnas
import elasticnas.nn as enn
from elasticnas import PerLayer, Space
from elasticnas.axes import active_size
from elasticnas.errors import ArchitectureError
from elasticnas.extraction.sameness import Sameness


class Branches(Space):
    kind: Literal["ff", "attn", "skip"]
    inner: Literal[64, 48, 32, 16]
    heads: Literal[4, 2, 1]


def branches(axes, skip=None):
    ff, attention = enn.FeedForward(8, axes.inner), enn.Attention(8, axes.heads, 4)
    return enn.Mixture({"ff": ff, "attn": attention, "skip": nn.Identity() if skip is None else skip}, axes.kind)


def groups(model, space):
    """Architectures by canonical one; every group computes one thing, and holds what stands for it."""
    model, same = model.double().eval(), Sameness(model)
    axes, x = elasticnas.axes_of(model), torch.randn(2, 3, 8, dtype=torch.float64)
    found, outputs = defaultdict(list), {}
    for arch in space.enumerate():
        with torch.no_grad(), axes.at(arch):
            outputs[arch] = model(x)
        found[same.canonical(arch)].append(arch)
    for canonical, archs in found.items():
        assert canonical in archs
        assert same.canonical(canonical) == canonical
        assert all(torch.equal(outputs[arch], outputs[canonical]) for arch in archs)
    return found


def test_a_choice_of_one_branch():
    found = groups(branches(Branches.axes()), Branches)
    assert len(found) == 4 + 3 + 1
    assert sorted(map(len, found.values())) == [3] * 4 + [4] * 3 + [12]
    assert Branches(kind="attn", inner=64, heads=2) in found


class Reading(nn.Module):
    def __init__(self, read):
        super().__init__()
        self.read = read

    def forward(self, x):
        return x * self.read()


GLOBAL = Branches.axes()


def of_the_global():
    return GLOBAL.current().heads


class NamesAGlobal(nn.Module):
    def forward(self, x):
        return x * of_the_global()


class Holder:
    def __init__(self, size):
        self.sizes = {"of": [size]}


class Holds(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.held = Holder(size)

    def forward(self, x):
        return x * active_size(self.held.sizes["of"][0])


def hooked(axes):
    module = nn.Identity()
    module.register_forward_hook(lambda module, args, out: out * axes.heads.at())
    return module


def unregistered(axes):
    module = nn.Identity()
    module.__dict__["beside"] = [Holds(axes.heads)]
    module.register_forward_hook(lambda module, args, out: module.beside[0](out))
    return module


@pytest.mark.parametrize(
    ("reader", "count"),
    [
        (lambda axes: Reading(lambda: axes.current().heads), 4 * 3 + 4 * 3 + 4 * 3),  # the whole architecture
        (lambda axes: Reading(lambda: active_size(axes.heads)), 36),  # axes in a closure
        (lambda axes: Reading(axes.heads.at), 4 * 3 + 3 + 3),
        (lambda axes: NamesAGlobal(), 36),
        (lambda axes: Holds(axes.heads), 4 * 3 + 3 + 3),
        (lambda axes: Reading(lambda size=axes.heads: size.active()), 4 * 3 + 3 + 3),
        (lambda axes: Reading(lambda of=axes.kind: of.axes.heads.at()), 36),  # from a size to all others
        (hooked, 36),
        (unregistered, 4 * 3 + 3 + 3),
        (lambda axes: Reading(lambda: 2.0), 4 + 3 + 1),  # code that reads nothing
    ],
)
def test_code_that_may_read_keeps_architectures_apart(reader, count):
    axes = GLOBAL
    assert len(groups(nn.Sequential(branches(axes), reader(axes)), Branches)) == count


def test_what_a_module_reads_counts_only_where_it_runs():
    axes = Branches.axes()
    assert len(groups(branches(axes, Reading(lambda: axes.current().inner)), Branches)) == 4 + 3 + 12


class Nested(Space):
    outer: Literal["a", "b"]
    kind: Literal["x", "y"]
    one: Literal[8, 4]
    two: Literal[12, 6, 2]


def test_a_mixture_inside_a_mixture():
    axes = Nested.axes()
    inside = enn.Mixture({"x": enn.FeedForward(8, axes.one), "y": nn.Identity()}, axes.kind)
    model = enn.Mixture({"a": inside, "b": enn.FeedForward(8, axes.two)}, axes.outer)
    assert len(groups(model, Nested)) == (2 + 1) + 3


def test_an_axis_of_two_branches_counts_while_either_runs():
    axes = Nested.axes()
    shared = enn.Mixture({"x": enn.FeedForward(8, axes.one), "y": enn.FeedForward(8, axes.one)}, axes.kind)
    model = enn.Mixture({"a": shared, "b": enn.FeedForward(8, axes.two)}, axes.outer)
    assert len(groups(model, Nested)) == 2 * 2 + 3


class Layers(Space):
    depth: Literal[2, 1, 0]
    kind: Annotated[tuple[Literal["ff", "skip"], ...], PerLayer(2)]
    inner: Annotated[tuple[Literal[16, 8, 4], ...], PerLayer(2)]


def layers(axes):
    kinds = zip(axes.kind, axes.inner, strict=True)
    mixed = [enn.Mixture({"ff": enn.FeedForward(8, inner), "skip": nn.Identity()}, kind) for kind, inner in kinds]
    return enn.Stack(mixed, axes.depth)


def test_layers_beyond_the_depth():
    assert len(groups(layers(Layers.axes()), Layers)) == 4 * 4 + 4 + 1


class Counted(Space):
    depth: Literal[2, 1]
    kind: Annotated[tuple[Literal["ff", "skip"], ...], PerLayer("depth")]
    inner: Annotated[tuple[Literal[16, 8, 4], ...], PerLayer("depth")]


def test_layers_that_an_architecture_does_not_have():
    assert len(groups(layers(Counted.axes()), Counted)) == 4 * 4 + 4


def test_the_size_of_a_layer_that_may_be_absent_reads_the_depth():
    axes = Counted.axes()
    inside = enn.Mixture({"ff": enn.FeedForward(8, axes.inner[1]), "skip": layers(axes)}, axes.kind[0])
    assert len(groups(inside, Counted)) == 4 + (1 + 4)


class Skipped(Space):
    alive: bool
    inner: Literal[16, 8]


def test_a_skipped_layer():
    axes = Skipped.axes()
    model = enn.DepthSkip(enn.FeedForward(8, axes.inner), axes.alive)
    assert set(groups(model, Skipped)) == {
        Skipped(alive=True, inner=16),
        Skipped(alive=True, inner=8),
        Skipped(alive=False, inner=16),
    }


class Part(Space):
    heads: Literal[4, 2]
    width: Literal[8, 4]

    @property
    def inner(self) -> int:
        return self.heads * self.width


class Whole(Space):
    kind: Literal["property", "field", "none"]
    part: Part


def test_a_property_reads_what_it_follows_from():
    axes = Whole.axes()
    candidates = {
        "property": enn.FeedForward(8, axes.part.inner),
        "field": enn.FeedForward(8, axes.part.width),
        "none": nn.Identity(),
    }
    assert len(groups(enn.Mixture(candidates, axes.kind), Whole)) == 4 + 2 + 1


class Ruled(Space):
    kind: Literal["ff", "skip"]
    inner: Literal[64, 48, 32, 16]
    other: Literal[3, 2, 1]

    @model_validator(mode="after")
    def _small_when_skipped(self):
        if self.kind == "skip" and (self.inner > 32 or (self.inner == 32 and self.other > 1)):
            raise ValueError("skip goes with a small inner")
        return self


def test_rules_that_forbid_the_largest_option():
    axes = Ruled.axes()
    both = nn.Sequential(enn.FeedForward(8, axes.inner), enn.FeedForward(8, axes.other))
    model = enn.Mixture({"ff": both, "skip": nn.Identity()}, axes.kind)
    found = groups(model, Ruled)
    assert len(found) == 12 + 1
    # the first inner that is allowed with any of the other
    assert [arch for arch in found if arch.kind == "skip"] == [Ruled(kind="skip", inner=32, other=1)]


class Tied(Space):
    kind: Literal["ff", "skip"]
    inner: Annotated[tuple[Literal[8, 7, 6, 5, 4, 3, 2, 1], ...], PerLayer(6)]

    @model_validator(mode="after")
    def _last(self):
        if self.kind == "skip" and sum(self.inner) > 7:
            raise ValueError("near the smallest")
        return self


def test_where_rules_tie_too_much_to_try_nothing_is_changed():
    axes = Tied.axes()
    parts = nn.Sequential(*[enn.FeedForward(8, inner) for inner in axes.inner])
    same = Sameness(enn.Mixture({"ff": parts, "skip": nn.Identity()}, axes.kind))
    for inner in ((1, 1, 1, 1, 1, 1), (2, 1, 1, 1, 1, 1)):
        only = Tied(kind="skip", inner=inner)
        assert same.canonical(only) == only


class Net(nn.Module):
    def __init__(self, kind, inner):
        super().__init__()
        self.up, self.down = nn.Linear(8, inner), nn.Linear(inner, 8)
        self.gate = nn.Linear(8, 8) if kind else None

    def forward(self, x):
        x = self.down(self.up(x))
        return x if self.gate is None else self.gate(x)


class NetSpace(Space):
    kind: bool
    inner: Literal[16, 8]


def test_an_elastified_model_keeps_every_architecture():
    model = elasticnas.elastify(Net, NetSpace)
    same = Sameness(model)
    assert [same.canonical(arch) for arch in NetSpace.enumerate()] == list(NetSpace.enumerate())


def test_a_strange_architecture_is_refused():
    same = Sameness(branches(Branches.axes()))
    with pytest.raises(ArchitectureError, match="expected an architecture of Branches"):
        same.canonical(Nested.largest())
