"""``config``: print the settings of a preset."""

from typing import Annotated

import typer

from easrec.config import Config
from easrec.presets import load_preset, preset_names
from elasticnas.cli.config import config_group
from elasticnas.cli.options import completing
from elasticnas.settings import as_yaml

__all__ = ["config"]

_METRIC = "early_stopping_metric"

config = config_group()


@config.command()
def show(
    preset: Annotated[
        str,
        typer.Argument(help=f"Preset: {', '.join(preset_names())}.", autocompletion=completing(preset_names())),
    ] = "default",
) -> None:
    """Print all settings of a preset as YAML, to be saved, changed, and passed to --config."""
    typer.echo(_shown(load_preset(preset)), nl=False)


def _shown(settings: Config) -> str:
    """Return settings as YAML; a metric that the preset leaves open is ``auto``, so that it stays open."""
    if _METRIC in settings.model_fields_set:
        return as_yaml(settings)
    return as_yaml(settings).replace(f"\n{_METRIC}: {settings.early_stopping_metric}", f"\n{_METRIC}: auto")
