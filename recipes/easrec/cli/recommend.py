"""``recommend``: recommend the next items for users, for histories, or after each event of a stream."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.markup import escape

from easrec.artifact import Recommender
from easrec.cli.folder import data_of, recommender_of
from easrec.data import Interactions
from easrec.streaming import Live
from elasticnas.cli.options import Device, Out
from elasticnas.errors import ConfigError, DataError
from elasticnas.report import figures_table, open_console
from elasticnas.runtime import device_of

__all__ = ["recommend"]

Answer = list[tuple[str, float]]
_SHOWN = 3  # ids in an error


def recommend(
    out: Out = Path("runs/easrec"),
    user: Annotated[
        list[str] | None, typer.Option(help="User id as in the data. Repeat the option for several users.")
    ] = None,
    history: Annotated[
        list[str] | None,
        typer.Option(
            help="Item ids in order of time, separated by commas; an id with a comma in double quotes. Repeat the "
            "option for several histories."
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Number of items.")] = 10,
    include_seen: Annotated[bool, typer.Option("--include-seen", help="Include items of the history.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="Read lines 'user TAB item' from standard input; answer each in JSON.")
    ] = False,
    device: Device = "auto",
) -> None:
    """Recommend the next items: for users of the data, for given histories, or after each event of a stream."""
    if stream and (user or history):
        raise ConfigError("--stream reads users and items from the standard input: leave out --user and --history")
    if stream:
        _stream(out, top, include_seen, device_of(device))
        return
    if not user and not history:
        raise ConfigError("give --user, --history or --stream")
    data = data_of(out) if user else None
    recommender = recommender_of(out, device_of(device), data)
    asked = [] if data is None else _histories_of(user or [], data, out)
    asked += [(text, _items(text, recommender, out)) for text in history or []]
    answers = recommender.recommend([items for _, items in asked], top, include_seen)
    for (name, _), answer in zip(asked, answers, strict=True):
        if as_json:
            typer.echo(_as_line(name, answer))
        else:
            _show(name, answer, open_console())


def _histories_of(users: list[str], data: Interactions, out: Path) -> list[tuple[str, list[str]]]:
    history_of, asked = _histories(data), []
    for name in users:
        known = history_of(name)
        if not known:
            shown = ", ".join(data.user_ids[:_SHOWN])
            raise DataError(
                f"unknown user {name!r}; the data has {len(data.user_ids):,} users, such as {shown}; "
                f"elasticnas easrec ids users --out {out} lists them"
            )
        asked.append((name, known))
    return asked


def _items(text: str, recommender: Recommender, out: Path) -> list[str]:
    items = [item for row in csv.reader([text], skipinitialspace=True) for item in row if item]
    if not items:
        raise DataError(f"--history {text!r}: no item; give item ids, separated by commas")
    try:
        recommender.numbers(items)  # here the message can say how to list the items
    except DataError as error:
        raise DataError(f"{error}; elasticnas easrec ids items --out {out} lists them") from None
    return items


def _show(name: str, answer: Answer, console: Console) -> None:
    table = figures_table(["rank", "item", "score"], name, labels=2)
    for rank, (item, score) in enumerate(answer, 1):
        table.add_row(str(rank), escape(item), f"{score:.3f}")
    console.print(table)
    if not answer:
        console.print("every item has been seen; --include-seen recommends those too")


def _stream(out: Path, top: int, include_seen: bool, device: torch.device) -> None:
    data = data_of(out)
    live = Live(recommender_of(out, device, data), _histories(data))
    for number, line in enumerate(sys.stdin, 1):
        words = line.rstrip("\r\n").split("\t")
        if len(words) != 2 or not all(words):
            raise DataError(f"standard input, line {number}: {line.strip()[:80]!r} is not a user, a tab and an item")
        try:
            answer = live.event(words[0], words[1], top, include_seen)
        except DataError as error:
            raise DataError(f"standard input, line {number}: {error}") from None
        typer.echo(_as_line(words[0], answer))
        sys.stdout.flush()


def _histories(data: Interactions) -> Callable[[str], list[str]]:
    """Return a function from a user id to the user's items in time order; empty for an unknown user."""
    numbers = {name: number for number, name in enumerate(data.user_ids)}

    def history(name: str) -> list[str]:
        n = numbers.get(name)
        found = [] if n is None else data.items[data.offsets[n] : data.offsets[n + 1]].tolist()
        return [data.item_ids[item] for item in found]

    return history


def _as_line(name: str, answer: Answer) -> str:
    """Format an answer as one line of JSON."""
    return json.dumps({"for": name, "items": [item for item, _ in answer], "scores": [score for _, score in answer]})
