"""The commands of ``elasticnas digits``: run, config."""

from pathlib import Path
from typing import Annotated

import typer

from elasticnas.cli.config import config_commands
from elasticnas.cli.options import ConfigFile, Device, Out, Resume, Seed, Threads, changes_of, set_option
from elasticnas.report import open_console
from elasticnas.run import Run
from elasticnas.runtime import configure_torch, device_of
from elasticnas.settings import read_config, updated
from elasticnas_recipes.digits.config import Config
from elasticnas_recipes.digits.task import study

__all__ = ["commands"]

commands = typer.Typer(no_args_is_help=True)
commands.add_typer(config_commands(Config()), name="config")

Set = Annotated[list[str] | None, set_option("study.steps=500")]


@commands.callback()
def group() -> None:
    """A small vision transformer on handwritten digits, searched and compared with uniformly scaled ones."""


@commands.command()
def run(
    out: Out = Path("runs/digits"),
    seed: Seed = None,
    device: Device = "auto",
    threads: Threads = None,
    resume: Resume = False,
    config: ConfigFile = None,
    set: Set = None,
) -> None:
    """Train a supernet, search it, extract networks, and compare them with uniformly scaled ones."""
    configure_torch(threads)
    changes = changes_of(set) | ({} if seed is None else {"study.seed": seed})
    settings, where = updated(read_config(Config(), config), changes), device_of(device)
    console = open_console()
    work, facts = study(settings, where)
    work.run(Run(out, resume=resume, identity=facts), console)
    for name in ("result.md", "report.html", "pareto.png", "networks"):
        typer.echo(f"{name}: {out / name}")
