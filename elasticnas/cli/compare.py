"""``elasticnas compare``: strategies against random search and uniformly scaled networks, over seeds."""

from pathlib import Path
from typing import Annotated

import typer

from elasticnas.cli.options import Device, Out

__all__ = ["compare"]

Plan = Annotated[Path, typer.Argument(help="YAML file of the plan; docs/compare.md describes it.")]
OnlySeed = Annotated[
    list[int] | None, typer.Option("--seed", help="Only this seed of the plan. Repeat the option for several.")
]
OnlyEntrant = Annotated[
    list[str] | None,
    typer.Option("--entrant", help="Only this strategy or baseline. Repeat the option for several."),
]
Jobs = Annotated[int, typer.Option(min=1, max=1024, help="Seeds that run in parallel, each in a process.")]
Threads = Annotated[int, typer.Option(min=1, max=1024, help="CPU threads of each process.")]
PageOnly = Annotated[bool, typer.Option("--page", help="Run nothing: write the page anew from what is there.")]


def compare(
    plan: Plan,
    out: Out = Path("runs/compare"),
    seed: OnlySeed = None,
    entrant: OnlyEntrant = None,
    jobs: Jobs = 1,
    threads: Threads = 1,
    device: Device = "auto",
    page: PageOnly = False,
) -> None:
    """Compare search strategies with random search and uniformly scaled networks at equal total work, over seeds.

    Every finished network is a file in the folder: the same command goes on with the missing ones.
    """
    # typer builds every command to show help, and these import torch
    from elasticnas.contest import Contest, read_plan
    from elasticnas.contest.runner import run_seeds, write_result
    from elasticnas.contest.seed import run_seed
    from elasticnas.errors import ConfigError, ElasticNASError
    from elasticnas.report import open_console
    from elasticnas.runtime import configure_torch, device_of

    read, console = read_plan(plan), open_console()
    seeds = list(read.seeds) if seed is None else list(dict.fromkeys(seed))
    if unknown := [each for each in seeds if each not in read.seeds]:
        raise ConfigError(f"--seed {unknown[0]}: the seeds of {plan} are {', '.join(map(str, read.seeds))}")
    contest = Contest(read, out)
    names = contest.names if entrant is None else list(dict.fromkeys(entrant))
    if unknown_names := [each for each in names if each not in contest.names]:
        raise ConfigError(f"--entrant {unknown_names[0]}: the entrants of {plan} are: {', '.join(contest.names)}")
    failed: dict[int, str] = {}
    if not page and jobs == 1:
        configure_torch(threads)
        for each in seeds:
            if each in contest.missing(names):
                run_seed(contest, each, device_of(device), console, names)
    elif not page:
        failed = run_seeds(contest, plan, seeds, names, jobs, threads, device, console)
        contest = Contest(read, out)
    for line in write_result(contest):
        console.print(line, highlight=False, markup=False)
    for name in ("result.md", "result.json"):
        typer.echo(f"{name}: {out / name}")
    if failed:
        raise ElasticNASError(f"{len(failed)} seeds failed, such as seed {min(failed)}: {failed[min(failed)]}")
