"""The group of commands ``config``, which every recipe with settings has."""

import typer
from pydantic import BaseModel

from elasticnas.settings import as_yaml

__all__ = ["config_commands", "config_group"]

_HELP = "Settings as a YAML file for --config."


def config_group() -> typer.Typer:
    """Return the group without commands, for a recipe whose ``show`` has arguments."""
    group = typer.Typer(no_args_is_help=True, help=_HELP)
    group.callback(help=_HELP)(_no_options)
    return group


def config_commands(settings: BaseModel) -> typer.Typer:
    """Return the group with ``show``, which prints these settings."""
    group = config_group()

    def show() -> None:
        """Print all settings as YAML, to be saved, changed, and passed to --config."""
        typer.echo(as_yaml(settings), nl=False)

    group.command()(show)
    return group


def _no_options() -> None:
    # with a callback, typer keeps a single command a command of the group
    pass
