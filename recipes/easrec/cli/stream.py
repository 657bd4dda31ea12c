"""Answers to a stream of events on the standard input: one line of JSON for each line, whatever the line holds."""

import io
import json
import sys
from collections.abc import Callable, Collection, Iterator
from typing import TextIO

import typer

from easrec.cli.when import seconds_of
from easrec.streaming import Live
from elasticnas.errors import ElasticNASError, printable

__all__ = ["answer_stream"]

_LONGEST = 10_000  # characters of a line


def answer_stream(
    live: Live, top: int, repeats: bool, only: Collection[int] | None, formatted: Callable[..., str]
) -> None:
    """Answer each line ``user TAB item``; a line that cannot be answered gives ``{"line": ..., "error": ...}``.

    If the network uses times, lines are ``user TAB item TAB time``.

    Args:
        live: The recommender with its states.
        top: Number of items.
        repeats: Whether to include items of the user's history.
        only: Numbers of the items that may be recommended; None for all.
        formatted: Makes a line of JSON from a user and an answer.
    """
    if isinstance(sys.stdin, io.TextIOWrapper):  # bytes that are not UTF-8 spoil their own line only
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="surrogateescape")
    refused = 0
    for number, line in enumerate(_lines(sys.stdin), 1):
        try:
            user, item, *rest = _event(line, live.timed)
            time = seconds_of(rest[0]) if rest else None
            answer = formatted(user, live.event(user, item, top, repeats, only, time))
        except ElasticNASError as error:
            refused += 1
            answer = json.dumps({"line": number, "error": printable(str(error))})
        typer.echo(answer)
        sys.stdout.flush()
    if refused:
        typer.echo(f"{refused:,} lines of the standard input could not be answered; each has an error object", err=True)


def _lines(source: TextIO) -> Iterator[str]:
    """Yield lines, cut to one character more than is allowed, so that memory is bounded."""
    while line := source.readline(_LONGEST + 1):
        rest = line
        while len(rest) > _LONGEST and not rest.endswith("\n"):
            rest = source.readline(_LONGEST + 1)
        yield line


def _event(line: str, timed: bool) -> list[str]:
    if len(line) > _LONGEST:
        raise ElasticNASError(f"longer than {_LONGEST:,} characters; write user TAB item")
    words = line.rstrip("\r\n").split("\t")
    if len(words) != 2 + timed or not all(words):
        expected = "a user, an item and a time, with tabs between them" if timed else "a user, a tab and an item"
        raise ElasticNASError(f"{line.strip()[:80]!r} is not {expected}")
    if any("\udc80" <= each <= "\udcff" for each in line):
        raise ElasticNASError(f"{line.strip()[:80]!r} is not UTF-8")
    return words
