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

_MOST_NAMES = 1_000  # columns: each takes memory and time in every row


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
        yield _table(path, rows, row)
        row += len(lines)


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
    try:
        _flatten(found, "", flat)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}, row {number}: {error}; write one object in each line, with another name for each value"
        ) from None
    return flat


def _flatten(value: dict[str, Any], prefix: str, flat: dict[str, Any]) -> None:
    """Add the values of an object by name.

    Raises:
        ValueError: Two values have one name.
    """
    for name, each in value.items():
        if isinstance(each, dict):
            _flatten(each, f"{prefix}{name}.", flat)
        elif isinstance(each, list) and any(isinstance(part, dict) for part in each):
            _add(_of_objects(each, f"{prefix}{name}."), flat)
        else:
            _add({prefix + name: [_text(part) for part in each] if isinstance(each, list) else _text(each)}, flat)


def _add(found: dict[str, Any], flat: dict[str, Any]) -> None:
    if twice := found.keys() & flat.keys():
        raise ValueError(f"two values have the name {min(twice)!r}")
    flat.update(found)


def _of_objects(parts: list[Any], prefix: str) -> dict[str, Any]:
    """Turn a list of objects into lists of their values; None where an object lacks a name."""
    rows: list[dict[str, Any]] = []
    for part in parts:
        row: dict[str, Any] = {}
        if isinstance(part, dict):
            _flatten(part, prefix, row)
        rows.append(row)
    return {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}


def _text(value: Any) -> Any:
    """Return true and false as text; texts, lists and None as they are."""
    return json.dumps(value) if isinstance(value, bool) else value


def _table(path: Path, rows: list[dict[str, Any]], first: int) -> pl.DataFrame:
    names: dict[str, None] = {}
    for number, row in enumerate(rows, first):
        names |= dict.fromkeys(row)
        if len(names) > _MOST_NAMES:
            raise DataError(
                f"{path}, row {number}: more than {_MOST_NAMES:,} names, such as {[*names][-1][:40]!r}, each a column; "
                "leave out those that are not needed, for example by: jq -c '{user_id, item_id, timestamp}'"
            )
    columns = {name: _column(name, [row.get(name) for row in rows]) for name in names}
    return pl.DataFrame(columns) if columns else pl.DataFrame({"": [None] * len(rows)}, schema={"": pl.String})


def _column(name: str, values: list[Any]) -> pl.Series:
    if not any(isinstance(value, list) for value in values):
        return pl.Series(name, values, dtype=pl.String)
    lists = [[value] if isinstance(value, str) else value for value in values]
    if not any(isinstance(part, list) for value in lists if value for part in value):
        return pl.Series(name, lists, dtype=pl.List(pl.String))
    # lists of lists: a column in use is refused by this type, whatever is in it
    nested = [None if value is None else [[json.dumps(part)] for part in value] for value in lists]
    return pl.Series(name, nested, dtype=pl.List(pl.List(pl.String)))


def user_lines(path: Path, dialect: Dialect) -> Iterator[pl.DataFrame]:
    """Parse text with one line per user, the user followed by the items in order.

    Returns:
        ``user_id``, and ``item_id`` with lists, null for users without items.
    """
    for data in blocks(path, encoding=dialect.encoding):
        lists = [[field for field in fields if field] for fields in dialect.rows(dialect.joined(data))]
        yield pl.DataFrame(
            {
                "user_id": pl.Series([fields[0] if fields else None for fields in lists], dtype=pl.String),
                "item_id": pl.Series([fields[1:] or None for fields in lists], dtype=pl.List(pl.String)),
            }
        )
