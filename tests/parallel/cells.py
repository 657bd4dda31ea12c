"""Cells of the table of several processes: the same work in one process and in one of N, and what to compare."""

import argparse
import copy
import warnings
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Literal

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard

import elasticnas
import elasticnas.nn as enn
from elasticnas.cost import Flops, Params
from elasticnas.export import to_torch_export
from elasticnas.parallel import full_state_dict
from elasticnas.run import Run
from elasticnas.runtime import SeededRandom
from elasticnas.search import (
    DARTS,
    SPOS,
    DynamicConstraint,
    Evolve,
    Problem,
    ProxylessNAS,
    RandomSearch,
    RecNAS,
    Reinforce,
    ScoreOptions,
    SearchSettings,
    SupernetTrainer,
    TrainerSettings,
)
from elasticnas.study import Study, StudySettings

BATCHES, SAMPLES, STEPS = 6, 16, 12
STRATEGIES = {
    "DARTS": DARTS,
    "DynamicConstraint": DynamicConstraint,
    "straight-through": lambda: DynamicConstraint(relaxation="straight-through"),
    "dual": lambda: DynamicConstraint(penalty="dual"),
    "ProxylessNAS": ProxylessNAS,
    "RecNAS": lambda: RecNAS(rounds=2),
    "Reinforce": Reinforce,
    "SPOS": SPOS,
    "RandomSearch": RandomSearch,
    "ScoreOptions": lambda: ScoreOptions(best=2, held_out=2, corrections=2),
    "NSGA-II": lambda: Evolve("nsga2", trials=5, population=3),
    "local search": lambda: Evolve("local", trials=5, population=3),
}
WRAPPERS = ("ddp", "ddp-unused", "fsdp", "fsdp-blocks", "run-ddp", "run-fsdp")


class Sizes(elasticnas.Space):
    hidden: Literal[32, 16, 8]
    depth: Literal[2, 1]


class Net(nn.Module):
    def __init__(self, sizes, dropout=0.0):
        super().__init__()
        self.blocks = enn.Stack([enn.FeedForward(6, sizes.hidden) for _ in range(2)], sizes.depth)
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.dropout(self.blocks(x)))


class Encoder(elasticnas.Space):
    hidden: Literal[16, 8]
    inner: Literal[32, 16]
    depth: Literal[2, 1]


def build(hidden, inner, depth):
    layer = nn.TransformerEncoderLayer(hidden, 4, inner, batch_first=True, dropout=0.0)
    encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
    return nn.Sequential(nn.Linear(6, hidden), encoder, enn.Linear(hidden, 2))


def network(elastified, dropout=0.0):
    torch.manual_seed(0)
    return elasticnas.elastify(build, Encoder) if elastified else Net(Sizes.axes(), dropout)


def example(elastified):
    return torch.zeros(1, 4, 6) if elastified else torch.zeros(1, 6)


def drawn(epoch, unequal):
    """The global batches of an epoch: of 16 samples for each of two ranks, or of 24 and 8."""
    generator = torch.Generator().manual_seed(epoch)
    inputs = torch.randn(BATCHES, 2 * SAMPLES, 6, generator=generator)
    return inputs, (inputs.prod(-1) > 0).long(), 24 if unequal else SAMPLES


def batches(first, rank=None, unequal=False, elastified=False):
    """Batches of one rank, or of one process that sees those of both."""

    def of(epoch):
        inputs, labels, cut = drawn(first + epoch, unequal)
        part = {None: slice(None), 0: slice(cut), 1: slice(cut, None)}[rank]
        inputs, labels = inputs[:, part], labels[:, part]
        inputs = inputs.unsqueeze(2).repeat(1, 1, 4, 1) if elastified else inputs
        return list(zip(inputs, labels, strict=True))

    return of


def loss(model, batch):
    found = model(batch[0])
    return nn.functional.cross_entropy(found.mean(1) if found.ndim == 3 else found, batch[1])


def weighted(model, batch):
    return loss(model, batch), len(batch[0])


def shared(model, kind):
    if kind == "ddp":
        return nn.parallel.DistributedDataParallel(model)
    if kind == "ddp-unused":
        return nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)
    if kind == "fsdp-blocks":
        for part in [part for part in model.modules() if isinstance(part, enn.FeedForward)]:
            fully_shard(part)
    if kind in ("fsdp", "fsdp-blocks"):
        fully_shard(model)
    return model  # the library wraps it for the others


class Stop(Exception):
    pass


def run_of(kind, folder, resume=False, stop=None):
    def progress(p):
        if stop is not None and p.step == stop:
            raise Stop

    parallel = kind.removeprefix("run-") if kind in ("run-ddp", "run-fsdp") else None
    return Run(folder, resume=resume, progress=progress, parallel=parallel)


