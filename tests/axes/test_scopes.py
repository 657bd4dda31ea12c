"""Scopes: what is active, where, and for how long."""

import copy
import pickle
from typing import Literal

import pytest
import torch
from torch import nn

import elasticnas
import elasticnas.nn as enn
from elasticnas.axes import Axis, active_size, expected, select
from elasticnas.errors import ArchitectureError, AxisError
from tests.nn import spaces as s


def test_outside_every_scope_the_largest_is_active():
    axes = s.Widths.axes()
    assert (active_size(axes.hidden), active_size(axes.inner)) == (8, 10)


def test_scopes_nest_and_restore_in_any_order_of_leaving():
    axes = s.Widths.axes()
    with axes.at(s.Widths(hidden=6, inner=6)):
        with axes.at(s.Widths(hidden=4, inner=10)):
            assert active_size(axes.hidden) == 4
        assert active_size(axes.hidden) == 6
        with pytest.raises(ZeroDivisionError), axes.at(s.Widths(hidden=4, inner=6)):
            _ = 1 / 0
        assert active_size(axes.hidden) == 6
    assert active_size(axes.hidden) == 8


def test_axes_of_two_models_do_not_mix():
    one, other = s.Widths.axes(), s.Widths.axes()
    with one.at(s.Widths(hidden=4, inner=6)):
        assert active_size(one.hidden) == 4 and active_size(other.hidden) == 8
        with other.at(s.Widths(hidden=6, inner=6)):
            assert active_size(one.hidden) == 4 and active_size(other.hidden) == 6


def test_axes_copy_by_identity_and_pickle_by_space_and_name():
    axes = s.Encoder.axes()
    derived = axes.inner // 4
    for axis in (axes.hidden, axes.head_dim, derived):
        assert copy.copy(axis) is axis and copy.deepcopy(axis) is axis
    restored, inner = pickle.loads(pickle.dumps((axes, derived)))
    assert isinstance(inner, Axis) and inner.name == derived.name
    with restored.at(s.Encoder.smallest()):
        assert active_size(restored.hidden) == 8 and active_size(inner) == 3


def test_every_scope_makes_fresh_masks():
    axes = s.Widths.axes()
    with axes.masked(s.Widths(hidden=4, inner=6)):
        linear = enn.Linear(axes.hidden, axes.inner)
        one, two = linear(torch.ones(2, 8)), linear(torch.ones(2, 8))
    (one.sum() + 2 * two.sum()).backward()  # as distillation does


def test_per_sample_architectures_are_masked():
    axes = s.Hidden.axes()
    norm = enn.LayerNorm(axes.hidden)
    x = torch.randn(2, 3, 7)
    archs = [s.Hidden(hidden=2), s.Hidden(hidden=5)]
    with axes.masked(archs):
        together = norm(x)
    for row, arch in enumerate(archs):
        with axes.at(arch):
            torch.testing.assert_close(together[row, :, : arch.hidden], norm(x[row, :, : arch.hidden]))


class Sized(elasticnas.Space):
    rows: Literal[9, 6]
    hidden: Literal[8, 4]
    depth: Literal[1, 2]
    kind: Literal["plain", "deep"]


def table_of_elastic_rows(axes):
    table, ids = enn.Embedding(axes.rows, 3), torch.arange(7)
    return lambda batch: table(ids.expand(batch, 7))


PER_SAMPLE = {
    "linear": lambda a: enn.Linear(4, a.hidden),
    "norm": lambda a: enn.LayerNorm(a.hidden),
    "softmax": lambda a: lambda x: enn.softmax(x, a.hidden),
    "LinRec": lambda a: enn.Attention(4, 2, a.hidden, kind="linrec"),
    "attention": lambda a: enn.Attention(4, 2, a.hidden),
    "expected": lambda a: lambda x: x * expected(a.hidden, -0.5, x),
    "stack": lambda a: enn.Stack([nn.Identity()] * 2, a.depth),
    "branches": lambda a: enn.Mixture({"plain": nn.Identity(), "deep": nn.Tanh()}, a.kind),
}
WIDTHS = {"norm": 8, "softmax": 8}


@pytest.mark.parametrize("part", [*PER_SAMPLE, "embedding"])
@pytest.mark.parametrize("count", [1, 3])
def test_architectures_for_another_batch_size_are_refused(part, count):
    axes = Sized.axes()
    archs = [Sized.largest(), Sized.smallest(), Sized.largest()][:count]
    if part == "embedding":
        run = table_of_elastic_rows(axes)
    else:
        module = PER_SAMPLE[part](axes)
        run = lambda batch: module(torch.randn(batch, 7, WIDTHS.get(part, 4)))  # noqa: E731
    with axes.masked(archs):
        assert run(count).shape == run(1).shape == (count, *run(1).shape[1:])
        with pytest.raises(AxisError) as raised:
            run(4)
    message = f"this scope has an architecture for each of {count} samples, but got a batch of 4, with the shape (4,"
    assert message in str(raised.value)
    assert str(raised.value).endswith("give axes.masked one architecture per sample")


