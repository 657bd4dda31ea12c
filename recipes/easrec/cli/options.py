"""Options shared by several commands."""

from pathlib import Path
from typing import Annotated, cast

import typer

from easrec.data import FORMATS
from easrec.data import TieBreak as Ties
from easrec.presets import preset_names
from easrec.source import Missing, Reading
from elasticnas.cli.options import completing, set_option

__all__ = [
    "Budget",
    "Data",
    "Features",
    "FieldSeparator",
    "Format",
    "Item",
    "Items",
    "MinItem",
    "MinUser",
    "MissingIds",
    "NoHeader",
    "Preset",
    "Separator",
    "Set",
    "TieBreak",
    "Time",
    "TimeFormat",
    "User",
    "reading_of",
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
Time = Annotated[str | None, typer.Option(help="Column of the time. 'none' for the order of the rows.")]
NoHeader = Annotated[
    bool, typer.Option("--no-header", help="The file has no header: give columns by position, --user 1 --item 2.")
]
FieldSeparator = Annotated[
    str | None, typer.Option("--separator", help="Separator between the fields of delimited text, such as ';'.")
]
TimeFormat = Annotated[str | None, typer.Option(help="Format of dates, such as '%m/%d/%Y'. ISO dates need none.")]
MissingIds = Annotated[
    str, typer.Option("--missing", help="What ids such as NA and null are: refuse, keep them as ids, or drop the rows.")
]
TieBreak = Annotated[
    str,
    typer.Option(
        help="Order of a user's interactions at the same time: random (seeded), item (by id), or file (by row)."
    ),
]
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


def reading_of(
    no_header: bool, separator: str | None, time_format: str | None, missing: str, tie_break: str
) -> Reading:
    """Return how interactions are read, as given by options.

    Raises:
        ConfigError: A value is not allowed.
    """
    separator = {"tab": "\t", "\\t": "\t", "blank": " "}.get(separator or "", separator)
    # the constructor checks the two choices
    return Reading(not no_header, separator, time_format, cast(Missing, missing), cast(Ties, tie_break))
