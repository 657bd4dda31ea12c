"""The commands of ``elasticnas charlm``: run, config."""

from pathlib import Path
from typing import Annotated

import typer

from elasticnas.cli.config import config_commands
from elasticnas.cli.options import ConfigFile, Device, Out, Resume, Seed, Threads, changes_of, set_option
from elasticnas.report import open_console
from elasticnas.run import Run
from elasticnas.runtime import configure_torch, device_of
from elasticnas.settings import read_config, updated
from elasticnas_recipes.charlm.config import Config
from elasticnas_recipes.charlm.corpus import read_corpus, standard_library
from elasticnas_recipes.charlm.task import study

__all__ = ["commands"]

commands = typer.Typer(no_args_is_help=True)
commands.add_typer(config_commands(Config()), name="config")

Data = Annotated[
    list[Path] | None,
    typer.Option(help="Text file or folder; Python's standard library by default. Repeat the option for several."),
]
Glob = Annotated[
    str | None,
    typer.Option(help="Pattern of the files to read in a folder; *.txt by default, *.py for the standard library."),
]
Set = Annotated[list[str] | None, set_option("length=128")]


@commands.callback()
def group() -> None:
    """A small byte-level language model of text files, searched and compared with uniformly scaled ones."""


@commands.command()
def run(
    data: Data = None,
    glob: Glob = None,
    out: Out = Path("runs/charlm"),
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
    paths, pattern = data or standard_library(), glob or ("*.txt" if data else "*.py")
    console = open_console()
    corpus = read_corpus(paths, pattern, settings.length, settings.most_bytes, settings.study.seed)
    left_out = f", {corpus.skipped:,} left out (not UTF-8, or copies)" if corpus.skipped else ""
    console.print(
        f"{corpus.files:,} files of {', '.join(map(str, paths))}{left_out}: {len(corpus.train):,} bytes to train on",
        highlight=False,
    )
    work, facts = study(settings, corpus, where)
    work.run(Run(out, resume=resume, identity=facts), console)
    for name in ("result.md", "report.html", "pareto.png", "networks"):
        typer.echo(f"{name}: {out / name}")
