"""Command-line options that several recipes share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from elasticnas.errors import ConfigError
from elasticnas.plain_yaml import parse_yaml

__all__ = [
    "ConfigFile",
    "Device",
    "Out",
    "Resume",
    "Seed",
    "Threads",
    "changes_of",
    "completing",
    "path_option",
    "set_option",
]


_SHOWN = 80  # characters of a value in an error


def completing(names: Sequence[str]) -> Callable[[], list[str]]:
    """Return a function for ``autocompletion`` of an option, which lists these names."""
    return lambda: list(names)


def path_option(*names: str, help: str) -> Any:
    """Return an option for a file or folder to write; its name must be printable, as it is printed."""
    return _path_option(names, help, "a name is needed, without control characters")


def _path_option(names: Sequence[str], help: str, rule: str) -> Any:
    def parsed(given: str | Path) -> Path:
        # empty text, such as an unset variable, would be the current folder
        if not str(given).strip() or not str(given).isprintable():
            raise typer.BadParameter(rule)
        return Path(given)

    return typer.Option(*names, parser=parsed, metavar="<path>", help=help)


Out = Annotated[Path, _path_option((), "Folder of the run.", "a folder is needed; write . for the current one")]
Seed = Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Random seed.")]
Device = Annotated[
    str,
    typer.Option(
        help="Device: cpu, cuda, mps, or auto for the fastest available.",
        autocompletion=completing(["auto", "cpu", "cuda", "mps"]),
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Resume the run in the folder.")]
Threads = Annotated[int | None, typer.Option(min=1, max=1024, help="Number of CPU threads.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="YAML file of settings that change the preset, as config show prints; other options, such as --set, "
        "override the file.",
    ),
]


def set_option(example: str) -> Any:
    """Return the option ``--set``; its help shows the example, a setting of the recipe."""
    return typer.Option(
        "--set", help=f"Change a setting, such as {example}; config show lists all. Repeat for several."
    )


def changes_of(given: list[str] | None) -> dict[str, Any]:
    """Parse ``--set name=value`` options; values are read as YAML.

    Raises:
        ConfigError: An option has another form, or its value is not YAML.
    """
    changes: dict[str, Any] = {}
    for change in given or []:
        key, equals, value = change.partition("=")
        if not equals:
            raise ConfigError(f"--set {change}: write name=value; the command config show lists the names")
        try:
            changes[key] = parse_yaml(value)
        except ValueError as error:
            raise ConfigError(f"--set {key}={value[:_SHOWN]}: not a value ({error})") from None
    return changes