def test_select_takes_units_per_factor_and_views_where_it_can():
    axes = s.Heads.axes()
    table = torch.arange(16.0)
    with axes.at(s.Heads(hidden=8, heads=2, head_dim=3)):
        per_head = select(table, [axes.heads * axes.head_dim])
        assert per_head.tolist() == [0, 1, 2, 4, 5, 6]
        fused = select(torch.arange(48.0), [3 * axes.heads * axes.head_dim])
        assert fused.tolist() == [
            16 * part + 4 * head + unit for part in range(3) for head in range(2) for unit in range(3)
        ]
        view = select(torch.arange(8.0), [axes.hidden])
        assert view.data_ptr() == view.untyped_storage().data_ptr()
        total = select(torch.arange(12.0), [axes.hidden + axes.head_dim])
        assert total.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize(
    ("message", "scope", "target"),
    [
        ("expected an architecture of Widths, got Hidden", "at", s.Hidden(hidden=2)),
        ("expected an architecture of Widths, got 4 (int)", "at", 4),
        ("axes.at takes one architecture: for one per sample of a batch use axes.masked", "at", [s.Widths.largest()]),
        (
            "axes.at({'hidden': 4}): an architecture is an instance of its space, axes.at(Widths(hidden=4, inner=10))",
            "at",
            {"hidden": 4},
        ),
        ("expected an architecture of Widths, got Hidden", "masked", [s.Widths.largest(), s.Hidden(hidden=2)]),
        ("axes.masked([]) has no architecture", "masked", []),
        ("probabilities are for axes.relaxed", "masked", {"hidden": [1.0, 0.0, 0.0]}),
        ("architectures are for axes.at and axes.masked", "relaxed", s.Widths.largest()),
        ("no choice is named 'depth'; known are hidden, inner", "relaxed", {"depth": [1.0]}),
        (
            "hidden has 3 options [8, 6, 4], but the probabilities have the shape (2,)",
            "relaxed",
            {"hidden": [0.5, 0.5]},
        ),
        (
            "inner has the probabilities [nan, 0.75]: each must be finite and at least 0",
            "relaxed",
            {"inner": torch.tensor([torch.nan, 0.75])},
        ),
        ("inner has the probabilities [3.0, -2.0]: each must be", "relaxed", {"inner": [3.0, -2.0]}),
        ("inner has the probabilities [inf, 0.0]: each must be", "relaxed", {"inner": [torch.inf, 0.0]}),
    ],
)
def test_wrong_targets_are_refused_in_words(message, scope, target):
    axes = s.Widths.axes()
    with pytest.raises(ArchitectureError) as raised, getattr(axes, scope)(target):
        pass
    assert message in str(raised.value)
    assert active_size(axes.hidden) == 8


def test_a_list_is_for_layers_not_for_a_nested_space():
    class Outer(elasticnas.Space):
        part: s.Widths

    axes = Outer.axes()
    with pytest.raises(ArchitectureError, match="no choice is named 'part'"):
        axes.relaxed({"part": [[0.5, 0.5], [1.0]]})
    with axes.relaxed({"part": {"inner": [0.5, 0.5]}}):
        assert axes.part.hidden.at() == 8


def test_unknown_attributes_list_what_is_there():
    with pytest.raises(AttributeError, match="Widths has no size 'depth'; known are hidden, inner"):
        _ = s.Widths.axes().depth


def test_masks_have_no_single_architecture():
    axes = s.Widths.axes()
    with axes.masked(s.Widths.largest()), pytest.raises(AxisError, match="needs a slice scope"):
        axes.current()


def test_architectures_that_are_equal_and_different():
    class Either(elasticnas.Space):
        a: Literal[1, True, 2]

    axes = Either.axes()
    for value in (1, True, 1):
        with axes.at(Either(a=value)):
            assert axes.current().a is value


def test_a_tensor_of_too_few_units_is_refused():
    axes = s.Heads.axes()
    with axes.at(s.Heads(hidden=5, heads=2, head_dim=3)), pytest.raises(AxisError, match=r"\(3,\) is not full-size"):
        select(torch.ones(3), [axes.hidden])


def test_equal_sizes_are_one_size():
    axes = s.Heads.axes()
    assert axes.heads * axes.head_dim == axes.heads * axes.head_dim != axes.head_dim * axes.heads
    assert axes.hidden + 1 == axes.hidden + 1 != axes.hidden + 2
    assert len({axes.heads * axes.head_dim, axes.heads * axes.head_dim}) == 1
