"""A supernet trained by masks and by slices gets the same weights."""

import copy
import random
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import nn

import elasticnas.nn as enn
from elasticnas import Space, axes_of
from elasticnas.run import Run
from elasticnas.search import Problem, SupernetTrainer, TrainerSettings


class Sizes(Space):
    hidden: Literal[8, 6, 4]
    inner: Literal[7, 3]
    depth: Literal[3, 2, 1, 0]
    run: bool
    first: bool
    kind: Literal["flat", "deep"]


class Net(nn.Module):
    """Depth by prefix, by choice and by skipping, branches, and an input of fixed width."""

    def __init__(self, sizes):
        super().__init__()
        self.enter, self.leave = enn.Linear(4, sizes.hidden), enn.Linear(sizes.hidden, 1)
        self.scale = enn.Parameter(sizes.hidden, std=1.0)
        self.stack = enn.Stack([enn.FeedForward(sizes.hidden, sizes.inner) for _ in range(3)], sizes.depth)
        self.chosen = enn.Stack([enn.Linear(sizes.hidden, sizes.hidden) for _ in range(2)], [sizes.first, True])
        self.skip = enn.DepthSkip(enn.FeedForward(sizes.hidden, sizes.inner, gated=True), sizes.run)
        branches = {"flat": enn.Linear(sizes.hidden, sizes.hidden), "deep": enn.FeedForward(sizes.hidden, sizes.inner)}
        self.mixture = enn.Mixture(branches, sizes.kind)
        self.norm = enn.LayerNorm(sizes.hidden)

    def forward(self, x):
        x = self.enter(x)
        x = x * enn.align(self.scale, x)
        return self.leave(self.norm(self.mixture(self.skip(self.chosen(self.stack(x))))))


def batches(epoch):
    x = torch.randn(10, 16, 4, generator=torch.Generator().manual_seed(epoch), dtype=torch.float64)
    return list(zip(x, x.prod(-1, keepdim=True).tanh(), strict=True))


def loss(model, batch):
    return F.mse_loss(model(batch[0]), batch[1])


def supernet(build=None, space=Sizes):
    torch.manual_seed(0)
    return (build or Net)(space.axes()).double()


def trained(masked, rule, optimizer=None, build=None, space=Sizes, **changes):
    model = supernet(build, space)
    settings = TrainerSettings(**{"steps": 40, "rule": rule, "masked": masked, "weight_lr": 0.01, "seed": 3, **changes})
    trainer = SupernetTrainer(Problem(model, loss, batches), settings, optimizer=optimizer)
    history = trainer.run().history
    return model, history, trainer


def assert_same_weights(one, other):
    for (name, a), b in zip(one.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}")


OPTIMIZERS = {
    "the default": None,
    "Adam": lambda w: torch.optim.Adam(w, lr=0.01, betas=(0.5, 0.9)),
    "AMSGrad": lambda w: torch.optim.Adam(w, lr=0.01, amsgrad=True),
    "AdamW with decay": lambda w: torch.optim.AdamW(w, lr=0.01, weight_decay=0.1),
    "momentum": lambda w: torch.optim.SGD(w, lr=0.01, momentum=0.9),
    "Nesterov": lambda w: torch.optim.SGD(w, lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.01),
    "RMSprop": lambda w: torch.optim.RMSprop(w, lr=0.01, momentum=0.5),
    "Adagrad": lambda w: torch.optim.Adagrad(w, lr=0.02),
    "SGD": lambda w: torch.optim.SGD(w, lr=0.02),
}


RULES = [
    *((name, "single") for name in OPTIMIZERS),
    *((name, rule) for name in ("the default", "momentum") for rule in ("random", "sandwich")),
]


@pytest.mark.parametrize(("name", "rule"), RULES)
def test_masked_and_sliced_training_give_the_same_weights(name, rule):
    (sliced, first, _), (masked, second, _) = (trained(form, rule, OPTIMIZERS[name]) for form in (False, True))
    assert_same_weights(sliced, masked)
    assert [step["loss"] for step in first] == pytest.approx([step["loss"] for step in second], rel=1e-9)
    assert not torch.equal(supernet().enter.weight, sliced.enter.weight)


@pytest.mark.parametrize(
    "changes", [{"clip_norm": 0.05}, {"schedule": "cosine", "warmup_steps": 5}, {"random_architectures": 1}], ids=str
)
def test_other_settings_change_nothing_about_that(changes):
    runs = [trained(form, "random", **changes)[0] for form in (False, True)]
    assert_same_weights(*runs)


