"""Options shared by several commands."""

from pathlib import Path
from typing import Annotated

import typer

from easrec.data import FORMATS
from easrec.presets import preset_names
from elasticnas.cli.options import completing, set_option

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
