"""``elasticnas digits``: run."""

from pathlib import Path

import typer
from rich.console import Console

from elasticnas.cli.options import Device, Out, Resume, Seed, Set, Threads, changes_of
from elasticnas.run import Run
from elasticnas.runtime import configure_torch, device_of
from elasticnas.settings import updated
from elasticnas_recipes.digits.config import Config
from elasticnas_recipes.digits.task import study

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
    work, facts = study(config, where)
    work.run(Run(out, resume=resume, identity=facts), console)
    for name in ("result.md", "report.html", "pareto.png", "networks"):
        typer.echo(f"{name}: {out / name}")
