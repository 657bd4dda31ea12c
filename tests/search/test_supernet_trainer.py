"""SupernetTrainer: rules, distillation, exact resume, errors."""

import copy
from typing import Literal

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

import elasticnas.nn as enn
from elasticnas import Space, elastify
from elasticnas.errors import CheckpointError, SearchError
from elasticnas.run import Run
from elasticnas.search import Problem, SupernetTrainer, TrainerSettings


class Sizes(Space):
    hidden: Literal[32, 16, 8]
    depth: Literal[2, 1]


class Net(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.inp = enn.Linear(4, sizes.hidden)
        self.blocks = enn.Stack([enn.FeedForward(sizes.hidden, 16, dropout=0.1) for _ in range(2)], sizes.depth)
        self.out = enn.Linear(sizes.hidden, 3)

    def forward(self, x):
        return self.out(self.blocks(torch.relu(self.inp(x))))


def plain(hidden, depth):
    layers = [nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU()) for _ in range(depth)]
    return nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Sequential(*layers), nn.Linear(hidden, 3))


def batches(epoch):
    x = torch.randn(8, 32, 4, generator=torch.Generator().manual_seed(epoch))
    return list(zip(x, (x.prod(-1) > 0).long() + (x[..., 0] > 1).long(), strict=True))


def predict(model, batch):
    return model(batch[0])


def loss(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def supernet(kind="primitives"):
    torch.manual_seed(0)
    return Net(Sizes.axes()) if kind == "primitives" else elastify(plain, Sizes)


def trainer(model, loss=loss, predict=None, distillation=None, optimizer=None, **changes):
    given = Problem(model, loss, batches, predict=predict)
    return SupernetTrainer(
        given,
        TrainerSettings(**{"steps": 20, "weight_lr": 0.01, "checkpoint_every": 5, **changes}),
        distillation=distillation,
        optimizer=optimizer,
    )


def losses(model):
    from elasticnas import axes_of

    found = {}
    model.eval()
    for arch in Sizes.enumerate():
        with axes_of(model).at(arch), torch.no_grad():
            found[arch] = sum(loss(model, batch).item() for batch in batches(99)) / 8
    return found


@pytest.mark.parametrize("kind", ["primitives", "elastified"])
@pytest.mark.parametrize("rule", ["sandwich", "random", "single"])
def test_every_sub_network_learns(kind, rule):
    model = supernet(kind)
    before = losses(model)
    result = trainer(model, steps=150, rule=rule).run()
    after = losses(model)
    assert all(after[arch] < 0.93 * before[arch] for arch in before)
    assert result.steps == len(result.history) == 150
    assert (result.history[0]["others"] is None) == (rule == "single")


def test_a_step_of_the_sandwich_is_the_mean_gradient_of_its_architectures():
    model = supernet("elastified")
    reference = copy.deepcopy(model)
    work = trainer(model, steps=1, random_architectures=2, optimizer=lambda w: torch.optim.SGD(w, 0.1))
    drawn = []
    work._draw_architectures = lambda drawn_before=work._draw_architectures: drawn.extend(drawn_before()) or drawn
    work.run()
    assert drawn[:2] == [Sizes.largest(), Sizes.smallest()] and len(drawn) == 4
    batch = batches(0)[0]
    for arch in drawn:
        with reference.at(arch):
            (loss(reference, batch) / 4).backward()
    for trained, parameter in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(trained, parameter - 0.1 * parameter.grad)


def test_others_learn_from_the_largest():
    """With targets of noise, only what the largest says can be learned by the others."""
    model = supernet("elastified")
    seen = []

    def distillation(student, teacher):
        seen.append(teacher)
        assert not teacher.requires_grad and student.requires_grad
        return (student - teacher).square().mean()

    trainer(model, predict=predict, distillation=distillation, steps=2).run()
    assert len(seen) == 2 * 3
    assert all(torch.equal(seen[0], other) for other in seen[1:3]) and not torch.equal(seen[0], seen[3])
    model = supernet("elastified")
    result = trainer(model, predict=predict, steps=200).run()
    with torch.no_grad():
        x = batches(7)[0][0]
        largest = model(x).softmax(-1)
        with model.at(Sizes.smallest()):
            gap = (model(x).softmax(-1) - largest).abs().mean().item()
    assert gap < 0.12
    assert result.history[-1]["others"] < result.history[0]["others"]


@pytest.mark.parametrize("kind", ["primitives", "elastified"])
def test_a_killed_run_goes_on_to_the_same_weights(tmp_path, kind):
    whole = supernet(kind)
    changes = {"predict": predict, "schedule": "cosine", "warmup_steps": 3}
    expected = trainer(whole, **changes).run()
    for killed_at in (3, 5, 12):
        folder = tmp_path / str(killed_at)

        def stop(progress, killed_at=killed_at):
            if progress.step == killed_at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            trainer(supernet(kind), **changes).run(Run(folder, progress=stop))
        model = supernet(kind)
        torch.manual_seed(123)  # whatever the new process has drawn
        if killed_at < 5:
            torch.manual_seed(0)
            model = supernet(kind)
        result = trainer(model, **changes).run(Run(folder, resume=True))
        assert result.history == expected.history
        assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), model.parameters(), strict=True))


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    trainer(supernet()).run(Run(tmp_path))
    with pytest.raises(CheckpointError, match=r"belongs to another run, settings\.rule was 'sandwich', is 'single'"):
        trainer(supernet(), rule="single").run(Run(tmp_path, resume=True))


