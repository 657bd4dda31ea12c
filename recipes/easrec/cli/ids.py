"""``ids``: list the user and item ids of a run."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from easrec.cli.folder import data_of, recommender_of
from elasticnas.cli.options import Out
from elasticnas.errors import escaped

__all__ = ["ids"]


def ids(
    kind: Annotated[Literal["users", "items"], typer.Argument(help="Which ids.")] = "users",
    out: Out = Path("runs/easrec"),
) -> None:
    """List the user or item ids of a run, one per line; a terminal shows control characters escaped."""
    known = data_of(out).user_ids if kind == "users" else recommender_of(out).item_ids[1:]
    whole = not sys.stdout.isatty()
    for name in known:
        # an id with a line break is no line, so that it is escaped in a file, too
        typer.echo(name if whole and len(name.splitlines()) == 1 else escaped(name), color=True)
