"""``elasticnas charlm``: run."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from elasticnas.cli.options import Device, Out, Resume, Seed, Set, Threads, changes_of
from elasticnas.run import Run
from elasticnas.runtime import configure_torch, device_of
from elasticnas.settings import updated
from elasticnas_recipes.charlm.config import Config
from elasticnas_recipes.charlm.corpus import read_corpus, standard_library
from elasticnas_recipes.charlm.task import study

__all__ = ["commands"]

commands = typer.Typer(no_args_is_help=True)

Data = Annotated[
    list[Path] | None,
    typer.Option(help="Text file or folder; may be given several times. Without one, Python's standard library."),
]
Glob = Annotated[str | None, typer.Option(help="Which files of a folder; *.txt, or *.py of the standard library.")]


@commands.callback()
def group() -> None:
    """A small language model of bytes on text files."""


@commands.command()
def run(
    data: Data = None,
    glob: Glob = None,
    out: Out = Path("runs/charlm"),
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
    paths, pattern = data or standard_library(), glob or ("*.txt" if data else "*.py")
    console = Console(width=None if Console().is_terminal else 120)
    corpus = read_corpus(paths, pattern, config.length, config.most_bytes, config.study.seed)
    left_out = f", {corpus.skipped:,} left out (no UTF-8 text, or copies)" if corpus.skipped else ""
    console.print(
        f"{corpus.files:,} files of {', '.join(map(str, paths))}{left_out}: {len(corpus.train):,} bytes to train on",
        highlight=False,
    )
    work, facts = study(config, corpus, where)
    work.run(Run(out, resume=resume, identity=facts), console)
    for name in ("result.md", "report.html", "pareto.png", "networks"):
        typer.echo(f"{name}: {out / name}")