def test_schedule_and_progress():
    seen = []
    work = trainer(supernet(), steps=10, schedule="cosine", warmup_steps=4, weight_lr=0.4)
    result = work.run(Run(progress=seen.append))
    rates = [record["learning_rate"] for record in result.history]
    assert rates[:4] == pytest.approx([0.1, 0.2, 0.3, 0.4]) and rates[4] == pytest.approx(0.4)
    assert rates[4:] == sorted(rates[4:], reverse=True) and rates[-1] < 0.05
    assert [p.step for p in seen] == list(range(1, 11)) and seen[-1].seconds_left == 0 < seen[0].seconds_left


def test_a_compiled_supernet_trains_masked_in_one_graph():
    torch._dynamo.reset()
    counted = CompileCounterWithBackend("aot_eager")
    runs = {}
    for masked, form in ((True, lambda m: torch.compile(m, backend=counted, fullgraph=True)), (False, lambda m: m)):
        model = supernet()
        for layer in model.blocks.layers:
            layer.dropout = 0.0  # draws differ between shapes
        result = trainer(form(model), steps=8, masked=masked).run()
        runs[masked] = [value for record in result.history for value in (record["loss"], record["others"])]
    assert counted.frame_count == 1
    assert runs[True] == pytest.approx(runs[False], rel=1e-4)
    torch._dynamo.reset()


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_gradients_that_are_not_finite_reach_neither_weights_nor_checkpoint(tmp_path, clip_norm):
    steps = []

    def root(model, batch):
        steps.append(1)
        found = loss(model, batch)
        # finite, with an infinite slope, from the eighth step on
        return found + (model.out.bias[0] - model.out.bias[0].detach()).square().sqrt() if len(steps) > 28 else found

    model, changes = supernet(), {"checkpoint_every": 1, "clip_norm": clip_norm}
    with pytest.raises(SearchError, match=r"^the gradients have the norm nan at step 7 although the losses are"):
        trainer(model, root, **changes).run(Run(tmp_path))
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    result = trainer(supernet(), **changes).run(Run(tmp_path, resume=True))
    assert result.steps == 20 and [record["step"] for record in result.history] == list(range(1, 21))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda found: found.item(), r"^the loss is float [0-9.]+; loss and distillation return a scalar tensor"),
        (lambda found: found.detach(), r"the loss is a tensor of shape \(\) without a gradient; "),
        (lambda found: found[None], r"the loss is a tensor of shape \(1,\); "),
        (lambda found: None, "the loss is NoneType None; "),
    ],
)
def test_a_loss_that_is_no_scalar_with_a_gradient_is_refused(wrong, message):
    with pytest.raises(SearchError, match=message):
        trainer(supernet(), lambda model, batch: wrong(loss(model, batch))).run()


def squares(student, teacher):
    return (student - teacher).square().mean()


def test_a_checkpoint_of_another_distillation_is_refused(tmp_path):
    trainer(supernet(), predict=predict).run(Run(tmp_path))
    with pytest.raises(CheckpointError, match=r"distilled was '.*soft_cross_entropy', is '.*squares'"):
        trainer(supernet(), predict=predict, distillation=squares).run(Run(tmp_path, resume=True))


def test_a_loss_that_is_not_finite_names_the_architecture():
    def broken(model, batch):
        found = loss(model, batch)
        return found * float("nan") if model.inp(batch[0]).shape[-1] == 8 else found

    with pytest.raises(
        SearchError, match=r"^the loss of Sizes\(hidden=8, depth=1\) is nan at step 0: lower the learning"
    ):
        trainer(supernet(), broken).run()


def test_distillation_needs_the_sandwich():
    with pytest.raises(SearchError, match="predict distils from the largest, which rule='single' does not run"):
        trainer(supernet(), predict=predict, rule="single")
    for parameter in (model := supernet()).parameters():
        parameter.requires_grad_(False)
    with pytest.raises(SearchError, match="Net has no weights to train"):
        trainer(model)
