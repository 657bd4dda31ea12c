"""``recommend``: recommend the next items for users, for histories, or after each event of a stream."""

import csv
import json
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import typer
from rich.console import Console
from rich.markup import escape

from easrec.artifact import Recommender
from easrec.cli.answers import Answer, require_table, write_answers
from easrec.cli.folder import data_of, recommender_of
from easrec.cli.stream import answer_stream
from easrec.cli.when import When
from easrec.data import Interactions
from easrec.streaming import Live
from elasticnas.cli.options import Device, Out, path_option
from elasticnas.errors import ConfigError, DataError, printable
from elasticnas.files import read_text
from elasticnas.report import figures_table, open_console
from elasticnas.runtime import device_of

__all__ = ["recommend"]

_SHOWN = 3  # ids in an error
_COMPARED = 200_000  # users whose ids are compared with an unknown one; more take seconds


def recommend(
    out: Out = Path("runs/easrec"),
    user: Annotated[
        list[str] | None, typer.Option(help="User id as in the data. Repeat the option for several users.")
    ] = None,
    users: Annotated[Literal["all"] | None, typer.Option(help="all: every user of the data; needs --to.")] = None,
    history: Annotated[
        list[str] | None,
        typer.Option(
            help="Item ids in order of time, separated by commas; an id with a comma in double quotes. Unknown items "
            "are skipped; with none left, the most popular items are recommended. Repeat the option for several."
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=100_000, help="Number of items.")] = 10,
    repeats: Annotated[bool, typer.Option("--repeats", help="Recommend items of the history again, too.")] = False,
    items: Annotated[
        Path | None, typer.Option(help="Text file of the item ids that may be recommended, one per line.")
    ] = None,
    to: Annotated[
        Path | None, path_option(help="CSV or Parquet file to write: user, rank, item, score, fallback.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    stream: Annotated[
        bool,
        typer.Option(
            "--stream",
            help="Read lines 'user TAB item' from standard input, with 'TAB time' if the network uses it; answer each "
            "in JSON.",
        ),
    ] = False,
    compiled: Annotated[
        bool,
        typer.Option(
            "--compiled",
            help="Compile the step of --stream: up to a minute before the first answers, then less time for each.",
        ),
    ] = False,
    states: Annotated[int, typer.Option(min=1, help="Users whose state --stream keeps in memory.")] = 10_000,
    at: Annotated[
        str | None,
        typer.Option(
            help="Time of the recommendation, for a network with model.time_bias=target: seconds since 1970, or a date "
            "such as 2026-11-27T10:00:00 (UTC). Without it, the last time in the data."
        ),
    ] = None,
    device: Device = "auto",
) -> None:
    """Recommend the next items: for users of the data, for given histories, or after each event of a stream."""
    _require_one_kind(user, users, history, stream, to)
    if compiled and not stream:
        raise ConfigError("--compiled compiles the step of --stream: give both, or leave it out")
    data = data_of(out) if user or users or stream else None
    recommender = recommender_of(out, device_of(device), data)
    only = None if items is None else _allowed(items, recommender)
    if stream:
        assert data is not None
        live = Live(recommender, _histories(data), compiled, states, _times(data))
        When.of(recommender, data, at, bool(history))
        answer_stream(live, top, repeats, None if only is None else recommender.numbers(only), _as_line)
        return
    when = When.of(recommender, data, at, bool(history))
    if users and to is not None and data is not None:
        history_of = _histories(data)
        rows = write_answers(
            to,
            data.user_ids,
            lambda some: recommender.recommend(
                [history_of(u) for u in some], top, repeats, only, **when.of_users(some)
            ),
        )
        typer.echo(f"{to}: {rows:,} rows for {len(data.user_ids):,} users")
        return
    asked = [] if data is None else _histories_of(user or [], data, out)
    asked += [(text, _items(text, recommender)) for text in history or []]
    answers = _answers([known for _, known in asked], recommender, top, repeats, only, out, when.of_users(user or []))
    if to is not None:
        found = iter(answers)
        fallback = [not known for _, known in asked]
        rows = write_answers(to, [name for name, _ in asked], lambda some: [next(found) for _ in some], fallback)
        typer.echo(f"{to}: {rows:,} rows")
        return
    for (name, known), answer in zip(asked, answers, strict=True):
        if as_json:
            typer.echo(_as_line(name, answer, not known))
        else:
            _show(name if known else f"{name} (most popular)", answer, only is not None, open_console())


def _require_one_kind(
    user: list[str] | None, users: str | None, history: list[str] | None, stream: bool, to: Path | None
) -> None:
    if stream and (user or users or history or to):
        raise ConfigError(
            "--stream reads users and items from the standard input: leave out --user, --users, --history and --to"
        )
    if users and (user or history):
        raise ConfigError("--users all has every user: leave out --user and --history")
    if users and to is None:
        raise ConfigError("--users all writes a table: name a .csv or .parquet file by --to")
    if not (user or users or history or stream):
        raise ConfigError("give --user, --users all, --history or --stream")
    if to is not None:
        require_table(to)


def _answers(
    histories: list[list[str]],
    recommender: Recommender,
    top: int,
    repeats: bool,
    only: list[str] | None,
    out: Path,
    when: dict[str, Any],
) -> list[Answer]:
    """Return the answers; the most popular items for an empty history."""
    found = iter(recommender.recommend([each for each in histories if each], top, repeats, only, **when))
    if all(histories):
        return list(found)
    popular = _popular(recommender, top, only, out)
    return [next(found) if each else popular for each in histories]


def _popular(recommender: Recommender, top: int, only: list[str] | None, out: Path) -> Answer:
    if not (out / "data.npz").exists():
        raise DataError(f"an empty history needs the popularity of items: {out / 'data.npz'} is missing; restore it")
    counts = np.bincount(data_of(out).items, minlength=len(recommender.item_ids)).astype(np.float64)
    counts[0] = -np.inf  # padding
    allowed = None if only is None else recommender.numbers(only)
    return recommender.best(torch.from_numpy(counts), top, (), allowed)


def _allowed(path: Path, recommender: Recommender) -> list[str]:
    """Read the item ids that may be recommended; unknown ones are skipped and counted."""
    try:
        text = read_text(path).removeprefix("\ufeff").replace("\r", "\n")
        # not splitlines: ids may contain other line ends
        given = list(dict.fromkeys(line for line in text.split("\n") if line.strip()))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"--items {path}: cannot be read, {reason}; give one item id per line, in UTF-8") from None
    known, unknown = recommender.known(given)
    if not known:
        raise DataError(
            f"--items {path}: none of its {len(given):,} ids is an item of the model; give item ids, one per line"
        )
    if unknown:
        typer.echo(f"--items: {len(unknown):,} of {len(given):,} ids are unknown, such as {unknown[0]!r:.80}", err=True)
    return known


