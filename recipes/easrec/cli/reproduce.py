"""``reproduce``: run the paper's experiment."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from easrec.cli.options import MinItem, MinUser, Set, takes_source
from easrec.config import Config
from easrec.data import Split
from easrec.reproduce import SCALES, TABLES, set_by_methods
from easrec.reproduce import reproduce as run_and_write
from easrec.source import Source, show_statistics
from elasticnas.cli.options import ConfigFile, Device, Out, changes_of, completing
from elasticnas.errors import ConfigError
from elasticnas.runtime import device_of
from elasticnas.settings import differences, read_changes, read_config

__all__ = ["reproduce"]

_PIPE_WIDTH = 160  # the paper's tables have up to fifteen columns


@takes_source
def reproduce(
    source: Source,
    table: Annotated[
        str,
        typer.Option(
            help=f"Table of the paper: {', '.join(TABLES)}, or all.", autocompletion=completing([*TABLES, "all"])
        ),
    ] = "3",
    seeds: Annotated[int, typer.Option(min=1, max=1_000, help="Number of seeds, from 0.")] = 5,
    scale: Annotated[
        str,
        typer.Option(
            help=f"Sizes of networks and lengths of training: {', '.join(SCALES)}.",
            autocompletion=completing([*SCALES]),
        ),
    ] = "full",
    jobs: Annotated[int, typer.Option(min=1, max=1_024, help="Number of runs in parallel.")] = 1,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Run this method, or METHOD/SEED, only. Repeat the option for several."),
    ] = None,
    tables_only: Annotated[
        bool, typer.Option("--tables-only", help="Run nothing; write the tables of the finished runs.")
    ] = False,
    device: Device = "auto",
    out: Out = Path("runs/reproduce"),
    config: ConfigFile = None,
    set: Set = None,
    min_user: MinUser = None,
    min_item: MinItem = None,
    threads: Annotated[int, typer.Option(min=1, max=1_024, help="Number of CPU threads of each run.")] = 1,
) -> None:
    """Run the paper's experiment: every method and seed, then tables and plots.

    Run the same command again to resume.
    """
    if source.data is None:
        raise ConfigError("--data is missing: which file of interactions, or prepared data?")
    console, where = Console(width=None if Console().is_terminal else _PIPE_WIDTH), device_of(device)
    changes = _changes_in(config) | changes_of(set)
    changes |= {key: value for key, value in (("min_user", min_user), ("min_item", min_item)) if value is not None}
    prepared = source.load("", Config().updated(changes), console)
    show_statistics(prepared, Split(prepared), console)
    failed = run_and_write(
        prepared, table, seeds, scale, jobs, threads, where, out, changes, only or (), not tables_only, console
    )
    if (out / "README.md").exists():
        typer.echo(f"page: {out / 'README.md'}")
    if failed:
        raise ConfigError(f"{len(failed)} of the runs failed: {', '.join(cell.name for cell in failed)}")


def _changes_in(file: Path | None) -> dict[str, Any]:
    """Read the settings in a file, without those that the methods set, which must have their default values.

    Raises:
        ConfigError: The file cannot be read, or changes a setting that the methods set.
    """
    if file is None:
        return {}
    changed, fixed = differences(read_config(Config(), file)), set_by_methods()
    for name in changed:
        if name in fixed:
            raise ConfigError(
                f"--config {file}: {name} differs between the methods, so it cannot be set for all; remove it"
            )
    return {name: value for name, value in read_changes(file, Config()).items() if name not in fixed}
