"""Files of interactions in each format, with an own count of their rows that no reader of ours takes part in."""

import csv
import gzip
import io
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import polars as pl

from tests.fuzz.inputs import damaged, text

__all__ = ["KINDS", "File", "drawn_file", "drawn_items", "fields_of"]

KINDS = ("csv", "tsv", "json lines", "parquet", "gz")
"""Kinds of files of interactions, besides ``large``."""

Row = tuple[str, str, int]


@dataclass(frozen=True)
class File:
    """A file to be read.

    Attributes:
        name: Name of the file.
        data: Its bytes.
        rows: The rows that it has; None where damage may have changed them.
        least: Number of rows with a user or an item; a file that is accepted must not give fewer.
        most: Number of rows; a file that is accepted must not give more.
        whole: Whether it must be accepted.
    """

    name: str
    data: bytes
    rows: "list[Row] | None" = None
    least: float = 0
    most: float = math.inf
    whole: bool = False


def drawn_file(rng: random.Random, kind: str) -> File:
    """Return a file of some rows; three in ten are whole."""
    if kind == "large":
        return _large(rng, rng.choice(KINDS[:3]))
    rows = _rows(rng)
    if kind == "gz":
        inner = drawn_file(rng, rng.choice(KINDS[:3])) if rng.random() < 0.3 else _whole(rng.choice(KINDS[:3]), rows)
        data, spoiled = gzip.compress(inner.data, 1, mtime=0), rng.random() < 0.7
        # the checksum leaves no doubt about the content; only the time and the name in its header do not matter
        data = damaged(rng, data) if spoiled else data
        return replace(inner, name=f"{inner.name}.gz", data=data, whole=inner.whole and not spoiled)
    whole = _whole(kind, rows)
    if rng.random() < 0.3:
        return whole
    if kind == "parquet" and rng.random() < 0.5:
        return _odd_types(rng, rows)
    data = damaged(rng, whole.data)
    least, most = _counted(kind, data, rows)
    return File(whole.name, data, None, least, most)


def _rows(rng: random.Random) -> list[Row]:
    names = [f"u{n}" for n in range(4)] + ["a b", "NA", "é", "1", "007", 'q"x', "x,y", "漢"]
    return [(rng.choice(names), f"i{rng.randrange(9)}", 10**9 + n) for n in range(rng.randrange(9, 40))]


def _whole(kind: str, rows: list[Row]) -> File:
    if kind == "csv":
        lines = ["user_id,item_id,timestamp", *(",".join(map(_quoted, map(str, row))) for row in rows)]
        return File("data.csv", ("\n".join(lines) + "\n").encode(), rows, len(rows), len(rows), True)
    if kind == "tsv":
        lines = ["user_id\titem_id\ttimestamp", *("\t".join(map(str, row)) for row in rows)]
        return File("data.tsv", ("\n".join(lines) + "\n").encode(), rows, len(rows), len(rows), True)
    if kind == "json lines":
        objects = [{"user_id": user, "item_id": item, "timestamp": time} for user, item, time in rows]
        return File(
            "data.jsonl",
            "".join(f"{json.dumps(each)}\n" for each in objects).encode(),
            rows,
            len(rows),
            len(rows),
            True,
        )
    return File(
        "data.parquet",
        _parquet(pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")),
        rows,
        len(rows),
        len(rows),
        True,
    )


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, row_group_size=10)
    return buffer.getvalue()


def _odd_types(rng: random.Random, rows: list[Row]) -> File:
    """Return a Parquet file whose columns have types that are no ids and no times."""
    size = len(rows)
    columns = {
        name: rng.choice(
            [
                pl.Series([row[position] for row in rows]),
                pl.Series([None] * size),
                pl.Series([float(n) / 2 for n in range(size)]),
                pl.Series([[1, 2]] * size),
                pl.Series([{"a": 1}] * size),
                pl.Series([b"\xff\x00"] * size),
                pl.Series([True] * size),
                pl.Series(["x"] * size).cast(pl.Categorical),
                pl.Series([2**62] * size),
                pl.Series([1e300, float("nan"), float("inf")] * size)[:size],
                pl.date_range(pl.date(1, 1, 1), pl.date(9999, 1, 1), "99y", eager=True).cast(pl.Datetime("us"))[:size],
            ]
        )
        for position, name in enumerate(["user_id", "item_id", "timestamp"])
    }
    columns = {name: series for name, series in columns.items() if rng.random() < 0.95}
    data = _parquet(
        pl.DataFrame({name: series.head(min(map(len, columns.values()))) for name, series in columns.items()})
    )
    return File("data.parquet", data)


