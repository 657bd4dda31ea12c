import pytest
import torch

from elasticnas.errors import ConfigError
from elasticnas.search import (
    DualAscent,
    Dynamic,
    Fixed,
    Gumbel,
    NoPenalty,
    Softmax,
    StraightThrough,
    Temperature,
    Tempered,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_temperature_is_table_ii_and_its_scaled_form():
    literal, scaled = Temperature(), Temperature.over(100)
    assert literal(0) == 1.0
    assert literal(10_000) == pytest.approx(0.5)
    assert literal(19_800) == pytest.approx(0.01) and literal(30_000) == 0.01
    assert scaled(0) == 1.0 and scaled(99) == pytest.approx(0.01)
    with pytest.raises(ConfigError, match="floor > 0"):
        Temperature(floor=0)


@pytest.mark.parametrize("kind", [Softmax(), Tempered(), Gumbel(), StraightThrough()])
def test_probabilities_sum_to_one_and_carry_gradients(kind):
    logits = torch.tensor([0.3, -0.2, 1.0], requires_grad=True)
    p = kind(logits, 5000, generator())
    assert p.sum().item() == pytest.approx(1.0)
    (p * torch.tensor([1.0, 2.0, 4.0])).sum().backward()
    assert logits.grad is not None and logits.grad.abs().sum() > 0


def test_gumbel_draws_options_by_their_probability():
    logits = torch.tensor([0.7, 0.2, 0.1]).log()
    rng, hits = generator(1), torch.zeros(3)
    for _ in range(4000):
        hits[Gumbel(Temperature(0.01, 0, 0.01))(logits, 0, rng).argmax()] += 1
    assert torch.allclose(hits / 4000, torch.tensor([0.7, 0.2, 0.1]), atol=0.03)


def test_straight_through_is_exactly_one_hot():
    p = StraightThrough()(torch.zeros(4, requires_grad=True), 0, generator())
    assert sorted(p.tolist()) == [0, 0, 0, 1]


class Arch:
    def __init__(self, depth):
        self.depth = depth


def test_dynamic_constraint_is_equation_15():
    penalty = Dynamic(0.1)
    assert float(penalty(torch.tensor(0.5), Arch(3), Arch(4))) == pytest.approx(0.1 * 3 / 4 * 0.5)
    assert penalty.weight == pytest.approx(0.075)
    with pytest.raises(ConfigError, match="no such field"):
        Dynamic(0.1, "layers")(torch.tensor(0.5), Arch(1), Arch(1))


def test_dual_ascent_grows_while_the_cost_is_over_the_limit():
    penalty = DualAscent(0.5, rate=0.1)
    penalty.update(1.0)
    assert penalty.weight == pytest.approx(0.1)
    restored = DualAscent(0.5, rate=0.1)
    restored.load_state_dict(penalty.state_dict())
    for _ in range(10):
        penalty.update(0.0)
    assert penalty.weight == 0.0 and restored.weight == pytest.approx(0.1)
    with pytest.raises(ConfigError, match="fraction"):
        DualAscent(1.5)


def test_fixed_and_none():
    assert float(Fixed(0.2)(torch.tensor(0.5), None, None)) == pytest.approx(0.1)
    assert float(NoPenalty()(torch.tensor(0.5), None, None)) == 0.0
    with pytest.raises(ConfigError, match="0 or more"):
        Fixed(-1)
