from typing import Literal

import pytest
import torch
from torch import nn

import elasticnas.nn as enn
from elasticnas import Space
from elasticnas.search import BinaryPath


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


LOGITS = torch.tensor([0.7, -0.4, 0.2, -1.0], dtype=torch.float64)


@pytest.mark.parametrize("seed", range(6))
def test_the_gradient_is_equation_4_over_the_two_sampled_paths(seed):
    logits = LOGITS.clone().requires_grad_()
    gates = BinaryPath()(logits, 0, generator(seed))
    pair = gates.detach().nonzero().flatten().tolist()
    assert len(pair) == 2 and gates.sum().item() == 1.0 and gates.max() > 1 - 1e-6
    weights = torch.tensor([3.0, -1.0, 0.5, 2.0], dtype=torch.float64)
    ((gates**2) @ weights).backward()
    by_gate = 2 * gates.detach() * weights  # dL/dg
    p = {j: LOGITS[j].exp() / sum(LOGITS[k].exp() for k in pair) for j in pair}
    by_hand = torch.zeros(4, dtype=torch.float64)
    for i in pair:
        by_hand[i] = sum(by_gate[j] * p[j] * (float(i == j) - p[i]) for j in pair)
    torch.testing.assert_close(logits.grad, by_hand)
    assert by_hand.abs().max() > 0.1


def test_paths_are_drawn_by_their_probability_and_two_without_replacement():
    rng, path, pairs, opened = generator(1), torch.zeros(4), torch.zeros(4, 4), torch.zeros(4)
    for _ in range(2000):
        path += BinaryPath().path(LOGITS, 0, rng)
        gates = BinaryPath()(LOGITS, 0, rng)
        first, second = gates.nonzero().flatten().tolist()
        pairs[first, second] += 1
        opened[gates.argmax()] += (first, second) == (0, 3)
    p = LOGITS.softmax(-1)
    assert torch.allclose(path.double() / 2000, p, atol=0.04)
    both = torch.tensor([[p[i] * p[j] / (1 - p[i]) + p[i] * p[j] / (1 - p[j]) for j in range(4)] for i in range(4)])
    assert torch.allclose(pairs.double() / 2000, both.triu(1), atol=0.04)
    assert float(opened[0] / opened.sum()) == pytest.approx(float(torch.tensor([0.7, -1.0]).softmax(-1)[0]), abs=0.08)


def test_a_path_is_exactly_one_hot_and_without_gradient():
    drawn = BinaryPath().path(LOGITS.clone().requires_grad_(), 0, generator())
    assert sorted(drawn.tolist()) == [0, 0, 0, 1] and not drawn.requires_grad


@pytest.mark.parametrize("logits", [[5.0], [0.0, float("-inf"), float("-inf")], [0.0, -2000.0]])
def test_one_possible_path_is_taken(logits):
    logits = torch.tensor(logits, requires_grad=True)
    gates = BinaryPath()(logits, 0, generator())
    assert gates.tolist() == [1.0] + [0.0] * (len(logits) - 1)
    expected = BinaryPath().cost_probabilities(logits, gates)
    assert expected.tolist() == gates.tolist()
    expected.sum().backward()
    assert logits.grad.tolist() == [0.0] * len(logits)


def test_after_a_step_the_other_paths_are_as_probable_as_before():
    kind, gates = BinaryPath(), torch.tensor([0.0, 1 - 2.0**-20, 2.0**-20, 0.0], dtype=torch.float64)
    moved = LOGITS + torch.tensor([0.1, 0.5, -0.3, 0.2])  # momentum moves those that were not drawn
    logits = moved.clone()
    kind.after_step(logits, LOGITS, gates)
    before, after = LOGITS.softmax(-1), logits.softmax(-1)
    torch.testing.assert_close(after[[0, 3]], before[[0, 3]])
    assert logits[[0, 3]].equal(LOGITS[[0, 3]])
    assert (logits[1] - logits[2]).item() == pytest.approx((moved[1] - moved[2]).item())
    assert after[1] > before[1] and after[2] < before[2]


def test_the_expected_cost_is_over_all_paths_and_moves_two():
    costs = torch.tensor([4.0, 3.0, 2.0, 1.0], dtype=torch.float64)
    logits = LOGITS.clone().requires_grad_()
    gates = torch.tensor([1 - 2.0**-20, 0.0, 0.0, 2.0**-20], dtype=torch.float64)
    expected = BinaryPath().cost_probabilities(logits, gates) @ costs
    p = LOGITS.softmax(-1)
    torch.testing.assert_close(expected.detach(), p @ costs)
    expected.backward()
    # with p_0 + p_3 = s held, d(4 p_0 + p_3) / d logit_0 = 3 s q (1 - q), q = p_0 / s
    s = p[0] + p[3]
    slope = 3 * s * (p[0] / s) * (p[3] / s)
    torch.testing.assert_close(logits.grad, torch.tensor([slope, 0, 0, -slope], dtype=torch.float64))


class Widths(Space):
    hidden: Literal[6, 4, 2]


@pytest.mark.parametrize("opened", [0, 1])
def test_both_paths_of_a_width_have_their_gradient_whichever_is_open(opened):
    """Dead units get no gradient; the second path's must, or a narrow path would never learn of a wider one."""
    torch.manual_seed(0)
    axes = Widths.axes()
    model = nn.Sequential(enn.Linear(3, axes.hidden), nn.Tanh(), enn.LayerNorm(axes.hidden), enn.Linear(axes.hidden, 2))
    model, x = model.double(), torch.randn(5, 3, dtype=torch.float64)

    def loss(gates):
        with axes.relaxed({"hidden": gates}):
            return model(x).square().sum()

    gates = torch.full((3,), 2.0**-20, dtype=torch.float64)
    gates[opened], gates[2] = 1 - 2.0**-20, 0.0
    gates.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(gates), gates)
    towards = torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64) * (1 if opened else -1)
    with torch.no_grad():
        slope = (loss(gates + 1e-6 * towards) - loss(gates)) / 1e-6
    assert (gradient @ towards).item() == pytest.approx(slope.item(), rel=1e-3)
    assert abs(slope) > 0.01
    with axes.at(Widths(hidden=Widths.choices()["hidden"][opened])):
        assert loss(gates).item() == pytest.approx(model(x).square().sum().item(), rel=1e-4)
