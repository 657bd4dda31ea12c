"""``elasticnas digits``: run."""

from pathlib import Path

import torch
import typer
from rich.console import Console

from digits.config import Config
from digits.model import supernet
from digits.task import task
from elasticnas.cli.options import Device, Out, Resume, Seed, Set, Threads, changes_of
from elasticnas.runtime import configure_torch, device_of
from elasticnas.settings import updated
from elasticnas.study import Study

__all__ = ["commands"]

commands = typer.Typer(no_args_is_help=True)


@commands.callback()
def group() -> None:
    """A small vision transformer on scikit-learn's handwritten digits."""


@commands.command()
def run(
    out: Out = Path("runs/digits"),
    seed: Seed = None,
    device: Device = "auto",
    threads: Threads = None,
    resume: Resume = False,
    set: Set = None,
) -> None:
    """Train the supernet, search it, take networks out, compare them with uniformly scaled ones."""
    configure_torch(threads)
    changes = changes_of(set) | ({} if seed is None else {"study.seed": seed})
    config, where = updated(Config(), changes), device_of(device)
    console = Console(width=None if Console().is_terminal else 120)
    problem = task(config, where)
    torch.manual_seed(config.study.seed)
    Study(problem, supernet().to(where), config.study, out, console, resume).run()
    for name in ("result.md", "pareto.png", "networks"):
        typer.echo(f"{name}: {out / name}")
