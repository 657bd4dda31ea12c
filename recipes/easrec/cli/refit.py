"""``refit``: train the found network on all interactions before serving it."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from easrec.cli.folder import config_of, data_of
from easrec.refit import refit as refit_to
from easrec.steering import recommending
from elasticnas.cli.options import Device, Out, Resume, Threads, path_option
from elasticnas.runtime import configure_torch, device_of

__all__ = ["refit"]


def refit(
    out: Out = Path("runs/easrec"),
    to: Annotated[
        Path | None, path_option(help="Folder to write, for recommend --out; default: refit in the run's folder.")
    ] = None,
    device: Device = "auto",
    resume: Resume = False,
    threads: Threads = None,
) -> None:
    """Train the found network on all interactions, validation and test targets included, before serving it.

    Its metrics cannot be measured on these data; those of the run, in result.md, are the estimate.
    """
    configure_torch(threads)
    to = out / "refit" if to is None else to
    data, config = data_of(out), config_of(out)
    epochs = refit_to(data, config, out, to, device_of(device), resume)
    typer.echo(f"model:  {to / 'model'}, trained on all interactions for {epochs} epochs, the best of the run")
    typer.echo("metrics cannot be measured on these data, as no target was left out; see those of the run in result.md")
    typer.echo(f"next:   {shlex.join([*recommending(config, to), '--users', 'all', '--to', 'recommendations.csv'])}")