def train(kind, rank, folder=None, resume=False, stop=None, **options):
    """Train a supernet; return its weights and losses."""
    elastified, unequal, dropout = (options.pop(name, False) for name in ("elastified", "unequal", "dropout"))
    distilled, validated = options.pop("distilled", False), options.get("validate_every")
    model = shared(network(elastified, 0.3 if dropout else 0.0), kind)
    if dropout:
        torch.manual_seed(7 + (rank or 0))
    problem = Problem(
        model,
        weighted if unequal else loss,
        batches(0, rank, unequal, elastified),
        held_out=batches(1000, rank, unequal, elastified) if validated else None,
        predict=(lambda model, batch: model(batch[0])) if distilled else None,
    )
    settings = {"rule": "sandwich", "random_architectures": 1, "steps": STEPS, "checkpoint_every": 4} | options
    result = SupernetTrainer(problem, TrainerSettings(**settings)).run(run_of(kind, folder, resume, stop))
    figures = [record["loss"] for record in result.history] + [record["mean"] for record in result.validations]
    return {"weights": full_state_dict(model), "figures": figures, "found": None}


def search(kind, rank, name, folder=None, resume=False, stop=None, elastified=False, **options):
    """Search; return weights, probabilities with losses, and the found architecture."""
    unequal = options.pop("unequal", False)
    model = network(elastified)
    cost = Flops(copy.deepcopy(model), example(elastified))
    model = shared(model, kind)
    problem = Problem(
        model,
        weighted if unequal else loss,
        batches(0, rank, unequal, elastified),
        batches(1000, rank, unequal, elastified),
        {"flops": cost},
        budgets={"flops": "75%"},
    )
    settings = SearchSettings(
        **{"steps": 20, "update_every": 2, "architecture_lr": 0.1, "checkpoint_every": 5, "evaluate_every": 10}
        | options
    )
    result = STRATEGIES[name]().search(problem, settings, run_of(kind, folder, resume, stop))
    figures = [p for row in result.probabilities.values() for p in row]
    figures += [record.get("held_out_loss", record.get("metric")) for record in result.history]
    figures += [candidate.metrics["loss"] for candidate in (result.found, result.random, *result.pareto)]
    return {"weights": full_state_dict(model), "figures": figures, "found": result.best.model_dump()}


def extracted(kind, rank, folder=None, elastified=False):
    """Extract, save and load a network of a trained supernet, whose costs are those of the wrapped model."""
    model = shared(network(elastified), kind)
    problem = Problem(model, loss, batches(0, rank, elastified=elastified))
    SupernetTrainer(problem, TrainerSettings(steps=3)).run(run_of(kind, None))
    space = problem.axes.space
    arch = space.smallest()
    plain = elasticnas.extract(model, arch, example(elastified))
    if folder is not None:
        elasticnas.save(plain, arch, folder / f"rank{rank}")
        made = build if elastified else lambda arch: Net(arch)
        plain = elasticnas.load(folder / f"rank{rank}", made)
    costs = [Flops(model, example(elastified))(arch), Params(model)(arch)]
    return {"weights": plain.state_dict(), "figures": costs, "found": None}


def exported(kind, rank, folder=None):
    """Export a network extracted from a trained supernet; return what the exported program computes."""
    model, inputs = shared(network(False), kind), torch.linspace(-1, 1, 18).reshape(3, 6)
    problem = Problem(model, loss, batches(0, rank))
    SupernetTrainer(problem, TrainerSettings(steps=3)).run(run_of(kind, None))
    plain = elasticnas.extract(model, Sizes.smallest(), example(False))
    outputs = plain(inputs)
    if folder is not None:
        path = folder.with_name(f"{folder.name}-{rank}.pt2")
        to_torch_export(plain, inputs, path)
        outputs = torch.export.load(path).module()(inputs)
    return {"weights": {}, "figures": outputs.flatten().tolist(), "found": None}


def studied(kind, rank, folder=None):
    """Run a study of the supernet: search, tuning, and networks from scratch."""

    def evaluate(model):
        return {"loss": sum(float(loss(model, batch)) for batch in batches(1000)(0)) / BATCHES}

    model = shared(network(False), kind)
    problem = Problem(model, loss, batches(0, rank), evaluate=evaluate, metric="loss", direction="minimise")
    settings = StudySettings(steps=4, tune_steps=3, trials=4, population=2, shares=(0.5,), checkpoint_every=100)
    with TemporaryDirectory() as own:
        where = folder or Path(own)

        def scaled(factor):
            return SimpleNamespace(hidden=max(1, int(32 * factor)), depth=2)

        study = Study(problem, Net, scaled, evaluate, example(0), settings)
        result = study.run(run_of(kind, where))
        again = Study(study.problem, Net, scaled, evaluate, example(0), settings).run(Run(where, resume=True))
    assert [row.validation for row in result.rows] == [row.validation for row in again.rows]
    figures = [value for row in result.rows for value in (row.flops, row.validation, row.test)]
    return {"weights": full_state_dict(model), "figures": figures, "found": [row.sizes for row in result.rows]}


