"""Options shared by several commands."""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from easrec.data import FORMATS, Columns
from easrec.data import TieBreak as Ties
from easrec.data.columns import Missing
from easrec.presets import preset_names
from easrec.source import Source
from elasticnas.cli.options import completing, set_option

__all__ = ["Budget", "MinItem", "MinUser", "Preset", "Set", "takes_source"]

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
MinUser = Annotated[
    int | None, typer.Option(min=0, help="Drop users with fewer interactions (k-core filter, with --min-item).")
]
MinItem = Annotated[
    int | None, typer.Option(min=0, help="Drop items with fewer interactions (k-core filter, with --min-user).")
]
_SEPARATORS = {"tab": "\t", "\\t": "\t", "blank": " "}


def _reading(text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="Reading", **more)


def _source(
    data: Annotated[
        list[str] | None,
        _reading(
            "File of interactions, or a pattern such as 'part-*.csv'. Repeat the option for several. Only the preset "
            "demo needs none: it generates its own."
        ),
    ] = None,
    user: Annotated[str | None, _reading("Column of the user ids.")] = None,
    item: Annotated[str | None, _reading("Column of the item ids, also in the file of items.")] = None,
    time: Annotated[str | None, _reading("Column of the time. 'none' for the order of the rows.")] = None,
    where: Annotated[
        list[str] | None,
        _reading(
            'Read only rows that satisfy a condition, such as "rating >= 4" or "event == \'view\'". Repeat the option '
            "for several."
        ),
    ] = None,
    format: Annotated[
        str,
        _reading(
            f"Format of the interactions: auto, {', '.join(FORMATS)}.",
            autocompletion=completing(["auto", *FORMATS]),
        ),
    ] = "auto",
    no_header: Annotated[
        bool, _reading("The file has no header: give columns by position, --user 1 --item 2.", "--no-header")
    ] = False,
    separator: Annotated[
        str | None,
        _reading("Separator between the fields of delimited text, such as ';', tab, or blanks for any run of blanks."),
    ] = None,
    encoding: Annotated[str | None, _reading("Encoding of text, such as latin1. UTF-8 needs none.")] = None,
    item_separator: Annotated[
        str | None, _reading("What separates the items in a cell that holds several, such as ','. 'none' if none does.")
    ] = None,
    time_format: Annotated[str | None, _reading("Format of dates, such as '%m/%d/%Y'. ISO dates need none.")] = None,
    missing: Annotated[
        str, _reading("What ids such as NA and null are: refuse, keep them as ids, or drop the rows.")
    ] = "refuse",
    tie_break: Annotated[
        str,
        _reading("Order of a user's interactions at the same time: random (seeded), item (by id), file (by row)."),
    ] = "random",
    split: Annotated[
        str,
        _reading(
            "Targets: last (each user's last two items), time:80%,90% (the first item after points in time, also "
            "dates), or sessions:80%,90% (the last item of later sessions)."
        ),
    ] = "last",
    validation: Annotated[
        list[str] | None, _reading("File of the validation interactions, if they are given; needs --test.")
    ] = None,
    test: Annotated[list[str] | None, _reading("File of the test interactions, if they are given.")] = None,
    items: Annotated[
        Path | None, _reading("File of the items and their features: CSV, TSV, Parquet, or movies.dat.")
    ] = None,
    features: Annotated[
        list[str] | None, _reading("Column of features in the file of items. Repeat the option for several.")
    ] = None,
    feature_separator: Annotated[str, _reading("Separator between features within a cell.")] = "|",
) -> Source:
    separator = _SEPARATORS.get(separator or "", separator)
    conditions = tuple(where or ())
    # the constructors check the choices
    layout = not no_header, separator, time_format, cast(Missing, missing), conditions, encoding, item_separator
    columns = Columns(user, item, time, format, *layout)
    return Source(
        data or None,
        columns,
        validation or None,
        test or None,
        cast(Ties, tie_break),
        split,
        items,
        tuple(features or ()),
        feature_separator,
    )


def takes_source(command: Callable[..., None]) -> Callable[..., None]:
    """Replace a command's parameter ``source`` by the options that say where interactions are and how they are read."""
    options = inspect.signature(_source).parameters
    parameters = inspect.signature(command).parameters
    own = [each for name, each in parameters.items() if name != "source"]

    @wraps(command)
    def wrapped(**given: Any) -> None:
        chosen = {name: given.pop(name) for name in options}
        command(source=_source(**chosen), **given)

    merged = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*options.values(), *own)]
    wrapped.__signature__ = inspect.Signature(merged)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in merged}
    return wrapped
