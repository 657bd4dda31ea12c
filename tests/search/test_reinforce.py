"""Reinforce: gradients from losses of sampled architectures are those of the expected loss, without bias."""

import itertools
import math
from typing import Annotated, Literal

import pytest
import torch
from pydantic import model_validator
from torch import nn

from elasticnas import PerLayer, Space, elastify
from elasticnas.cost import Params
from elasticnas.errors import ArchitectureError, ConfigError
from elasticnas.search import BilevelSearcher, Problem, Reinforce, ScoreFunction, SearchSettings
from elasticnas.search.architecture_loss import sampled_loss
from elasticnas.search.controller import Controller


class Plain(Space):
    width: Literal[6, 4, 2]
    heads: Literal[2, 1]


class Ruled(Plain):
    """Two of the six combinations are forbidden."""

    @model_validator(mode="after")
    def heads_fit(self):
        if self.heads == 2 and self.width == 2:
            raise ValueError("two heads need a width of at least 4")
        if self.heads == 1 and self.width == 6:
            raise ValueError("one head has at most 4")
        return self


class Deep(Space):
    """A layer beyond the depth has no width: 2 + 4 architectures of 8 draws."""

    depth: Literal[1, 2]
    widths: Annotated[tuple[Literal[4, 2], ...], PerLayer("depth")]


class RuledDeep(Deep):
    @model_validator(mode="after")
    def narrowing(self):
        if list(self.widths) != sorted(self.widths, reverse=True):
            raise ValueError("widths do not grow")
        return self


SPACES = [Plain, Ruled, Deep, RuledDeep]


def controller(space):
    made = Controller(space, ScoreFunction(), torch.device("cpu"), 0)
    rng = torch.Generator().manual_seed(5)
    made.logits = {
        name: torch.randn(len(options), generator=rng, dtype=torch.float64).requires_grad_()
        for name, options in space.choices().items()
    }
    return made


def losses(space):
    """Any loss of each architecture."""
    rng = torch.Generator().manual_seed(7)
    return {arch: 3.0 + torch.randn((), generator=rng, dtype=torch.float64) for arch in space.enumerate()}


def distribution(space, made):
    """The probability of each architecture where draws that break a rule are drawn again, from all draws there are."""
    choices = space.choices()
    mass = dict.fromkeys(space.enumerate(), torch.zeros((), dtype=torch.float64))
    for drawn in itertools.product(*(range(len(options)) for options in choices.values())):
        options = {name: choices[name][index] for name, index in zip(choices, drawn, strict=True)}
        try:
            arch = space.from_assignment(options)
        except ArchitectureError:
            continue
        mass[arch] = mass[arch] + math.prod(
            made.logits[name].softmax(-1)[index] for name, index in zip(choices, drawn, strict=True)
        )
    whole = sum(mass.values())
    return {arch: value / whole for arch, value in mass.items()}


def exact(space, made):
    q, value = distribution(space, made), losses(space)
    return torch.autograd.grad(sum(q[arch] * value[arch] for arch in q), made.parameters())


def scopes(space):
    """Axes whose architecture in scope says which loss there is."""
    axes = space.axes()
    return axes, lambda: losses(space)[axes.current()].requires_grad_()


@pytest.mark.parametrize("space", SPACES)
def test_its_expectation_over_all_pairs_of_draws_is_the_exact_gradient(space, monkeypatch):
    made, wanted = controller(space), exact(space, controller(space))
    q = {arch: p.item() for arch, p in distribution(space, made).items()}
    axes, loss = scopes(space)
    mean = [torch.zeros_like(logits) for logits in made.parameters()]
    for pair in itertools.product(q, repeat=2):
        draws = iter(pair)
        monkeypatch.setattr(made, "sample", lambda step: {})
        monkeypatch.setattr(made, "likeliest", lambda drawn, draws=draws: next(draws))
        value, _ = sampled_loss(made, axes, loss, 0)
        assert value.item() == pytest.approx(sum(losses(space)[arch].item() for arch in pair) / 2)
        gradients = torch.autograd.grad(value, made.parameters(), allow_unused=True)
        for total, gradient in zip(mean, gradients, strict=True):
            if gradient is not None:
                total += q[pair[0]] * q[pair[1]] * gradient
    for got, right in zip(mean, wanted, strict=True):
        torch.testing.assert_close(got, right, rtol=1e-9, atol=1e-12)
    assert max(float(gradient.abs().max()) for gradient in wanted) > 0.1