def test_a_step_is_adam_on_the_gradients_of_slices():
    """The trainer written out: one architecture a step, Adam's formula, and nothing moves that did not run."""
    model = supernet()
    weights, rng, axes = list(model.parameters()), random.Random(3), axes_of(model)
    state = [[torch.zeros_like(w), torch.zeros_like(w), 0] for w in weights]
    for step in range(30):
        arch = Sizes.sample(rng)
        for weight in weights:
            weight.grad = None
        with axes.at(arch):
            loss(model, batches(step // 10)[step % 10]).backward()
        with torch.no_grad():
            for weight, each in zip(weights, state, strict=True):
                if weight.grad is None:
                    continue
                each[2] += 1
                each[0].mul_(0.9).add_(weight.grad, alpha=0.1)
                each[1].mul_(0.999).add_(weight.grad.square(), alpha=0.001)
                corrected = each[0] / (1 - 0.9 ** each[2])
                weight -= 0.01 * corrected / ((each[1] / (1 - 0.999 ** each[2])).sqrt() + 1e-8)
    for masked in (False, True):
        found, _, trainer = trained(masked, "single", steps=30)
        assert_same_weights(model, found)
        moments = trainer._descent.optimizer.state
        steps = [int(moments[w]["step"]) if moments[w] else 0 for w in found.parameters()]
        assert steps == [each[2] for each in state] and min(steps) < 30 == max(steps)


class FewLayers(Space):
    hidden: Literal[6, 4]
    depth: Literal[4, 3, 2, 1]

    @model_validator(mode="after")
    def check_depth(self):
        if self.hidden == 6 and self.depth > 2:
            raise ValueError("wide ones are shallow")
        return self


class Layers(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.enter, self.leave = enn.Linear(4, sizes.hidden), enn.Linear(sizes.hidden, 1)
        self.stack = enn.Stack([enn.Linear(sizes.hidden, sizes.hidden) for _ in range(4)], sizes.depth)

    def forward(self, x):
        return self.leave(torch.tanh(self.stack(self.enter(x))))


@pytest.mark.parametrize("rule", ["single", "random", "sandwich"])
def test_layers_of_unequal_depth_under_a_rule(rule):
    runs = [trained(form, rule, build=Layers, space=FewLayers, steps=80)[0] for form in (False, True)]
    assert_same_weights(*runs)


class Shared(nn.Module):
    """Weights that one part leaves out and another runs."""

    def __init__(self, sizes):
        super().__init__()
        self.enter, self.leave = enn.Linear(4, sizes.hidden), enn.Linear(sizes.hidden, 1)
        layers = [enn.Linear(sizes.hidden, sizes.hidden) for _ in range(4)]
        self.stack = enn.Stack(layers, sizes.depth)
        self.last = layers[3]
        tied = enn.Linear(sizes.hidden, sizes.hidden)
        tied.weight = layers[2].weight
        self.tied = tied

    def forward(self, x):
        return self.leave(torch.tanh(self.tied(self.last(self.stack(self.enter(x))))))


def test_a_layer_that_runs_elsewhere_is_not_idle():
    runs = [trained(form, "single", build=Shared, space=FewLayers, steps=80)[0] for form in (False, True)]
    assert_same_weights(*runs)
    model = runs[0]
    with axes_of(model).at(FewLayers(hidden=4, depth=1)):
        assert enn.idle_parameters(model) == {
            model.stack.layers[1].weight,
            model.stack.layers[1].bias,
            model.stack.layers[2].bias,
        }


class Repeated(nn.Module):
    """Two layers in turn: the ones beyond the depth also run before it."""

    def __init__(self, sizes):
        super().__init__()
        self.enter, self.leave = enn.Linear(4, sizes.hidden), enn.Linear(sizes.hidden, 1)
        one, other = (enn.Linear(sizes.hidden, sizes.hidden) for _ in range(2))
        self.stack = enn.Stack([one, other, one, other], sizes.depth)

    def forward(self, x):
        return self.leave(torch.tanh(self.stack(self.enter(x))))


class Nested(nn.Module):
    """A Stack in a DepthSkip in a Mixture, whose layer may be idle for three reasons."""

    def __init__(self, sizes):
        super().__init__()
        self.enter, self.leave = enn.Linear(4, sizes.hidden), enn.Linear(sizes.hidden, 1)
        layers = [enn.FeedForward(sizes.hidden, sizes.inner) for _ in range(3)]
        self.inside = enn.Stack(layers, sizes.depth)
        self.skip = enn.DepthSkip(nn.Sequential(self.inside, nn.Tanh()), sizes.run)
        self.mixture = enn.Mixture({"flat": nn.Tanh(), "deep": self.skip}, sizes.kind)
        self.chosen = enn.DepthSkip(enn.Linear(sizes.hidden, sizes.hidden), sizes.first)
        del self.inside, self.skip

    def forward(self, x):
        return self.leave(self.chosen(self.mixture(self.enter(x))))


def test_idle_inside_idle():
    runs = [trained(form, "single", build=Nested, steps=80)[0] for form in (False, True)]
    assert_same_weights(*runs)


def by_gradients(model, arch):
    """The parameters that an ordinary backward pass of slices leaves without a gradient."""
    model.zero_grad(set_to_none=True)
    with axes_of(model).at(arch):
        loss(model, batches(0)[0]).backward()
    return {name for name, parameter in model.named_parameters() if parameter.grad is None}


@pytest.mark.parametrize(
    ("build", "space"),
    [(Net, Sizes), (Layers, FewLayers), (Shared, FewLayers), (Repeated, FewLayers), (Nested, Sizes)],
)
def test_idle_parameters_are_those_without_a_gradient(build, space):
    model = supernet(build, space)
    names = {parameter: name for name, parameter in model.named_parameters()}
    rng = random.Random(0)
    for arch in [space.largest(), space.smallest(), *(space.sample(rng) for _ in range(20))]:
        with axes_of(model).at(arch):
            idle = {names[parameter] for parameter in enn.idle_parameters(model)}
        assert idle == by_gradients(model, arch)


class Frozen(Net):
    def __init__(self, sizes):
        super().__init__(sizes)
        self.enter.weight.requires_grad_(False)
        self.stack.layers[0].requires_grad_(False)


def test_frozen_weights_stay_and_the_rest_is_the_same():
    runs = [trained(form, "random", build=Frozen)[0] for form in (False, True)]
    assert_same_weights(*runs)
    assert torch.equal(runs[1].enter.weight, supernet(Frozen).enter.weight)


def test_distillation_of_the_sandwich():
    models = []
    for masked in (False, True):
        model = supernet()
        settings = TrainerSettings(steps=30, masked=masked, weight_lr=0.01, distillation_weight=0.5)
        given = Problem(model, loss, batches, predict=lambda m, batch: m(batch[0]))
        SupernetTrainer(given, settings, distillation=F.mse_loss).run()
        models.append(model)
    assert_same_weights(*models)


@pytest.mark.parametrize("masked", [False, True])
def test_a_masked_run_that_is_resumed_ends_with_the_same_weights(tmp_path, masked):
    whole, _, _ = trained(masked, "single", steps=20)
    settings = TrainerSettings(steps=20, rule="single", masked=masked, weight_lr=0.01, seed=3, checkpoint_every=7)

    def stop(progress):
        if progress.step == 14:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SupernetTrainer(Problem(supernet(), loss, batches), settings).run(Run(tmp_path, progress=stop))
    model = supernet()
    SupernetTrainer(Problem(model, loss, batches), settings).run(Run(tmp_path, resume=True))
    assert_same_weights(whole, model)


class Ignored(Net):
    """Some weights run in no architecture, and one layer runs only where a forward of one's own says so."""

    def __init__(self, sizes):
        super().__init__(sizes)
        self.unused, self.run = enn.Linear(sizes.hidden, 3), sizes.run
        self.optional = enn.Linear(sizes.hidden, sizes.hidden)


def test_weights_that_no_forward_uses_stay():
    runs = [trained(form, "single", build=Ignored, steps=20)[0] for form in (False, True)]
    assert_same_weights(*runs)
    assert torch.equal(runs[1].unused.weight, supernet(Ignored).unused.weight)


class UsesOne(nn.Module):
    """A layer that a candidate refers to beside its own place."""

    def __init__(self, sizes):
        super().__init__()
        self.enter, self.leave = enn.Linear(4, sizes.hidden), enn.Linear(sizes.hidden, 1)
        self.stack = enn.Stack([enn.Linear(sizes.hidden, sizes.hidden) for _ in range(4)], sizes.depth)

    def forward(self, x):
        x = self.stack(self.enter(x))
        return self.leave(torch.tanh(self.stack.layers[3](x)))


def test_a_layer_beyond_the_depth_that_the_forward_calls_itself():
    runs = [trained(form, "single", build=UsesOne, space=FewLayers, steps=40)[0] for form in (False, True)]
    assert_same_weights(*runs)


def test_copies_train_alike():
    """Nothing of a run stays in the axes that another model follows too."""
    model = supernet()
    again = copy.deepcopy(model)
    for each, masked in ((model, True), (again, False)):
        settings = TrainerSettings(steps=20, rule="single", masked=masked, weight_lr=0.01, seed=3)
        SupernetTrainer(Problem(each, loss, batches), settings).run()
    assert_same_weights(model, again)


class HeldOutside(nn.Module):
    """A weight that only a skipped layer uses, held beside it."""

    def __init__(self, sizes):
        super().__init__()
        self.enter, self.leave = enn.Linear(4, sizes.hidden), enn.Linear(sizes.hidden, 1)
        self.beside = enn.Linear(sizes.hidden, sizes.hidden)
        self.stack = enn.Stack([Adds() for _ in range(4)], sizes.depth)

    def forward(self, x):
        x = self.enter(x)
        return self.leave(self.stack(x, self.beside(x)))


class Adds(nn.Module):
    def forward(self, x, other):
        return x + torch.tanh(other)


def test_what_a_skipped_layer_uses_and_does_not_hold_is_moved_by_momentum():
    """The one exception: nothing tells a mask scope that the weight is used by nobody else."""

    class MayBeEmpty(FewLayers):
        depth: Literal[0, 4]

    sliced, masked = (
        trained(form, "single", build=HeldOutside, space=MayBeEmpty, steps=20)[0] for form in (False, True)
    )
    assert not torch.allclose(sliced.beside.weight, masked.beside.weight)