def of_its_own(kind, rank):
    """Train one architecture per process; the oracle adds the gradients by hand."""
    steps, rate, rng = 4, 0.05, SeededRandom(0)
    if kind is not None:
        return train(kind, rank, rule="single", steps=steps, weight_lr=rate, per_process=True)
    model, losses = network(False), []
    optimizer, axes = torch.optim.Adam(model.parameters(), rate), Problem(model).axes
    for one, other in zip(batches(0, 0)(0)[:steps], batches(0, 1)(0)[:steps], strict=True):
        optimizer.zero_grad()
        losses.append(0.0)
        for batch in (one, other):
            with axes.at(axes.space.sample(rng)):
                found = loss(model, batch) / 2
            found.backward()
            losses[-1] += float(found)
        optimizer.step()
    return {"weights": model.state_dict(), "figures": losses, "found": None}


def resumed(work, kind, rank, folder, *given, stop=9, **options):
    """Do the same work, interrupted by an exception and resumed."""
    try:
        work(kind, rank, *given, folder=folder, stop=stop, **options)
    except Stop:
        if dist.is_initialized():
            dist.barrier()
        return work(kind, rank, *given, folder=folder, resume=True, **options)
    raise AssertionError("was not interrupted")


def cells(kind="one"):
    """Name and work of every cell of a wrapper: ``work(kind, rank, folder)``; folder is None in the oracle."""
    found = {
        "training, sliced": lambda k, r, f: train(k, r),
        "training, masked": lambda k, r, f: train(k, r, masked=True),
        "training, single path, accumulated, clipped": lambda k, r, f: train(
            k, r, rule="single", accumulate=2, clip_norm=0.5
        ),
        "training, distilled": lambda k, r, f: train(k, r, distilled=True),
        "training, distilled, unequal batches": lambda k, r, f: train(
            k, r, distilled=True, unequal=True, distillation_weight=0.5
        ),
        "training, distilled alone, unequal batches": lambda k, r, f: train(k, r, distilled=True, unequal=True),
        "training, validated": lambda k, r, f: train(k, r, validate_every=5),
        "training, unequal batches with weights": lambda k, r, f: train(k, r, unequal=True, validate_every=6),
        "training, patience": lambda k, r, f: train(k, r, validate_every=2, patience=1, weight_lr=0.3),
        "training, architectures of each process": lambda k, r, f: of_its_own(k, r),
        "training, elastified": lambda k, r, f: train(k, r, elastified=True),
        "training, killed and resumed": lambda k, r, f: resumed(train, k, r, f) if f else train(k, r),
        "networks, extracted, saved and loaded": lambda k, r, f: extracted(k, r, f),
        "networks, elastified, extracted, saved and loaded": lambda k, r, f: extracted(k, r, f, elastified=True),
        "networks, extracted and exported": lambda k, r, f: exported(k, r, f),
        "study": lambda k, r, f: studied(k, r, f),
        "search, elastified, Reinforce": lambda k, r, f: search(k, r, "Reinforce", elastified=True),
        "search, unequal batches with weights": lambda k, r, f: search(k, r, "DARTS", unequal=True),
        "search, killed and resumed": lambda k, r, f: (
            resumed(search, k, r, f, "DynamicConstraint", stop=13) if f else search(k, r, "DynamicConstraint")
        ),
    }
    for name in STRATEGIES:
        found[f"search, {name}"] = lambda k, r, f, name=name: search(k, r, name)
    if "fsdp" in kind:  # refused
        del found["training, architectures of each process"]
    return found


def difference(found, expected):
    """Largest absolute difference of weights and figures; infinite if the architectures differ."""
    if found["found"] != expected["found"] or len(found["figures"]) != len(expected["figures"]):
        return float("inf")
    assert found["weights"].keys() == expected["weights"].keys()
    pairs = [(value, expected["weights"][name]) for name, value in found["weights"].items()]
    pairs.append((torch.tensor(found["figures"]), torch.tensor(expected["figures"])))
    return max(float((one - other).abs().max()) for one, other in pairs)


def compare(kind, folder, chosen):
    """Yield each cell with its largest difference from one process, or its error, on this rank."""
    for number, (name, work) in enumerate(cells(kind).items()):
        if chosen is not None and name not in chosen:
            continue
        expected = torch.load(folder / f"{name}.pt", weights_only=True)
        try:
            found = work(kind, dist.get_rank(), folder / f"{kind}-{number}")
            yield name, difference(found, expected)
        except elasticnas.ElasticNASError as error:
            yield name, f"{type(error).__name__}: {error}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    if given.kind == "one":
        for name, work in cells().items():
            if given.only is None or name in given.only:
                torch.save(work(None, None, None), given.folder / f"{name}.pt")
        return
    dist.init_process_group("gloo", timeout=timedelta(seconds=120))
    found = dict(compare(given.kind, given.folder, given.only))
    torch.save(found, given.folder / f"{given.kind}-rank{dist.get_rank()}.found")
    if dist.get_rank() == 0:
        for name, value in found.items():
            print(f"{given.kind:12} {name:50} {value}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
