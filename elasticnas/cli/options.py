"""Options that commands of several recipes share."""

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from elasticnas.errors import ConfigError

__all__ = ["Device", "Out", "Resume", "Seed", "Set", "Threads", "changes_of"]

Out = Annotated[Path, typer.Option(help="Folder of the run.")]
Seed = Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Of everything that draws.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, mps; auto takes what there is.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in the folder.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="A setting by dotted name, such as model.layers=2.")]
Threads = Annotated[int | None, typer.Option(min=1, max=1024, help="CPU threads of torch.")]


def changes_of(given: list[str] | None) -> dict[str, Any]:
    """What ``--set name=value`` asks for, values read as YAML.

    Raises:
        ConfigError: Not of that form.
    """
    changes: dict[str, Any] = {}
    for change in given or []:
        key, equals, value = change.partition("=")
        if not equals:
            raise ConfigError(f"--set {change}: write name=value, such as model.layers=2")
        try:
            changes[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {change}: not a value ({' '.join(str(error).split())})") from None
    return changes
