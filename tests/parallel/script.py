"""A program of a user: trains and searches with the library's own wrapping; started by python, torchrun or accelerate.

It draws one global order of samples and takes its rank's part of each batch. With ``--kill`` one rank dies in the
middle, as of a machine that fails.
"""

import argparse
import os
import signal
from pathlib import Path

import torch
from torch import nn

import elasticnas
from elasticnas.cost import Flops
from elasticnas.parallel import full_state_dict, rank, size
from elasticnas.run import Run
from elasticnas.search import DynamicConstraint, Problem, SearchSettings, SupernetTrainer, TrainerSettings
from tests.parallel.cells import Net, Sizes


def batches(first):
    def of(epoch):
        generator = torch.Generator().manual_seed(first + epoch)
        inputs = torch.randn(6, 48, 6, generator=generator)
        part = slice(rank() * 48 // size(), (rank() + 1) * 48 // size())
        return list(zip(inputs[:, part], (inputs.prod(-1) > 0).long()[:, part], strict=True))

    return of


def loss(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parallel", default="ddp")
    parser.add_argument("--kill", type=int)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--accelerate", action="store_true", help="wrap the models by accelerate")
    parser.add_argument("--dropout", type=float, default=0.0)
    given = parser.parse_args()
    torch.set_default_dtype(torch.float64)

    def progress(p):
        if given.kill == p.step and rank() == size() - 1:
            os.kill(os.getpid(), signal.SIGKILL)

    def run(name):
        return Run(given.folder / name, resume=given.resume, progress=progress, parallel=given.parallel)

    def prepare(model):
        return model

    if given.accelerate:
        from accelerate import Accelerator

        prepare, given.parallel = Accelerator(cpu=True).prepare, None
    torch.manual_seed(0)
    model = Net(Sizes.axes(), given.dropout)
    training = run("training")  # starts the group
    torch.manual_seed(7 + rank())
    trained = SupernetTrainer(
        Problem(prepare(model), loss, batches(0)), TrainerSettings(steps=10, random_architectures=1, checkpoint_every=4)
    ).run(training)
    weights = full_state_dict(model)
    torch.manual_seed(0)
    searched = Net(Sizes.axes())
    cost = Flops(searched, torch.zeros(1, 6))
    problem = Problem(prepare(searched), loss, batches(0), batches(1000), {"flops": cost})
    settings = SearchSettings(steps=12, update_every=2, architecture_lr=0.1, checkpoint_every=5)
    result = DynamicConstraint().search(problem, settings, run("search"))
    plain = elasticnas.extract(searched, result.best, torch.zeros(1, 6))
    if rank() == 0:
        figures = [record["loss"] for record in trained.history]
        figures += [record["held_out_loss"] for record in result.history]
        found = {"weights": weights, "plain": plain.state_dict(), "figures": torch.tensor(figures)}
        torch.save(found | {"found": result.best.model_dump(), "warnings": trained.warnings}, given.folder / "found.pt")
    print(f"rank {rank()} of {size()} found {result.best!r}")


if __name__ == "__main__":
    main()
