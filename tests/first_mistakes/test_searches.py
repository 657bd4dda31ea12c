"""Problems, settings, strategies and optimizers of a wrong kind."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from elasticnas.run import Run
from elasticnas.search import (
    DARTS,
    SPOS,
    BilevelSearcher,
    Evolve,
    ProxylessNAS,
    RandomSearch,
    SearchSettings,
    SupernetTrainer,
    TrainerSettings,
)
from elasticnas.study import StudySettings
from tests.first_mistakes.model import Net, flops, loader, loss, model, problem, refused, searching, training


def train(**changes):
    SupernetTrainer(problem(**changes), training).run()


def once_only():
    batches = iter(loader)
    return lambda epoch: batches


def evaluated(evaluate, **changes):
    parts = {"metric": "accuracy", "direction": "maximise", **changes}
    DARTS().search(problem(evaluate=evaluate, **parts), searching)


def optimized(optimizer):
    SupernetTrainer(problem(), training, optimizer=optimizer).run()


def limited(limit):
    DARTS().search(problem(budgets={"flops": limit}), searching)


CASES = [
    (
        (
            "SupernetTrainer.__init__() takes from 2 to 3 positional arguments but 5 were given: write "
            "SupernetTrainer(Problem(model, loss, train), TrainerSettings(steps=1000)).run()"
        ),
        lambda: SupernetTrainer(model, loss, loader, training),
    ),
    (
        "SupernetTrainer takes a Problem, got Net: give Problem(model, loss, train)",
        lambda: SupernetTrainer(model, training),
    ),
    (
        "SupernetTrainer takes a TrainerSettings, got SearchSettings: give TrainerSettings(steps=1000, ...)",
        lambda: SupernetTrainer(problem(), searching),
    ),
    (
        (
            "SupernetTrainer.__init__() got an unexpected keyword argument 'steps': write "
            "SupernetTrainer(Problem(model, loss, train), TrainerSettings(steps=1000)).run()"
        ),
        lambda: SupernetTrainer(problem(), steps=5),
    ),
    (
        "run='runs/x': give Run('runs/x'), or Run('runs/x', resume=True) to continue what it holds",
        lambda: SupernetTrainer(problem(), training).run("runs/x"),
    ),
    (
        "BilevelSearcher takes a Problem, got Net: give Problem(model, loss, train, held_out, costs)",
        lambda: BilevelSearcher(model),
    ),
    (
        "Problem takes a Module, got the class Net: give the supernet, such as Net(Space.axes())",
        lambda: problem(model=Net),
    ),
    (
        (
            "Linear has no elastic size: build it with axes, Net(Space.axes()), or make it elastic by "
            "elasticnas.elastify(build, Space)"
        ),
        lambda: DARTS().search(problem(model=nn.Linear(6, 1))),
    ),
    (
        (
            "loss=CrossEntropyLoss() takes predictions and targets: loss(model, batch) is needed, such as lambda "
            "model, batch: CrossEntropyLoss()(model(batch[0]), batch[1])"
        ),
        lambda: problem(loss=nn.CrossEntropyLoss()),
    ),
    (
        (
            "loss=MSELoss() takes predictions and targets: loss(model, batch) is needed, such as lambda model, "
            "batch: MSELoss()(model(batch[0]), batch[1])"
        ),
        lambda: problem(loss=nn.MSELoss),
    ),
    (
        (
            "loss=mse_loss takes predictions and targets: loss(model, batch) is needed, such as lambda model, "
            "batch: mse_loss(model(batch[0]), batch[1])"
        ),
        lambda: problem(loss=F.mse_loss),
    ),
    (
        "loss(batch) cannot be called as loss(model, batch): give a function of these arguments",
        lambda: problem(loss=lambda batch: 0),
    ),
    ("loss=0.5: a function is needed, loss(model, batch)", lambda: problem(loss=0.5)),
    (
        (
            "the loss is a tensor of shape (4, 1); loss and distillation return a scalar tensor that depends on "
            "the weights"
        ),
        lambda: train(loss=lambda model, batch: model(batch[0])),
    ),
    (
        "the loss is float 0.5; loss and distillation return a scalar tensor that depends on the weights",
        lambda: train(loss=lambda model, batch: 0.5),
    ),
    (
        "the loss is NoneType None; loss and distillation return a scalar tensor that depends on the weights",
        lambda: train(loss=lambda model, batch: None),
    ),
    (
        (
            "the loss is a tensor of shape () without a gradient; loss and distillation return a scalar tensor "
            "that depends on the weights"
        ),
        lambda: train(loss=lambda model, batch: loss(model, batch).detach()),
    ),
    (
        "loss returns a tensor of shape (4, 1) on a held-out batch: a scalar tensor is needed",
        lambda: Evolve("random", 2).search(problem(loss=lambda model, batch: model(batch[0]))),
    ),
    (
        (
            "train: give a DataLoader, a list of batches, or a function from the number of an epoch to its "
            "batches; received list_iterator, which can be read only once: give list(batches), or lambda epoch: "
            "... that makes new ones"
        ),
        lambda: train(train=iter([1])),
    ),
    (
        (
            "train: give a DataLoader, a list of batches, or a function from the number of an epoch to its "
            "batches; received generator, which can be read only once: give list(batches), or lambda epoch: ... "
            "that makes new ones"
        ),
        lambda: train(train=(batch for batch in loader)),
    ),
    (
        (
            "train: give a DataLoader, a list of batches, or a function from the number of an epoch to its "
            "batches; received Tensor: give its batches, such as list(tensor.split(32))"
        ),
        lambda: train(train=torch.zeros(4, 6)),
    ),
    (
        (
            "train: give a DataLoader, a list of batches, or a function from the number of an epoch to its "
            "batches; received TensorDataset: give DataLoader(dataset, batch_size=32)"
        ),
        lambda: train(train=loader.dataset),
    ),
    (
        (
            "train: give a DataLoader, a list of batches, or a function from the number of an epoch to its "
            "batches; received function that does not take the number: write lambda epoch: ..."
        ),
        lambda: train(train=lambda: loader),
    ),
    ("train: epoch 0 has no batch", lambda: train(train=[])),
    (
        "train: the function returned None for epoch 0; return an iterable of batches",
        lambda: train(train=lambda epoch: None),
    ),
    (
        ("SupernetTrainer needs Problem(train=...): batches to train on: a DataLoader, a list, or epoch -> batches"),
        lambda: train(train=None),
    ),
    (
        "train: epoch 1 has no batch; make new batches for each epoch: an iterator is read only once",
        lambda: SupernetTrainer(problem(train=once_only()), TrainerSettings(steps=9)).run(),
    ),
    (
        "darts needs Problem(held_out=...): batches that training does not see, given like train",
        lambda: DARTS().search(problem(held_out=None)),
    ),
    (
        'darts needs Problem(costs=...): costs by name, such as {"flops": Flops(model, example)}',
        lambda: DARTS().search(problem(costs=None)),
    ),
    (
        'metric=\'accuracy\' without a direction: give direction="maximise" or direction="minimise"',
        lambda: problem(metric="accuracy"),
    ),
    (
        'direction=\'max\': give direction="maximise" or direction="minimise"',
        lambda: problem(evaluate=lambda model: {}, metric="accuracy", direction="max"),
    ),
    (
        (
            'evaluate without a metric: give the name that it returns, metric="...", and direction="maximise" or '
            'direction="minimise"'
        ),
        lambda: problem(evaluate=lambda model: {}),
    ),
    (
        "metric=<built-in function len>: the name of what evaluate returns is needed",
        lambda: problem(evaluate=lambda model: {}, metric=len, direction="maximise"),
    ),
    (
        "evaluate(model, batch) cannot be called as evaluate(model): give a function of these arguments",
        lambda: problem(evaluate=lambda model, batch: {}, metric="accuracy", direction="maximise"),
    ),
    (
        "predict(model) cannot be called as predict(model, batch): give a function of these arguments",
        lambda: problem(predict=lambda model: 0),
    ),
    (
        "evaluate returns float 0.5; a mapping from names to numbers is needed, such as {'accuracy': 0.5}",
        lambda: evaluated(lambda model: 0.5),
    ),
    (
        "evaluate returns NoneType None; a mapping from names to numbers is needed, such as {'accuracy': 0.5}",
        lambda: evaluated(lambda model: None),
    ),
    (
        "metric 'accuracy' is not among what evaluate returns: ['acuracy']",
        lambda: evaluated(lambda model: {"acuracy": 0.5}),
    ),
    (
        "evaluate returns accuracy=tensor([1., 1.]); a metric is a number",
        lambda: evaluated(lambda model: {"accuracy": torch.ones(2)}),
    ),
    (
        "darts.search takes a Problem, got Net: give Problem(model, loss, train, held_out, costs)",
        lambda: DARTS().search(model),
    ),
    (
        "evolve.search takes a Problem, got Net: give Problem(model, loss, train, held_out, costs)",
        lambda: Evolve().search(model),
    ),
    (
        "spos.search takes a SearchSettings, got TrainerSettings: give SearchSettings(steps=1000, ...)",
        lambda: SPOS().search(problem(), training),
    ),
    (
        "random.search takes a SearchSettings, got dict: give SearchSettings(steps=1000, ...)",
        lambda: RandomSearch().search(problem(), {"steps": 5}),
    ),
    (
        "run='runs/x': give Run('runs/x'), or Run('runs/x', resume=True) to continue what it holds",
        lambda: DARTS().search(problem(), searching, "runs/x"),
    ),
    (
        "search was called on a class: make the strategy first, such as DARTS().search(problem)",
        lambda: DARTS.search(problem(), searching),
    ),
    (
        ("ProxylessNAS.__init__() got an unexpected keyword argument 'lambda_': write ProxylessNAS(weight=0.1)"),
        lambda: ProxylessNAS(lambda_=0.1),
    ),
    (
        "search was called on a class: make the strategy first, such as DARTS().search(problem)",
        lambda: DARTS.search(problem()),
    ),
    (
        (
            "GradientStrategy.search() missing 1 required positional argument: 'problem': write "
            "strategy.search(problem, settings, run)"
        ),
        lambda: DARTS().search(),
    ),
    (
        "search was called on a class: make the strategy first, such as DARTS().search(problem)",
        lambda: Evolve.search(problem(), searching),
    ),
    (
        (
            "Strategy.__init__() takes 1 positional argument but 3 were given: write DARTS().search(problem, "
            "settings): what is searched is given to search"
        ),
        lambda: DARTS(problem(), searching),
    ),
    ("method='nsga': choose 'nsga2', 'local' or 'random'", lambda: Evolve("nsga")),
    ("trials='5': an integer of at least 1 is needed", lambda: Evolve(trials="5")),
    ("trials=5.5: an integer of at least 1 is needed", lambda: Evolve(trials=5.5)),
    ("population=1: an integer of at least 2 is needed", lambda: Evolve(population=1)),
    (
        "storage=5: a path, a URL or an Optuna storage is needed, such as 'runs/search.journal'",
        lambda: Evolve(storage=5),
    ),
    (
        (
            "storage='sqlite:///search.db': SQLite does not allow concurrent writers; give the path of a journal file, "
            "such as 'runs/search.journal', or the URL of another database"
        ),
        lambda: Evolve(storage="sqlite:///search.db"),
    ),
    (
        (
            "Evolve.__init__() got an unexpected keyword argument 'generations': write Evolve(method='nsga2', "
            "trials=100, population=20, storage=None, study='elasticnas')"
        ),
        lambda: Evolve(generations=5),
    ),
    ("folder=5: a path is needed, or None to keep nothing", lambda: Run(5)),
    (
        ("Run.__init__() takes from 1 to 2 positional arguments but 3 were given: write Run('runs/name', resume=True)"),
        lambda: Run("runs/x", True),
    ),
    ("SearchSettings: steps: Input should be greater than or equal to 1 (got 0)", lambda: SearchSettings(steps=0)),
    (
        ("SearchSettings: steps: Input should be a valid integer, got a number with a fractional part (got 1.5)"),
        lambda: SearchSettings(steps=1.5),
    ),
    ("SearchSettings: stps: unknown, did you mean 'steps'? (got 5)", lambda: SearchSettings(stps=5)),
    (
        "SearchSettings: lr: unknown, did you mean 'architecture_lr' or 'weight_lr'? (got 0.1)",
        lambda: SearchSettings(lr=0.1),
    ),
    (
        (
            "TrainerSettings: epochs: unknown; known are accumulate, checkpoint_every, clip_norm, "
            "distillation_weight, masked, patience, per_process, random_architectures, rule, schedule, seed, steps, "
            "validate_every, validated_architectures, warmup_steps, weight_lr (got 5)"
        ),
        lambda: TrainerSettings(epochs=5),
    ),
    (
        ("SearchSettings(5): fields are given by name, SearchSettings(steps=..., weight_lr=..., clip_norm=..., ...)"),
        lambda: SearchSettings(5),
    ),
    (
        "TrainerSettings: rule: Input should be 'sandwich', 'random' or 'single' (got 'sandwhich')",
        lambda: TrainerSettings(rule="sandwhich"),
    ),
    ("StudySettings: seeds: unknown, did you mean 'seed' or 'steps'? (got 5)", lambda: StudySettings(seeds=5)),
    (
        (
            "budget 50 (50 FLOPs) is below the smallest reachable cost, 108 FLOPs (27.27% of the largest) with "
            "Sizes(hidden=4, depth=1); for that share of the largest write '50%'"
        ),
        lambda: limited(50),
    ),
    (
        (
            "budget 0.5 (0.5 FLOPs) is below the smallest reachable cost, 108 FLOPs (27.27% of the largest) with "
            "Sizes(hidden=4, depth=1); for that share of the largest write '50%'"
        ),
        lambda: limited(0.5),
    ),
    (
        (
            "budget 1 (1 FLOPs) is below the smallest reachable cost, 108 FLOPs (27.27% of the largest) with "
            "Sizes(hidden=4, depth=1); for that share of the largest write '100%'"
        ),
        lambda: limited(1),
    ),
    (
        (
            "budget 1% (3.96 FLOPs) is below the smallest reachable cost, 108 FLOPs (27.27% of the largest) with "
            "Sizes(hidden=4, depth=1)"
        ),
        lambda: limited("1%"),
    ),
    ("budget 150%: a percentage over 0% and up to 100% of the largest architecture's cost", lambda: limited("150%")),
    (
        (
            "budget 'half' is not understood: write '50%' (of the largest architecture's FLOPs), a number of "
            "FLOPs such as 1500000 or '1.5e6', or one with k, M, G or T such as '2M'"
        ),
        lambda: limited("half"),
    ),
    ("budgets['flop']: no cost has this name, did you mean 'flops'?", lambda: problem(budgets={"flop": "50%"})),
    (
        'budgets=\'50%\': limits by the name of a cost are needed, such as {"flops": "50%"}',
        lambda: problem(budgets="50%"),
    ),
    (
        ("costs=Flops(Net, Sizes, unit='FLOPs'): costs by name are needed, such as {\"flops\": Flops(model, example)}"),
        lambda: problem(costs=flops),
    ),
    (
        (
            "costs=[Flops(Net, Sizes, unit='FLOPs')]: costs by name are needed, such as {\"flops\": Flops(model, "
            "example)}"
        ),
        lambda: problem(costs=[flops]),
    ),
    (
        (
            "costs={'flops': <class 'elasticnas.cost.flops.Flops'>}: costs by name are needed, such as {\"flops\": "
            "Flops(model, example)}"
        ),
        lambda: problem(costs={"flops": type(flops)}),
    ),
    (
        (
            "optimizer makes LBFGS, whose step() needs a closure: give one that steps on gradients, such as "
            "lambda weights: torch.optim.SGD(weights, lr=0.1)"
        ),
        lambda: optimized(torch.optim.LBFGS),
    ),
    (
        (
            "optimizer is SGD: a function from weights to an optimizer is needed, such as lambda weights: "
            "torch.optim.SGD(weights, lr=0.1)"
        ),
        lambda: optimized(torch.optim.SGD(model.parameters(), lr=0.1)),
    ),
    (
        (
            "optimizer is str: a function from weights to an optimizer is needed, such as lambda weights: "
            "torch.optim.SGD(weights, lr=0.1)"
        ),
        lambda: optimized("adam"),
    ),
    (
        "optimizer() cannot be called as optimizer(weights): give a function of these arguments",
        lambda: optimized(lambda: None),
    ),
    (
        (
            "optimizer makes NoneType: a function from weights to an optimizer is needed, such as lambda "
            "weights: torch.optim.SGD(weights, lr=0.1)"
        ),
        lambda: optimized(lambda weights: None),
    ),
    (
        (
            "optimizer has none of the model's weights: make it of the weights given, such as lambda weights: "
            "torch.optim.SGD(weights, lr=0.1)"
        ),
        lambda: optimized(lambda weights: torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)),
    ),
]


@pytest.mark.parametrize(("line", "call"), CASES)
def test_a_wrong_argument_says_what_is_needed(line, call):
    refused(line, call)
