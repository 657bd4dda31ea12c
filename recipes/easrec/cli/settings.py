"""``config``: print the settings of a preset."""

from typing import Annotated

import typer

from easrec.presets import load_preset, preset_names
from elasticnas.cli.config import config_group
from elasticnas.cli.options import completing
from elasticnas.settings import as_yaml

__all__ = ["config"]

config = config_group()


@config.command()
def show(
    preset: Annotated[
        str,
        typer.Argument(help=f"Preset: {', '.join(preset_names())}.", autocompletion=completing(preset_names())),
    ] = "default",
) -> None:
    """Print all settings of a preset as YAML, to be saved, changed, and passed to --config."""
    typer.echo(as_yaml(load_preset(preset)), nl=False)
