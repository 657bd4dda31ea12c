"""Expected costs beyond the table: sampled values, errors and gradients against the sum over all combinations."""

import random
from itertools import product
from typing import Annotated, Literal

import numpy as np
import pytest
import torch
from cost_models import Encoder, encoder_flops
from pydantic import model_validator

from elasticnas import PerLayer, Space
from elasticnas.cost import Cost
from elasticnas.errors import ArchitectureError


class Deep(Space):
    """Layers that are there or not."""

    hidden: Literal[16, 8]
    depth: Literal[1, 2, 3, 4]
    inner: Annotated[tuple[Literal[24, 12, 4], ...], PerLayer("depth")]


class Headed(Space):
    """A rule between two choices."""

    hidden: Literal[24, 16, 8]
    heads: Literal[4, 2, 3]
    depth: Literal[1, 2, 3]
    inner: Annotated[tuple[Literal[12, 20, 8], ...], PerLayer(3)]

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads

    @model_validator(mode="after")
    def heads_divide_hidden(self):
        if self.hidden % self.heads:
            raise ValueError(f"{self.heads} heads do not divide hidden {self.hidden}")
        return self


class Limited(Space):
    """A rule between all layers."""

    hidden: Literal[16, 8]
    depth: Literal[1, 2, 3, 4]
    inner: Annotated[tuple[Literal[24, 12, 4], ...], PerLayer(4)]

    @model_validator(mode="after")
    def limited(self):
        if sum(self.inner) > 56:
            raise ValueError(f"widths {self.inner} sum to more than 56")
        return self


class ByHand(Cost):
    """FLOPs by the formula of the test models."""

    unit = "FLOPs"

    def __init__(self, model):
        super().__init__(model)
        self.computed = 0

    def compute(self, arch):
        self.computed += 1
        return float(encoder_flops(arch))


class Rough(ByHand):
    """A cost that follows no pattern."""

    def compute(self, arch):
        return super().compute(arch) * (1 + 0.3 * ((7 * sum(arch.inner) + 5 * arch.depth + arch.hidden) % 3))


@pytest.fixture
def no_table(monkeypatch):
    """Everything is sampled, and no surrogate is a table of the whole space."""
    monkeypatch.setattr("elasticnas.cost.surrogate._COSTS", 80)
    monkeypatch.setattr("elasticnas.cost.cost.ENTRIES", 1)
    monkeypatch.setattr("elasticnas.cost.distinct.ENTRIES", 1)


def logits(space, scale, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: (scale * torch.randn(len(options), generator=generator, dtype=torch.float64)).requires_grad_()
        for name, options in space.choices().items()
    }


def softmax(alpha):
    return {name: value.softmax(-1) for name, value in alpha.items()}


def over_all(space, cost, given):
    """The mean of the cost over the combinations that build, one by one."""
    choices = space.choices()
    total, mass = 0.0, 0.0
    for indices in product(*(range(len(options)) for options in choices.values())):
        at = dict(zip(choices, indices, strict=True))
        try:
            arch = space.from_assignment({name: choices[name][index] for name, index in at.items()})
        except ArchitectureError:
            continue
        weight = torch.stack([given[name][index] for name, index in at.items()]).prod()
        total, mass = total + weight * cost.compute(arch), mass + weight
    return total / mass


def breaks_a_rule(space, given):
    """Whether no architecture has the likeliest options."""
    try:
        space.from_assignment({name: space.choices()[name][int(p.argmax())] for name, p in given.items()})
    except ArchitectureError:
        return True
    return False


def gradients(value, alpha):
    return torch.cat(torch.autograd.grad(value, list(alpha.values()), retain_graph=True))


SCALES = {"uniform": 0.0, "skewed": 1.5, "nearly one-hot": 8.0}


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
@pytest.mark.parametrize("space", [Deep, Headed])
def test_what_adds_up_layer_by_layer_is_exact(no_table, space, scale):
    cost = ByHand(Encoder(space.axes()))
    alpha = logits(space, scale)
    given = softmax(alpha)
    expectation, wanted = cost.expectation(given), over_all(space, cost, given)
    assert expectation.value.item() == pytest.approx(wanted.item(), rel=1e-9)
    assert expectation.standard_error.item() <= 1e-9 * wanted.item()
    assert expectation.samples > 0
    torch.testing.assert_close(
        gradients(expectation.value, alpha), gradients(wanted, alpha), rtol=1e-7, atol=1e-9 * wanted.item()
    )


