"""``ids``: list the user and item ids of a run."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from easrec.cli.folder import data_of, recommender_of
from elasticnas.cli.options import Out

__all__ = ["ids"]


def ids(
    kind: Annotated[Literal["users", "items"], typer.Argument(help="Which ids.")] = "users",
    out: Out = Path("runs/easrec"),
) -> None:
    """List the user or item ids of a run, one per line."""
    known = data_of(out).user_ids if kind == "users" else recommender_of(out).item_ids[1:]
    for name in known:
        typer.echo(name)
