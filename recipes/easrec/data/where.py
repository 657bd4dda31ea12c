"""Conditions on columns, such as ``rating >= 4``, which choose the rows to read."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from easrec.data.dates import date_of, in_utc, iso_dates
from easrec.data.time_columns import MISSING_WORDS, is_date
from elasticnas.errors import ConfigError, DataError

__all__ = ["Condition"]

_SIGN = re.compile(r"==|!=|>=|<=|>|<")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_JOINED = re.compile(r"(?i)(\band\b|\bor\b|[&|,;]).*[=<>]", re.DOTALL)
_EQUAL: dict[str, Callable[[Any, Any], Any]] = {"==": operator.eq, "!=": operator.ne}
_ORDER: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True)
class Condition:
    """A comparison of a column with a number, a date or text; rows where the column is empty do not satisfy it.

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
        column, rest = _name(text.strip())
        found = _SIGN.match(rest)
        if not column or found is None or not rest[found.end() :].strip():
            raise ConfigError(f'--where {text!r}: write a comparison such as "rating >= 4" or "event == \'view\'"')
        value = rest[found.end() :].strip()
        return cls(text, column, found.group(), _value(text, column, found.group(), value))

    def holds(self, path: Path | str, column: pl.Series, rows: pl.Series) -> pl.Series:
        """Return which values satisfy the condition.

        Args:
            path: The file, for errors.
            column: The values.
            rows: Row of each value, for errors.

        Raises:
            DataError: The condition compares with a number or a date, and a value is none.
        """
        if column.dtype.is_float():
            # NaN is a missing value
            column = column.fill_nan(None)
        elif column.dtype in (pl.Categorical, pl.Enum, pl.Boolean):
            column = column.cast(pl.String)
        given, value = column, self.value  # type: pl.Series, Any
        if column.dtype in (pl.Date, pl.Datetime):
            given, value = in_utc(path, column, self.column).dt.epoch("ns"), self._date()
        elif (number := self._number(column)) is not None:
            given = _numbers(column, number)
            self._require(path, column, given, rows, "numbers")
            value = float(np.float32(number)) if column.dtype == pl.Float32 else number
            value = pl.Series([value], dtype=pl.Int128) if given.dtype == pl.Int128 else float(value)
        elif self.sign in _ORDER and is_date(str(self.value)):
            given, value = iso_dates(column)[0], self._date()
            self._require(path, column, given, rows, "dates")
        else:
            given = column.cast(pl.String)
            if set(given.unique().drop_nulls().to_list()) <= {"true", "false"}:
                value = str(value).lower()  # True, as Python writes it
        holds: pl.Series = (_EQUAL | _ORDER)[self.sign](given, value).fill_null(False)
        return holds

    def _number(self, column: pl.Series) -> int | float | None:
        """Return the value if numbers are compared: with a number, a column of numbers, and the order of text."""
        if not isinstance(self.value, str):
            return self.value
        number = _NUMBER.fullmatch(self.value.strip())
        if column.dtype.is_numeric() and number is None:
            raise ConfigError(f"--where {self.text!r}: {self.column} holds numbers; compare with a number, such as 4")
        if number is None or not (column.dtype.is_numeric() or self.sign in _ORDER):
            return None
        return _parsed(self.value.strip())

    def _date(self) -> int:
        date = date_of(self.value) if isinstance(self.value, str) else None
        if date is None:
            raise ConfigError(
                f"--where {self.text!r}: {self.column} is compared with dates; write an ISO date, such as '2026-01-31'"
            )
        return date

    def _require(self, path: Path | str, column: pl.Series, given: pl.Series, rows: pl.Series, kind: str) -> None:
        """Check that all values that are not missing were understood."""
        wrong = given.is_null() & column.is_not_null()
        if column.dtype == pl.String:
            wrong &= ~column.str.strip_chars().is_in(["", *MISSING_WORDS])
        if not wrong.any():
            return
        at, quoted = int(wrong.arg_true()[0]), str(self.value).replace("'", "")
        way_out = "write numbers as 4 or 4.5" if kind == "numbers" else "write dates as 2026-01-31"
        if self.sign in _EQUAL:
            way_out += f", or compare text by \"{self.column} {self.sign} '{quoted}'\""
        raise DataError(
            f"{path}, row {rows[at]}: --where {self.text!r} compares {kind}, and {str(column[at])[:40]!r} is none; "
            f"{way_out}"
        )


def _name(text: str) -> tuple[str, str]:
    """Split off the name of the column, which may be in quotes."""
    if text[:1] in ("'", '"') and (end := text.find(text[0], 1)) > 0:
        return text[1:end], text[end + 1 :].lstrip()
    sign = _SIGN.search(text)
    return ("", text) if sign is None else (text[: sign.start()].rstrip(), text[sign.start() :])


def _numbers(column: pl.Series, value: int | float) -> pl.Series:
    """Return a column as integers where it and the value are such, otherwise as floats; null for what is no number."""
    if not (column.dtype == pl.String or column.dtype.is_numeric()):
        return pl.Series(column.name, [None] * len(column), dtype=pl.Float64)
    text = column
    if column.dtype == pl.String:
        text = column.str.strip_chars()
        text = text.set(text.is_in(["", *MISSING_WORDS]), None)
    if (column.dtype == pl.String or column.dtype.is_integer()) and isinstance(value, int) and abs(value) < 2**100:
        # exact for large integers too
        integers: pl.Series = text.cast(pl.Int128, strict=False)
        if integers.null_count() == text.null_count():
            return integers
    floats: pl.Series = text.cast(pl.Float64, strict=False).fill_nan(None)
    return floats


def _parsed(number: str) -> int | float:
    return int(number) if number.lstrip("+-").isdigit() else float(number)


def _value(text: str, column: str, sign: str, value: str) -> int | float | str:
    inside = value[1:-1]
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"" and value[0] not in inside:
        return inside
    if _NUMBER.fullmatch(value):
        return _parsed(value)
    if value[0] in "'\"" or _JOINED.search(value):
        raise ConfigError(
            f"--where {text!r}: one comparison each, with a number or with text in quotes; repeat --where for several "
            "that must all hold"
        )
    raise ConfigError(f"--where {text!r}: {value} is no number; put text in quotes: \"{column} {sign} '{value}'\"")
