"""A format of interactions for the EASRec recipe: one JSON object per line."""

import json
from pathlib import Path

import polars as pl

from easrec.data import Columns, Format
from easrec.data.tables import text_of
from elasticnas.errors import DataError

__all__ = ["JSONL", "read_jsonl"]


def read_jsonl(path: Path, columns: Columns) -> pl.DataFrame:
    """Read ``user``, ``item`` and ``time`` of each line, as text.

    Raises:
        DataError: A line is not a JSON object, or a column is missing.
    """
    rows = []
    for number, line in enumerate(text_of(path).decode().splitlines(), 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}, row {number}: not valid JSON ({error.msg}); write one object in each line"
            ) from None
        if not isinstance(row, dict):
            raise DataError(f"{path}, row {number}: expected a JSON object, found {line[:60]}")
        rows.append({name: None if value is None else str(value) for name, value in row.items()})
    frame = pl.DataFrame(rows, infer_schema_length=None)
    return columns.pick(path, frame, "user_id", "item_id", "timestamp")


JSONL = Format("jsonl", (".jsonl", ".ndjson"), read_jsonl, first_row=1)
