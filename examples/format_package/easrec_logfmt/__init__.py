"""A format of interactions for the EASRec recipe: logfmt, lines of key=value pairs."""

import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from easrec.data import Format, Layout
from easrec.data.blocks import blocks
from elasticnas.errors import DataError

__all__ = ["LOGFMT", "read_logfmt"]

_PAIR = re.compile(r'([^\s="]+)=("[^"]*"|[^\s"]*)(?:\s+|$)')


def read_logfmt(path: Path, layout: Layout) -> Iterator[pl.DataFrame]:
    """Yield the file in parts: a column of text for each key, one row per line.

    Raises:
        DataError: A line is not made of key=value pairs.
    """
    first = 1
    for block in blocks(path):
        lines = block.decode().splitlines()
        rows = [_pairs(path, number, line) for number, line in enumerate(lines, first)]
        first += len(lines)
        yield pl.DataFrame(rows, infer_schema_length=None)


def _pairs(path: Path, number: int, line: str) -> dict[str, str]:
    if _PAIR.sub("", line).strip():
        raise DataError(f"{path}, row {number}: {line[:60]!r}; write key=value pairs, such as: user=7 item=b3")
    return {key: value.strip('"') for key, value in _PAIR.findall(line)}


LOGFMT = Format("logfmt", (".logfmt", ".log"), read_logfmt, first_row=1, user="user", item="item", time="at")
