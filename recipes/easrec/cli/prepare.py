"""``prepare`` and ``download``: prepare interactions, download datasets."""

import time as clock
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from easrec.cli.options import MinItem, MinUser, takes_source
from easrec.config import Config
from easrec.data import Split
from easrec.data.download import SOURCES
from easrec.data.download import download as download_source
from easrec.presets import load_preset, preset_names
from easrec.source import Source, show_statistics
from elasticnas.cli.options import completing, path_option
from elasticnas.errors import ConfigError
from elasticnas.report import Stage, open_console

__all__ = ["download", "prepare"]


@takes_source
def prepare(
    source: Source,
    out: Annotated[Path, path_option(help="Output file, .npz, for --data of other commands.")] = Path("data.npz"),
    preset: Annotated[
        str | None,
        typer.Option(
            help=f"Preset to take --min-user and --min-item from: {', '.join(preset_names())}.",
            autocompletion=completing(preset_names()),
        ),
    ] = None,
    min_user: MinUser = None,
    min_item: MinItem = None,
) -> None:
    """Read, filter, sort and split interactions once, with features of the items if given; show their statistics."""
    if out.suffix != ".npz":
        raise ConfigError(f"--out {out}: the prepared data is one .npz file")
    if source.data is None:
        raise ConfigError("--data is missing: which file of interactions?")
    config = Config() if preset is None else load_preset(preset)
    least_user = config.min_user if min_user is None else min_user
    least_item = config.min_item if min_item is None else min_item
    found = source.read(least_user, least_item)
    found.save(out)
    show_statistics(found, Split(found), open_console())
    typer.echo(f"prepared: {out}")


def download(
    name: Annotated[str, typer.Argument(help=f"Dataset: {', '.join(SOURCES)}.", autocompletion=completing([*SOURCES]))],
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("data"),
) -> None:
    """Download a public dataset and check it against its published checksum."""
    if name not in SOURCES:
        raise ConfigError(f"no dataset {name!r}; choose one of {', '.join(SOURCES)}")
    source, started = SOURCES[name], clock.monotonic()
    with Stage(Console(), f"download {name}") as stage:

        def show(done: int, total: int | None) -> None:
            left = 0.0 if not total else (clock.monotonic() - started) * (total - done) / max(1, done)
            stage.update(done / total if total else 0.0, f"{done / 1e6:.0f} MB", left)

        path = download_source(source, out, show)
    typer.echo(source.terms)
    typer.echo(f"next: elasticnas easrec run --data {path} --preset {name} --out runs/{name}")
