"""Conditions on columns, such as ``rating >= 4``, which choose the rows to read."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from elasticnas.errors import ConfigError, DataError

__all__ = ["Condition"]

_PATTERN = re.compile(r"\s*(.+?)\s*(==|!=|>=|<=|>|<)\s*(.+?)\s*", re.DOTALL)
_JOINED = r"(?i)\S\s*(\band\b|\bor\b|&&?|\|\|?)\s*\S.*?(==|!=|>=|<=|>|<|=)"
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True)
class Condition:
    """A comparison of a column with a number or with text; rows where the column is empty do not satisfy it.

    Attributes:
        text: The condition as given.
        column: Name of the column.
        sign: The comparison.
        value: A number, or text.
    """

    text: str
    column: str
    sign: str
    value: int | float | str

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Parse a condition.

        Raises:
            ConfigError: It is not of the form COLUMN OPERATOR VALUE.
        """
        found = _PATTERN.fullmatch(text)
        if found is None:
            raise ConfigError(f'--where {text!r}: write a comparison such as "rating >= 4" or "event == \'view\'"')
        column, sign, value = found.groups()
        if re.search(_JOINED, re.sub(r"'[^']*'|\"[^\"]*\"", "''", text)):
            raise ConfigError(f"--where {text!r}: one comparison each; repeat --where for several that must all hold")
        return cls(text, _unquoted(column) or column, sign, _value(text, column, sign, value))

    def holds(self, path: Path | str, column: pl.Series, rows: pl.Series) -> pl.Series:
        """Return which values satisfy the condition.

        Args:
            path: The file, for errors.
            column: The values.
            rows: Row of each value, for errors.

        Raises:
            DataError: The condition compares with a number, and a value is none.
        """
        if column.dtype.is_float():
            # NaN is a missing value
            column = column.fill_nan(None)
        if isinstance(self.value, str):
            given: pl.Series = column.cast(pl.String)
        else:
            given = _numbers(column, whole=isinstance(self.value, int))
            wrong = given.is_null() & column.is_not_null() & (column.cast(pl.String).str.strip_chars() != "")
            if wrong.any():
                at = int(wrong.arg_true()[0])
                raise DataError(
                    f"{path}, row {rows[at]}: --where {self.text!r} compares numbers, and {column[at]!r} is none; "
                    f"compare text by \"{self.column} {self.sign} '{self.value}'\""
                )
        holds: pl.Series = _OPERATORS[self.sign](given, self.value).fill_null(False)
        return holds


def _numbers(column: pl.Series, whole: bool) -> pl.Series:
    if column.dtype == pl.Boolean or column.dtype.is_temporal():
        return pl.Series(column.name, [None] * len(column), dtype=pl.Float64)
    text = column.str.strip_chars() if column.dtype == pl.String else column
    if whole and not column.dtype.is_float():
        # exact for large integers too
        integers: pl.Series = text.cast(pl.Int64, strict=False)
        if integers.null_count() == column.null_count():
            return integers
    numbers: pl.Series = text.cast(pl.Float64, strict=False).fill_nan(None)
    return numbers


def _value(text: str, column: str, sign: str, value: str) -> int | float | str:
    unquoted = _unquoted(value)
    if unquoted is not None:
        return unquoted
    try:
        return int(value)
    except ValueError:
        pass
    try:
        return float(value)
    except ValueError:
        raise ConfigError(
            f"--where {text!r}: {value} is no number; put text in quotes: \"{column} {sign} '{value}'\""
        ) from None


def _unquoted(value: str) -> str | None:
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else None