# the last: the likeliest combination breaks the rule
@pytest.mark.parametrize(
    ("space", "kind", "scale", "seed"),
    [
        (Deep, Rough, 0.0, 3), (Deep, Rough, 1.5, 3), (Headed, Rough, 1.0, 3), (Limited, ByHand, 0.0, 3),
        (Limited, ByHand, 1.0, 3), (Limited, Rough, 1.0, 3), (Limited, ByHand, 1.5, 10),
    ],
)  # fmt: skip
def test_samples_are_unbiased_and_say_their_error(no_table, space, kind, scale, seed):
    cost = kind(Encoder(space.axes()))
    alpha = logits(space, scale, seed)
    given = softmax(alpha)
    assert breaks_a_rule(space, given) or seed != 10
    wanted = over_all(space, cost, given)
    slopes = gradients(wanted, alpha)
    found = [cost.expectation(given, seed=number) for number in range(300)]
    values = torch.stack([each.value.detach() for each in found])
    errors = torch.stack([each.standard_error for each in found])
    sampled = torch.stack([gradients(each.value, alpha) for each in found])
    assert values.std() > 0
    assert abs(values.mean() - wanted.item()) < 4 * values.std() / len(found) ** 0.5
    assert errors.square().mean().sqrt().item() == pytest.approx(values.std().item(), rel=0.2)
    assert ((values - wanted.item()).abs() <= 2 * errors).double().mean() > 0.85
    off = (sampled.mean(0) - slopes).abs() / (sampled.std(0) / len(found) ** 0.5 + 1e-9 * slopes.abs().max())
    assert off.max() < 4.5  # the largest of a dozen


class Wide(Space):
    """49,152 combinations of options, 10,920 architectures."""

    hidden: Literal[16, 8]
    depth: Literal[1, 2, 3, 4, 5, 6]
    inner: Annotated[tuple[Literal[24, 12, 6, 4], ...], PerLayer("depth")]


def wide_by_hand(given):
    """The layers that are there times what one costs: 6 positions, 8 attended features."""
    hidden = given["hidden"] @ torch.tensor([16.0, 8.0], dtype=torch.float64)
    total = 0.0
    for layer in range(6):
        there = given["depth"][layer:].sum()
        inner = given[f"inner.{layer}"] @ torch.tensor([24.0, 12.0, 6.0, 4.0], dtype=torch.float64)
        total = total + there * (4 * 2 * 6 * 8 * hidden + 2 * 2 * 6 * 6 * 8 + 2 * 2 * 6 * hidden * inner)
    return total


def nearly_uniform():
    alpha = {name: torch.zeros(len(o), dtype=torch.float64) for name, o in Wide.choices().items()}
    alpha["depth"][0] = 0.2231  # 0.20 for one layer, 0.16 for each other
    return {name: value.requires_grad_() for name, value in alpha.items()}


@pytest.mark.parametrize("sampled", [pytest.param(False, marks=pytest.mark.slow), True])
def test_many_depths_nearly_uniform(monkeypatch, sampled):
    if sampled:
        monkeypatch.setattr("elasticnas.cost.distinct.ENTRIES", 10_919)
    cost, alpha = ByHand(Encoder(Wide.axes())), nearly_uniform()
    expectation, wanted = cost.expectation(softmax(alpha)), wide_by_hand(softmax(alpha))
    assert cost.computed == 10_920 if not sampled else cost.computed < 1_000
    assert expectation.value.item() == pytest.approx(wanted.item(), rel=1e-9)
    assert (expectation.samples > 0) == sampled
    slopes = gradients(expectation.value, alpha)
    torch.testing.assert_close(slopes, gradients(wanted, alpha), rtol=1e-7, atol=1e-6)
    (deep,) = torch.autograd.grad(expectation.value, alpha["inner.3"])
    assert deep.abs().max() > 100


@pytest.mark.parametrize(("space", "kind"), [(Deep, Rough), (Headed, ByHand), (Limited, Rough)])
def test_one_hot_is_the_cost_of_the_architecture_without_error(no_table, space, kind):
    cost = kind(Encoder(space.axes()))
    rng = random.Random(0)
    for _ in range(5):
        arch = space.sample(rng)
        given = {
            name: torch.nn.functional.one_hot(torch.tensor(index), len(space.choices()[name])).double()
            for name, index in space.indices(arch).items()
        }
        expectation = cost.expectation(given)
        assert expectation.value.item() == pytest.approx(cost.compute(arch), rel=1e-12)
        assert expectation.standard_error.item() == 0