@pytest.mark.parametrize("space", [*SPACES[:2], *(pytest.param(space, marks=pytest.mark.slow) for space in SPACES[2:])])
def test_its_mean_over_real_draws_is_within_four_standard_errors(space):
    made, wanted = controller(space), exact(space, controller(space))
    axes, loss = scopes(space)
    seen, count = [], 3000
    for _ in range(count):
        value, _ = sampled_loss(made, axes, loss, 0)
        gradients = torch.autograd.grad(value, made.parameters(), allow_unused=True)
        seen.append(
            torch.cat(
                [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, made.parameters(), strict=True)]
            )
        )
    every = torch.stack(seen)
    error = every.std(0) / math.sqrt(count)
    assert (error > 0).all()
    assert ((every.mean(0) - torch.cat(wanted)).abs() <= 4 * error).all()


def test_both_architectures_run_and_each_gets_its_own_loss():
    """By hand: losses 5 and 2 of options 0 and 1 give (5 - 2) / 2 (onehot_0 - onehot_1)."""

    class Coin(Space):
        side: Literal["heads", "tails"]

    made, axes, ran = controller(Coin), Coin.axes(), []

    def loss():
        ran.append(axes.current().side)
        return torch.tensor(5.0 if ran[-1] == "heads" else 2.0, requires_grad=True)

    found = set()
    for _ in range(40):
        value, _ = sampled_loss(made, axes, loss, 0)
        pair = tuple(ran[-2:])
        (gradient,) = torch.autograd.grad(value, made.parameters())
        found.add((pair, value.item(), tuple(gradient.tolist())))
    assert found == {
        (("heads", "heads"), 5.0, (0.0, 0.0)),
        (("tails", "tails"), 2.0, (0.0, 0.0)),
        (("heads", "tails"), 3.5, (1.5, -1.5)),
        (("tails", "heads"), 3.5, (1.5, -1.5)),
    }


class Encoder(Space):
    inner: Literal[16, 8]
    layers: Literal[2, 1]
    neck: Literal[8, 1]


class Encoded(nn.Module):
    """torch's own encoder, whose output passes a neck: one of width 1 cannot tell four targets apart."""

    def __init__(self, inner, layers, neck):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, inner, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.neck, self.out = nn.Linear(8, neck), nn.Linear(neck, 4)

    def forward(self, x):
        return self.out(self.neck(self.encoder(x)))


def batches(number):
    rng = torch.Generator().manual_seed(number)
    return [torch.randn(32, 3, 8, generator=rng) for _ in range(4)]


def reconstruction(model, x):
    return (model(x) - x[..., :4]).square().mean()


def encoder_problem():
    torch.manual_seed(0)
    model = elastify(Encoded, Encoder)
    held_out = lambda epoch: batches(1000 + epoch)  # noqa: E731
    return Problem(model, reconstruction, batches, held_out, {"params": Params(model)})


def test_an_elastified_encoder_is_searched_to_the_planted_choice():
    settings = SearchSettings(steps=120, update_every=1, weight_lr=0.01, architecture_lr=0.1, seed=1)
    result = Reinforce(weight=0.0).search(encoder_problem(), settings)
    assert result.best.neck == 8 and result.probabilities["neck"][0] > 0.9


@pytest.mark.parametrize(
    "search", [Reinforce().search, lambda given, settings: BilevelSearcher(given, settings, relaxation=ScoreFunction())]
)
def test_a_second_order_is_refused(search):
    with pytest.raises(ConfigError, match=r"^order=2 .* samples: order=1 is needed$") as raised:
        search(encoder_problem(), SearchSettings(order=2))
    assert "\n" not in str(raised.value)
