"""Which column holds the time: by its name, or by values that can hardly be anything else."""

import re
from pathlib import Path

import polars as pl

from elasticnas.errors import DataError

__all__ = ["MISSING_WORDS", "NO_TIME", "TODAY", "compact_dates", "is_date", "names_time", "plain", "time_column"]

MISSING_WORDS = ["NA", "N/A", "<NA>", "NaN", "nan", "null", "NULL", "None", "\\N", "#N/A"]
"""Texts that may stand for a missing value."""

NO_TIME = "none"
"""Value of ``--time`` that chooses the order of the rows."""

TODAY = 631_152_000, 2_208_988_800
"""Seconds of the years 1990 to 2040."""

_CERTAIN = {"timestamp", "time", "datetime", "date", "unixreviewtime", "unixtime", "eventtime", "unixtimestamp"}
_WORDS = {
    *("time", "times", "timestamp", "timestamps", "datetime", "date", "dates", "day", "ts", "unixtime", "epoch"),
    *("created", "updated", "modified", "added", "utc", "when", "week", "month", "hour"),
}
_JOINED = ("timestamp", "datetime", "time", "date")  # endings such as of clicktime
_OTHERS = {
    "runtime",
    "lifetime",
    "playtime",
    "watchtime",
    "dwelltime",
    "readtime",
    "sometime",
    "anytime",
    "overtime",
}
_OTHERS |= {"update", "candidate", "mandate", "validate", "lastupdate"}
_MONTH = (
    r"(jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sept?(ember)?|oct(ober)?|nov(ember)?"
    r"|dec(ember)?)\b\.?"
)
_MONTHS = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_DATE = (
    r"(?i)^\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d\d)([\s,]|$)|\d{4}[-/]\d\d$"  # 1/31/26
    rf"|([a-z]{{3,9}},? +)?({_MONTH} +(\d{{1,2}}|\d{{4}})\b|\d{{1,2}}(st|nd|rd|th)?[ /-]{_MONTH}[ /-]\d)"  # Sat, Jan 31
    rf"|\d{{1,2}}{_MONTHS}\d{{2,4}}|\d{{1,2}}\.? [^\W\d]{{3,12}}\.? \d{{4}}\b|\d{{4}}-w\d\d|/date\(|\d{{4}}年"
    r"|(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])t|\d{1,2}:\d\d(:\d\d.*)?$)"  # 20260131T12, 12:30
)
# 202601, 20260131, 2026013112, ...: by number of digits, how to read them
_COMPACT = {
    **{8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"},
    17: "%Y%m%d%H%M%S%3f",
}
_COMPACT_DATE = (
    r"^\s*((19|20)\d\d(0[1-9]|1[0-2])((0[1-9]|[12]\d|3[01])(([01]\d|2[0-3])([0-5]\d([0-5]\d(\d{3})?)?)?)?)?)"
    r"(\.0*)?\s*$"
)
_LIST_OF_NUMBERS = r"^\s*[\[(]?\s*(\d{9,19})([\s,;|]+\d{9,19})*\s*[\])]?\s*$"
_SAMPLE, _MANY = 100, 10_000  # values


def time_column(path: Path | str, frame: pl.DataFrame, default: str, used: tuple[str, str]) -> str | None:
    """Choose the column of the time where none is named.

    Args:
        path: The file, for errors.
        frame: All columns of the file.
        default: Column that the format expects.
        used: Columns of users and items.

    Returns:
        The default column, the only column whose name can only mean the time, or None if no column looks like a time.

    Raises:
        DataError: Columns look like times, and it is unclear which one to use.
    """
    if default in frame.columns:
        return default
    found = [name for name in frame.columns if name not in used and _looks_like_time(frame, name)]
    if {plain(name) for name in found} == {"unixreviewtime", "reviewtime"}:
        # Amazon reviews: both columns hold the same day
        found = [name for name in found if plain(name) == "unixreviewtime"]
    if len(found) == 1 and plain(found[0]) in _CERTAIN:
        return found[0]
    if found:
        verb = "looks like a time" if len(found) == 1 else "look like times"
        likely = [name for name in found if frame.schema[name].is_temporal() or _values_are_times(frame[name])]
        example = "".join(f" {name}" for name in (likely or (found if len(found) == 1 else []))[:1])
        raise DataError(
            f"{path}: {', '.join(found)} {verb}, but no column {default!r} says which one to use; "
            f"name it by --time{example}, or use the order of the rows by --time none"
        )
    return None


def is_date(text: str) -> bool:
    """Return whether a text looks like a date, ISO or not."""
    return bool(pl.Series([text]).str.contains(_DATE).item())


def names_time(name: str) -> bool:
    """Return whether the name of a column says that it holds times."""
    words = re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()
    parts = re.split(r"[^a-z]+", words)
    if plain(name) in _CERTAIN or _WORDS & set(parts) or (len(parts) > 1 and parts[-1] == "at"):
        return True
    return any(part.endswith(_JOINED) and part not in _OTHERS for part in parts)


def plain(name: str) -> str:
    """Return the letters of a column's name in lower case, by which known names are recognised."""
    return re.sub(r"[^a-z]", "", name.lower())


def compact_dates(times: pl.Series) -> tuple[int, str | None] | None:
    """Return a row of numbers that are dates, such as 20260131, with their format.

    Returns:
        None if most of the first are none; the format is None for months, which give no order within.
    """
    times = times.head(_MANY)
    found = times.str.extract(_COMPACT_DATE)
    wide = times.str.strip_chars().is_in(["0", "0.0"])
    if found.is_not_null().sum() * 2 < max(1, len(times) - int(wide.sum())):
        return None
    row = int(found.is_not_null().arg_true()[0])
    return row, _COMPACT.get(len(found[row]))


def _looks_like_time(frame: pl.DataFrame, name: str) -> bool:
    kind = frame.schema[name]
    if kind.is_temporal() or (isinstance(kind, (pl.List, pl.Array)) and kind.inner.is_temporal()):
        return True
    return names_time(name) or _values_are_times(frame[name])


def _values_are_times(column: pl.Series) -> bool:
    """Return whether most of the first values are dates, or seconds to nanoseconds of the years 1990 to 2040."""
    if isinstance(column.dtype, (pl.List, pl.Array)):
        column = column.drop_nulls().head(_SAMPLE).explode()
    if column.dtype == pl.Object:
        column = pl.Series([None if value is None else str(value) for value in column.head(_SAMPLE)], dtype=pl.String)
    text = column.dtype in (pl.String, pl.Categorical, pl.Enum)
    if not (text or column.dtype.is_numeric()):
        return False
    sample = column.drop_nulls().head(_SAMPLE).cast(pl.String)
    sample = sample.filter(~sample.str.strip_chars().is_in(["", "0", "-1", "0.0", "-1.0", *MISSING_WORDS]))
    if sample.is_empty():
        return False
    dates = sample.str.contains(_DATE) | (sample.str.contains(_COMPACT_DATE) & (sample.str.len_chars() >= 8))
    if dates.sum() * 2 > len(sample):
        return True
    number = sample.str.replace(_LIST_OF_NUMBERS, "$1").cast(pl.Float64, strict=False).drop_nulls()
    first, last = TODAY
    most = max(int(number.is_between(first * unit, last * unit).sum()) for unit in (1, 1e3, 1e6, 1e9))
    return len(number) * 2 >= len(sample) and most > 0 and most >= 0.8 * len(number)