def _large(rng: random.Random, kind: str) -> File:
    """Return a file with a very long field, run of blanks, line or open quote, or with very many names."""
    size = rng.choice([20_000, 140_000, 300_000])
    if kind == "json lines":
        return _many_names(rng, size // 100)
    ending, times = kind, [*range(10**9, 10**9 + size // 10)]
    rows = [f"u{time % 7} i{time % 9} {time}" for time in times]
    how, at = rng.randrange(4), rng.randrange(len(rows))
    if how == 0:  # one line for each user
        heavy = [f"{10**6 + n}" for n in range(size // 5)]
        lines = [*(f"{user} 1 2 3" for user in range(at % 3)), " ".join(["9", *heavy]), "8 1 2"]
        count = 3 * (at % 3) + len(heavy) + 2
        return File("data.txt", "".join(f"{line}\n" for line in lines).encode(), None, count, count, True)
    if how == 1:  # blanks between fields, and before and after them
        run = rng.choice([" ", "\t", " \t"]) * size
        rows[at] = rng.choice([rows[at].replace(" ", run), run + rows[at], rows[at] + run, run])
        return File("data.txt", "\n".join(["user_id item_id timestamp", *rows, ""]).encode(), None, 0, len(rows))
    between = "," if kind == "csv" else "\t"
    rows = [f"{row} x" for row in rows]
    count = len(rows)
    if how == 2:  # a long field
        rows[at] = rows[at].replace("x", "x" * size)
        short = rng.randrange(2 * count)
        if short < count:
            rows[short] = rows[short].rpartition(" ")[0]
        least, whole = (math.inf, False) if short < count else (count, True)
    else:  # an open quote
        rows[at] = '"' + rows[at]
        least, whole = (math.inf, False) if kind == "csv" else (count, False)
    text = "\n".join(["user_id item_id timestamp title", *rows, ""]).replace(" ", between)
    return File(f"data.{ending}", text.encode(), None, least, math.inf if least == math.inf else count, whole)


def _many_names(rng: random.Random, count: int) -> File:
    """Return JSON lines with names, or lists in lists, that differ by line."""
    more: Callable[[int], dict[str, object]] = rng.choice(
        [lambda n: {f"k{n}": n}, lambda n: {"k": {f"{n}": n}}, lambda n: {"k": [{f"{n}": [n, [n]]}]}]
    )
    objects = [{"user_id": "u", "item_id": f"i{n % 9}", "timestamp": 10**9 + n} | more(n) for n in range(count)]
    text = "".join(f"{json.dumps(each)}\n" for each in objects)
    return File("data.jsonl", text.encode(), None, count, count)


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if set(cell) & set('",') else cell


def _counted(kind: str, data: bytes, rows: list[Row]) -> tuple[float, float]:
    """Count the rows with an id, and all rows, of a file that may be damaged."""
    if kind == "parquet":
        return len(rows), len(rows)
    try:
        content = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return math.inf, math.inf  # must be refused
    if kind == "json lines":
        return _count_objects(content)
    found = fields_of(content, "," if kind == "csv" else "\t")
    if found is None or len({len(row) for row in found}) > 1:
        return 0, math.inf  # to be refused, but for what parsers understand otherwise
    header = [name.strip() for name in found[0]] if found else []
    at = [header.index(name) for name in ("user_id", "item_id") if name in header]
    return sum(any(row[position].strip() for position in at) for row in found[1:]), len(found) - 1


def _count_objects(content: str) -> tuple[float, float]:
    objects = []
    for line in content.split("\n"):
        if line.strip():
            try:
                objects.append(json.loads(line))
            except (ValueError, RecursionError):
                return math.inf, math.inf
    if not all(isinstance(each, dict) for each in objects):
        return math.inf, math.inf
    return sum(bool(each.get("user_id") or each.get("item_id")) for each in objects), len(objects)


def fields_of(content: str, separator: str) -> "list[list[str]] | None":
    """Return the rows of delimited text that are not blank; None where parsers differ, as at quotes in a field."""
    quoting = csv.QUOTE_MINIMAL if separator == "," else csv.QUOTE_NONE
    lines = io.StringIO(content, newline="")
    try:
        return [row for row in csv.reader(lines, delimiter=separator, quoting=quoting, strict=True) if row]
    except csv.Error:
        return None


def drawn_items(rng: random.Random) -> tuple[File, dict[str, list[str]]]:
    """Return a file of items with a column ``genre``, and the genres of each item where the file is whole."""
    genres = {f"i{n}": rng.sample(["Drama", "War", "a, b", "Ünique"], rng.randrange(4)) for n in range(12)}
    rows = [(item, "|".join(found)) for item, found in genres.items()]
    kind = rng.choice(["csv", "tsv", "parquet", "gz"])
    if kind == "parquet":
        name, data = "items.parquet", _parquet(pl.DataFrame(rows, ["item_id", "genre"], orient="row"))
    else:
        between = "\t" if kind == "tsv" else ","
        cells = [[each if kind == "tsv" else _quoted(each) for each in row] for row in [("item_id", "genre"), *rows]]
        name = f"items.{'tsv' if kind == 'tsv' else 'csv'}"
        data = ("\n".join(map(between.join, cells)) + "\n").encode()
    if kind == "gz":
        name, data = f"{name}.gz", gzip.compress(data, 1, mtime=0)
    if rng.random() < 0.3:
        return File(name, data, None, len(rows), len(rows), True), genres
    data = text(rng).encode("utf-8", "replace") if rng.random() < 0.05 else damaged(rng, data)
    if kind in ("parquet", "gz"):
        return File(name, data, None, len(rows), len(rows)), {}
    return File(name, data, None, *_items_counted(data, between)), {}


def _items_counted(data: bytes, separator: str) -> tuple[float, float]:
    try:
        found = fields_of(data.decode("utf-8-sig"), separator)
    except UnicodeDecodeError:
        return math.inf, math.inf
    if found is None or len({len(row) for row in found}) > 1:
        return 0, math.inf
    return sum(any(row) for row in found[1:]), len(found) - 1