def test_one_hot_has_the_gradient_of_every_single_change(no_table):
    cost = ByHand(Encoder(Deep.axes()))
    arch = Deep(hidden=16, depth=3, inner=(12, 24, 4))
    indices = Deep.indices(arch)
    given = {
        name: torch.nn.functional.one_hot(torch.tensor(index), len(Deep.choices()[name])).double().requires_grad_()
        for name, index in indices.items()
    }
    cost.expected(given).backward()
    for name, options in Deep.choices().items():
        values = Deep.assignment(arch)
        changed = [encoder_flops(Deep.from_assignment(values | {name: option})) for option in options]
        difference = given[name].grad - given[name].grad[indices[name]]
        torch.testing.assert_close(difference, torch.tensor(changed).double() - encoder_flops(arch))


def test_probabilities_on_what_no_architecture_has(no_table):
    cost = ByHand(Encoder(Headed.axes()))
    given = softmax(logits(Headed, 1.0))
    given |= {"hidden": torch.tensor([0.0, 1.0, 0.0]), "heads": torch.tensor([0.0, 0.0, 1.0])}
    with pytest.raises(ArchitectureError, match="give no weight to any combination that Headed has"):
        cost.expected(given)
    cost = ByHand(Encoder(Limited.axes()))
    given = softmax(logits(Limited, 1.0)) | {f"inner.{layer}": torch.tensor([1.0, 0.0, 0.0]) for layer in range(4)}
    with pytest.raises(ArchitectureError, match="Limited: its rules forbid each of 2,000 combinations drawn"):
        cost.expected(given)


def test_a_seed_gives_the_same_and_no_other_random_state_moves(no_table):
    given = softmax(logits(Limited, 1.0))
    first, second = (Rough(Encoder(Limited.axes())) for _ in range(2))
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    second.expected(softmax(logits(Limited, 0.3)))  # what was asked before does not matter
    one, other, third = first.expectation(given), second.expectation(given), first.expectation(given, seed=1)
    assert one.value == other.value != third.value
    assert one.standard_error == other.standard_error
    assert torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[1]
    assert np.random.get_state()[1].tolist() == states[2]


def test_forms_of_probabilities(no_table):
    cost = Rough(Encoder(Limited.axes()))
    one, other = softmax(logits(Limited, 1.0, 0)), softmax(logits(Limited, 1.0, 1))
    rows = torch.stack([one[f"inner.{layer}"] for layer in range(4)])
    by_field = {"hidden": one["hidden"], "depth": one["depth"], "inner": rows}
    assert cost.expected(by_field) == cost.expected(one)
    batch = cost.expectation({name: torch.stack([one[name], other[name]]) for name in one})
    assert batch.value.shape == batch.standard_error.shape == (2,)
    assert batch.value.tolist() == [cost.expected(one).item(), cost.expected(other).item()]
    half = cost.expected({name: value.half() for name, value in one.items()})
    assert half.dtype == torch.float32 and half.item() == pytest.approx(cost.expected(one).item(), rel=0.1)


def test_some_choices_the_others_as_in_base(no_table):
    cost, base = ByHand(Encoder(Deep.axes())), Deep(hidden=8, depth=3, inner=(4, 12, 24))
    given = {"hidden": torch.tensor([0.25, 0.75]), "inner.1": torch.tensor([0.5, 0.25, 0.25])}
    wanted = sum(
        p * q * encoder_flops(Deep(hidden=hidden, depth=3, inner=(4, inner, 24)))
        for p, hidden in zip((0.25, 0.75), (16, 8), strict=True)
        for q, inner in zip((0.5, 0.25, 0.25), (24, 12, 4), strict=True)
    )
    assert cost.expected(given, base).item() == pytest.approx(wanted)


def test_costs_worked_out_are_bounded_and_remembered(no_table):
    cost = Rough(Encoder(Limited.axes()))
    cost.expected(softmax(logits(Limited, 0.0)))
    options = sum(map(len, Limited.choices().values()))
    for seed in range(5):
        before = cost.computed
        cost.expected(softmax(logits(Limited, 0.5, seed)))
        assert cost.computed - before <= 16 + 16 * options // len(Limited.choices()) + options
        before = cost.computed
        cost.expected(softmax(logits(Limited, 0.5, seed)))
        assert cost.computed == before


def test_the_table_is_exact_and_says_so():
    cost, given = ByHand(Encoder(Deep.axes())), softmax(logits(Deep, 1.0))
    expectation = cost.expectation(given)
    assert expectation.standard_error.item() == expectation.samples == 0
    assert expectation.value.item() == pytest.approx(over_all(Deep, cost, given).item(), rel=1e-12)
