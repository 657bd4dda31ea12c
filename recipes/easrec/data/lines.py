"""Parsers of JSON lines, and of text with one line per user."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from easrec.data.blocks import UTF_8, blocks
from easrec.data.tables import Dialect
from elasticnas.errors import DataError

__all__ = ["json_lines", "user_lines"]


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice in an object")
    return found


_DECODER = json.JSONDecoder(
    object_pairs_hook=_without_repetition, parse_int=str, parse_float=str, parse_constant=lambda text: text
)


def json_lines(path: Path, encoding: str = UTF_8) -> Iterator[pl.DataFrame]:
    """Parse one JSON object per line, in parts; all values are text exactly as written, or lists of text.

    Nested objects give columns such as ``user.id``; a list of objects gives lists, such as ``events.item``.

    Raises:
        DataError: A line is not an object.
    """
    row = 1
    for data in blocks(path, encoding=encoding):
        lines = data.decode().split("\n")  # not splitlines: strings may contain other line ends
        if lines and not lines[-1]:
            lines.pop()
        rows = [_flat(path, number, line) for number, line in enumerate(lines, row)]
        row += len(lines)
        yield _table(rows)


def _flat(path: Path, number: int, line: str) -> dict[str, Any]:
    if not line.strip():
        return {}
    try:
        found = _DECODER.decode(line.strip())
    except (ValueError, RecursionError) as error:
        if number == 1 and line.lstrip().startswith("["):
            found = []
        else:
            raise DataError(f"{path}, row {number}: not valid JSON ({error}); write one object in each line") from None
    if isinstance(found, list):
        raise DataError(f"{path}, row {number}: a list; write one object in each line, for example by: jq -c '.[]'")
    if not isinstance(found, dict):
        raise DataError(f"{path}, row {number}: {line[:40]!r} is no object; write one object in each line")
    flat: dict[str, Any] = {}
    _flatten(found, "", flat)
    return flat


def _flatten(value: dict[str, Any], prefix: str, flat: dict[str, Any]) -> None:
    for name, each in value.items():
        if isinstance(each, dict):
            _flatten(each, f"{prefix}{name}.", flat)
        elif isinstance(each, list) and any(isinstance(part, dict) for part in each):
            _flatten_objects(each, f"{prefix}{name}.", flat)
        elif isinstance(each, list):
            flat[prefix + name] = [_text(part) for part in each]
        else:
            flat[prefix + name] = _text(each)


def _flatten_objects(parts: list[Any], prefix: str, flat: dict[str, Any]) -> None:
    """Turn a list of objects into lists of their values; None where an object lacks a name."""
    rows: list[dict[str, Any]] = []
    for part in parts:
        row: dict[str, Any] = {}
        if isinstance(part, dict):
            _flatten(part, prefix, row)
        rows.append(row)
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        flat[name] = [
            value if isinstance(value, str) else None if value is None else json.dumps(value) for value in values
        ]


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)  # true, false, and lists in lists


def _table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        if any(isinstance(value, list) for value in values):
            lists = [[value] if isinstance(value, str) else value for value in values]
            columns[name] = pl.Series(name, lists, dtype=pl.List(pl.String))
        else:
            columns[name] = pl.Series(name, values, dtype=pl.String)
    return pl.DataFrame(columns) if columns else pl.DataFrame({"": [None] * len(rows)}, schema={"": pl.String})


def user_lines(path: Path, dialect: Dialect) -> Iterator[pl.DataFrame]:
    """Parse text with one line per user, the user followed by the items in order.

    Returns:
        ``user_id``, and ``item_id`` with lists.

    Raises:
        DataError: A line has a user and no item.
    """
    row = 1
    for data in blocks(path, encoding=dialect.encoding):
        lists = [[field for field in fields if field] for fields in dialect.rows(dialect.joined(data))]
        for number, fields in enumerate(lists, row):
            if len(fields) == 1:
                raise DataError(
                    f"{path}, row {number}: {fields[0][:60]!r} and no item; one line per user: user item item"
                )
        row += len(lists)
        yield pl.DataFrame(
            {
                "user_id": pl.Series([fields[0] if fields else None for fields in lists], dtype=pl.String),
                "item_id": pl.Series([fields[1:] or None for fields in lists], dtype=pl.List(pl.String)),
            }
        )
