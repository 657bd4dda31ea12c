"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Any

import typer

from easrec.config import Config
from easrec.data import FORMATS
from easrec.presets import load_preset, preset_names
from elasticnas.cli.options import changes_of, completing, read_config, set_option
from elasticnas.settings import updated

__all__ = [
    "Budget",
    "Data",
    "Features",
    "Format",
    "Item",
    "Items",
    "MinItem",
    "MinUser",
    "Preset",
    "Separator",
    "Set",
    "Time",
    "User",
    "settings_of",
]

Data = Annotated[
    Path | None, typer.Option(help="File of interactions. Only the preset demo needs none: it generates its own.")
]
Preset = Annotated[
    str,
    typer.Option(
        help=f"Settings to start from: {', '.join(preset_names())}.", autocompletion=completing(preset_names())
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(help="Largest FLOPs: '50%' of those of the largest network, a number such as 2M, or 'none'."),
]
Set = Annotated[list[str] | None, set_option("model.layers=2")]
User = Annotated[str | None, typer.Option(help="Column of the user ids.")]
Item = Annotated[str | None, typer.Option(help="Column of the item ids, also in the file of items.")]
Time = Annotated[str | None, typer.Option(help="Column of the time. Without one, the order of the rows counts.")]
Format = Annotated[
    str,
    typer.Option(
        help=f"Format of the interactions: auto, {', '.join(FORMATS)}.",
        autocompletion=completing(["auto", *FORMATS]),
    ),
]
Items = Annotated[
    Path | None, typer.Option(help="File of the items and their features: CSV, TSV, Parquet, or movies.dat.")
]
Features = Annotated[
    list[str] | None, typer.Option(help="Column of features in the file of items. Repeat the option for several.")
]
Separator = Annotated[str, typer.Option(help="Separator between features within a cell.")]
MinUser = Annotated[
    int | None, typer.Option(min=0, help="Drop users with fewer interactions (k-core filter, with --min-item).")
]
MinItem = Annotated[
    int | None, typer.Option(min=0, help="Drop items with fewer interactions (k-core filter, with --min-user).")
]


def settings_of(
    preset: str, file: Path | None, budget: str | None, seed: int | None, changes: list[str] | None
) -> Config:
    """The settings of a run: the preset, changed by the file, changed by the options.

    Raises:
        ConfigError: An unknown preset or setting, or a value that is not allowed; one of the file's names the file.
    """
    given: dict[str, Any] = changes_of(changes)
    if budget is not None:
        given["search.budget"] = budget
    if seed is not None:
        given["seed"] = seed
    return updated(read_config(load_preset(preset), file), given)
