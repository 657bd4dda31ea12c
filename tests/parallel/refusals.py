"""What two processes refuse: each entry raises one line on every rank; run by test_refusals.py under torchrun."""

import sys
import warnings
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.parallel import DistributedDataParallel

from elasticnas.cost import Flops, Latency
from elasticnas.errors import ConfigError, ElasticNASError
from elasticnas.parallel import wrap
from elasticnas.run import Run
from elasticnas.search import (
    DARTS,
    BilevelSearcher,
    Evolve,
    Problem,
    RandomSearch,
    SearchSettings,
    SupernetTrainer,
    TrainerSettings,
)
from tests.parallel.cells import Net, Sizes, batches, example, loss, network


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.net = nn.Linear(6, 6), nn.BatchNorm1d(6), Net(Sizes.axes())

    def forward(self, x):
        return self.net(self.norm(self.first(x)))


class Frozen(nn.Module):
    """Has a part of its own besides the net, which alone is sharded."""

    def __init__(self):
        super().__init__()
        self.first, self.net = nn.Linear(6, 6), Net(Sizes.axes())

    def forward(self, x):
        return self.net(self.first(x))


def problem(model, rank, costs=True, loss=loss, train=None):
    plain = model.module if isinstance(model, DistributedDataParallel) else model
    given = {"flops": Flops(plain, example(False))} if costs is True else costs
    return Problem(model, loss, train or batches(0, rank), batches(1000, rank), given)


def train(model, rank, run=None, **options):
    given = {"costs": None} | {name: options.pop(name) for name in ("loss", "train") if name in options}
    SupernetTrainer(problem(model, rank, **given), TrainerSettings(**{"steps": 3} | options)).run(run)


def search(model, rank, strategy=None, costs=True, run=None, **options):
    settings = SearchSettings(**{"steps": 4, "warmup_steps": 0, "update_every": 1} | options)
    (strategy or DARTS()).search(problem(model, rank, costs), settings, run)


def compiled(rank):
    model = network(False)
    model.head.compile()
    train(wrap(model, "ddp"), rank)


def partly_sharded(rank):
    model = Frozen()
    fully_shard(model.net)
    train(model, rank)


def sharded_too_late(rank):
    model = network(False)
    trainer = SupernetTrainer(problem(model, rank, None), TrainerSettings(steps=3))
    fully_shard(model)
    trainer.run()


def in_part(rank):
    model = network(False)
    model.head = DistributedDataParallel(model.head)
    train(wrap(model, "ddp"), rank)


def latency(rank):
    model = network(False)
    search(wrap(model, "ddp"), rank, costs={"latency": Latency(model, example(False))})


def other_settings(rank):
    train(wrap(network(False), "ddp"), rank, weight_lr=0.1 + rank)


def other_logits(rank):
    """One rank changes an architecture parameter in the middle of a search."""
    settings = SearchSettings(steps=6, warmup_steps=0, update_every=1)
    searcher = BilevelSearcher(problem(wrap(network(False), "ddp"), rank), settings)

    def change(p):
        if rank == 1 and p.step == 2:
            searcher.controller.parameters()[0].data[0] += 0.5

    searcher.run(Run(progress=change))


def round_the_wrapper(rank):
    """The loss calls the model that DDP wraps, so that no gradient is averaged."""
    train(wrap(network(False), "ddp"), rank, loss=lambda model, batch: loss(model.module, batch))


def round_the_wrapper_in_a_search(rank):
    plain = network(False)
    given = problem(wrap(plain, "ddp"), rank, loss=lambda model, batch: loss(plain, batch))
    DARTS().search(given, SearchSettings(steps=4, warmup_steps=0, update_every=1))


def other_data(rank):
    """The identities of the caller differ, such as fingerprints of the data."""
    train(wrap(network(False), "ddp"), rank, Run(identity={"data": rank}))


def other_metrics(rank):
    """Each rank evaluates its own data, which evaluate does not combine."""
    model = wrap(network(False), "ddp")
    given = problem(model, rank)
    own = Problem(
        model,
        loss,
        given.train,
        given.held_out,
        given.costs,
        evaluate=lambda model: {"rank": rank},
        metric="rank",
        direction="minimise",
    )
    Evolve("random", trials=2).search(own)


def unequal_held_out(rank):
    model = wrap(network(False), "fsdp")
    fewer = batches(1000, rank)(0)[: 2 + rank]
    Evolve("random", trials=2).search(
        Problem(model, loss, batches(0, rank), fewer, {"flops": Flops(Net(Sizes.axes()), example(False))})
    )


def no_weight(rank):
    train(wrap(network(False), "ddp"), rank, loss=lambda model, batch: (loss(model, batch), 0.0))


def without_sharded_step(rank):
    given = problem(wrap(network(False), "fsdp"), rank, None)
    SupernetTrainer(given, TrainerSettings(steps=3), optimizer=lambda weights: torch.optim.Adafactor(weights)).run()


def replaced_kind(rank):
    train(wrap(network(False), "ddp"), rank, Run(parallel="fsdp"))


def equal_batches(rank):
    """Is no error, but a warning on every rank."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(wrap(network(False), "ddp"), rank, train=batches(0))
    raise ConfigError(" | ".join(str(each.message) for each in caught if "same batch" in str(each.message)))


REFUSED = {
    "a plain model, trained": lambda r: train(network(False), r),
    "a plain model, searched": lambda r: search(network(False), r),
    "a plain model, RandomSearch": lambda r: search(network(False), r, RandomSearch()),
    "a plain model, evolved": lambda r: Evolve("random", trials=2).search(problem(network(False), r)),
    "order=2": lambda r: search(wrap(network(False), "ddp"), r, order=2),
    "Latency": latency,
    "compiled": compiled,
    "BatchNorm": lambda r: train(wrap(Normed(), "ddp"), r),
    "FSDP1": lambda r: train(FullyShardedDataParallel(network(False), device_id=torch.device("cpu")), r),
    "a part in DDP": in_part,
    "partly sharded": partly_sharded,
    "sharded after the trainer was made": sharded_too_late,
    "a storage": lambda r: Evolve(storage="runs/x.journal", trials=2).search(
        problem(wrap(network(False), "ddp"), r), None, None
    ),
    "wrapped otherwise": replaced_kind,
    "other settings on a rank": other_settings,
    "other logits on a rank": other_logits,
    "other data on a rank": other_data,
    "a loss that goes round DDP": round_the_wrapper,
    "a loss that goes round DDP, searched": round_the_wrapper_in_a_search,
    "other metrics on a rank": other_metrics,
    "unequal held-out batches, sharded": unequal_held_out,
    "weights of sum 0": no_weight,
    "architectures per process, sharded": lambda r: train(wrap(network(False), "fsdp"), r, per_process=True),
    "equal batches, a warning": equal_batches,
    "Adafactor, sharded": without_sharded_step,
}


def refusal(work, rank):
    try:
        work(rank)
    except ElasticNASError as error:
        return f"{type(error).__name__}: {error}"
    except Exception as error:  # the test shows it
        return f"NOT A REFUSAL {type(error).__name__}: {error}"
    return "not refused"


def main():
    torch.set_default_dtype(torch.float64)
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    rank, found = dist.get_rank(), {}
    for name, work in REFUSED.items():
        found[name] = refusal(work, rank)
        dist.barrier()
    torch.save(found, Path(sys.argv[1]) / f"refused-{rank}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
