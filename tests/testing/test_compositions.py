"""2,000 whole models by a fixed seed, and what is drawn and checked of them."""

from collections import Counter
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from torch import nn

import elasticnas.nn as enn
from elasticnas import Space
from elasticnas.nn import feedforward
from elasticnas.testing.compositions import (
    TRAITS,
    Composition,
    Part,
    check_composition,
    compositions,
    draw_composition,
    formulas,
    reference,
    traits,
)
from elasticnas.testing.compositions.units import Units

COUNT, CHUNK, FAST = 2000, 100, 1000

FIRST = [pytest.param(first, marks=pytest.mark.slow if first >= FAST else ()) for first in range(0, COUNT, CHUNK)]


@pytest.mark.parametrize("first", FIRST)
def test_whole_models_keep_the_law(first):
    failed = {}
    for seed in range(first, first + CHUNK):
        try:
            check_composition(draw_composition(seed))
        except Exception as error:
            failed[seed] = f"{type(error).__name__}: {error}"
    assert not failed, failed


def test_every_part_and_trait_is_drawn():
    drawn = Counter(trait for seed in range(COUNT) for trait in traits(draw_composition(seed)))
    assert set(drawn) == set(TRAITS)
    rare = {trait: drawn[trait] for trait in TRAITS if drawn[trait] < 10}
    assert not rare


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(composition=compositions())
def test_they_are_drawn_by_hypothesis_too(composition):
    check_composition(composition)


def test_a_seed_is_one_model():
    for seed in (3, 4):
        one, other = draw_composition(seed), draw_composition(seed)
        assert one == other
        weights = [model.state_dict() for model in (one.build(one.space.axes()), other.build(other.space.axes()))]
        assert weights[0].keys() == weights[1].keys()
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
        arch = one.architectures(1)[0]
        assert torch.equal(one.input(arch), other.input(arch))
    assert draw_composition(3) != draw_composition(4)


class Small(Space):
    heads: Literal[3, 2]
    half: Literal[2, 1]
    hidden: Literal[4, 3]


def test_units_are_counted_out_as_by_hand():
    units = Units(Small, Small(heads=2, half=1, hidden=3))
    # rows (heads 2 half) = (3 2 2): heads 0 and 1, both of the two, the first of half
    assert units.places("heads*2*half").tolist() == [0, 2, 4, 6]
    assert units.places("hidden+half").tolist() == [0, 1, 2, 4]
    table = torch.arange(12).reshape(3, 4)
    assert units.cut(table, "heads", "hidden").tolist() == [[0, 1, 2], [4, 5, 6]]


def test_formulas_equal_torchs_own():
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(5, 4, generator=generator, dtype=torch.float64) for _ in range(3))
    seen = torch.ones(5, 5, dtype=torch.bool).tril()
    expected = F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0]
    torch.testing.assert_close(formulas.softmax_attention(q, k, v, seen), expected)
    weight, bias = q[0], k[0]
    torch.testing.assert_close(formulas.layer_norm(v, weight, bias), F.layer_norm(v, (4,), weight, bias))
    torch.testing.assert_close(formulas.rms_norm(v, weight), F.rms_norm(v, (4,), weight))


def test_linrec_of_one_position_is_by_hand():
    # elu keeps positive numbers: q = (3, 4) / 5; a column with one entry has the norm of that entry, so k = (1, 1)
    q, k, v = torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 5.0]]), torch.tensor([[10.0, 20.0]])
    seen = torch.ones(1, 1, dtype=torch.bool)
    # q k = 7 / 5, times v, times 1 / sqrt(2) twice
    torch.testing.assert_close(formulas.linrec(q, k, v, seen, "column"), torch.tensor([[7.0, 14.0]]))
    # a row of unit norm instead: k = (2, 5) / sqrt(29), and one 1 / sqrt(2): 26 / 5 / sqrt(58) = 0.68279
    expected = torch.tensor([[6.8280, 13.6559]])
    torch.testing.assert_close(formulas.linrec(q, k, v, seen, "token"), expected, rtol=1e-4, atol=1e-4)


def test_a_mistake_that_every_form_shares_is_found_by_the_reference(monkeypatch):
    part = Part("sequence", parts=(Part("feed-forward", {"inner": "inner", "gated": False, "activation": "gelu"}),))
    drawn = draw_composition(0)
    seed = 11  # one of those that are compared with the reference
    composition = Composition(seed, drawn.space, part, "features", False, False, None, 2, 3)
    check_composition(composition)
    monkeypatch.setitem(feedforward._ACTIVATIONS, "gelu", F.relu)
    with pytest.raises(AssertionError, match="reference: "):
        check_composition(composition)


def test_chosen_layers_that_may_be_skipped_themselves_follow_both_choices():
    class Two(Space):
        outer: bool
        inner: bool
        hidden: Literal[3, 2]

    axes = Two.axes()
    linear = enn.Linear(axes.hidden, axes.hidden)
    stack = nn.Sequential(enn.Stack([enn.DepthSkip(linear, axes.inner)], [axes.outer]))
    x = torch.randn(2, 3)
    for outer in (True, False):
        for inner in (True, False):
            with axes.at(Two(outer=outer, inner=inner, hidden=3)):
                runs = not torch.equal(stack(x), x)
            assert runs == (outer and inner)


def test_the_reference_reads_only_full_tensors():
    composition = draw_composition(1)
    axes, arch = composition.space.axes(), composition.architectures(1)[0]
    model, given = composition.build(axes), composition.input(arch)
    expected = reference(composition, model, arch, given)  # outside of every scope
    with axes.at(composition.space.smallest()):
        assert torch.equal(reference(composition, model, arch, given), expected)