def _histories_of(users: list[str], data: Interactions, out: Path) -> list[tuple[str, list[str]]]:
    history_of, asked = _histories(data), []
    for name in users:
        known = history_of(name)
        if not known:
            near = get_close_matches(name, data.user_ids, n=2) if len(data.user_ids) <= _COMPARED else []
            shown = (
                f"did you mean {' or '.join(map(repr, near))}"
                if near
                else f"such as {', '.join(data.user_ids[:_SHOWN])}"
            )
            raise DataError(
                f"unknown user {name!r}; the data has {len(data.user_ids):,} users, {shown}; "
                f"elasticnas easrec ids users --out {out} lists them"
            )
        asked.append((name, known))
    return asked


def _items(text: str, recommender: Recommender) -> list[str]:
    """Return the known items of a history; unknown ones are skipped and counted."""
    try:
        given = [item for row in csv.reader([text], skipinitialspace=True) for item in row if item]
    except csv.Error:
        raise DataError(f"--history {text[:80]!r}: a line break in it; separate item ids by commas") from None
    known, unknown = recommender.known(given)
    if unknown:
        line = f"--history {text[:40]!r}: skipped {len(unknown):,} of {len(given):,} items that the model does not know"
        typer.echo(f"{line}, such as {unknown[0][:40]!r}", err=True)
    return known


def _show(name: str, answer: Answer, limited: bool, console: Console) -> None:
    table = figures_table(["rank", "item", "score"], printable(name), labels=2)
    for rank, (item, score) in enumerate(answer, 1):
        table.add_row(str(rank), escape(printable(item)), f"{score:.3f}")
    console.print(table)
    if not answer:
        which = "every item of --items" if limited else "every item"
        console.print(f"{which} has been seen; --repeats recommends those too")


def _histories(data: Interactions) -> Callable[[str], list[str]]:
    """Return a function from a user id to the user's items in time order; empty for an unknown user."""
    numbers = {name: number for number, name in enumerate(data.user_ids)}

    def history(name: str) -> list[str]:
        n = numbers.get(name)
        found = [] if n is None else data.items[data.offsets[n] : data.offsets[n + 1]].tolist()
        return [data.item_ids[item] for item in found]

    return history


def _times(data: Interactions) -> Callable[[str], list[int]] | None:
    """Return a function from a user id to the times of the user's items; None if the data has none."""
    times = data.times
    if times is None:
        return None
    numbers = {name: number for number, name in enumerate(data.user_ids)}

    def of_user(name: str) -> list[int]:
        n = numbers.get(name)
        return [] if n is None else [int(time) for time in times[data.offsets[n] : data.offsets[n + 1]]]

    return of_user


def _as_line(name: str, answer: Answer, fallback: bool = False) -> str:
    """Format an answer as one line of JSON; ``fallback``: it is the most popular items, for want of a history."""
    items, scores = [item for item, _ in answer], [score for _, score in answer]
    return json.dumps({"for": name, "items": items, "scores": scores, "fallback": fallback})
