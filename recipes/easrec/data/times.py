"""Times: which column holds them, and their conversion to 64-bit integers of nanoseconds."""

import re
from decimal import Decimal, InvalidOperation
from pathlib import Path

import polars as pl

from elasticnas.errors import DataError

__all__ = ["NO_TIME", "nanoseconds", "time_column"]

NO_TIME = "none"
"""Value of ``--time`` that chooses the order of the rows."""

_CERTAIN = {"timestamp", "time", "datetime", "date", "unixreviewtime", "unixtime", "eventtime", "unixtimestamp"}
_WORDS = {"time", "times", "timestamp", "timestamps", "datetime", "date", "dates", "ts", "unixtime", "epoch"}
_LARGEST = 2**63 - 1
_DATE = r"^\d{4}-\d\d-\d\d([ T].*)?$"


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
    if {_plain(name) for name in found} == {"unixreviewtime", "reviewtime"}:
        # Amazon reviews: both columns hold the same day
        found = [name for name in found if _plain(name) == "unixreviewtime"]
    if len(found) == 1 and _plain(found[0]) in _CERTAIN:
        return found[0]
    if found:
        verb = "looks like a time" if len(found) == 1 else "look like times"
        raise DataError(
            f"{path}: {', '.join(found)} {verb}, but no column {default!r} says which one to use; "
            f"name it by --time {found[0]}, or use the order of the rows by --time none"
        )
    return None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def _looks_like_time(frame: pl.DataFrame, name: str) -> bool:
    if frame.schema[name].is_temporal():
        return True
    words = re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()
    if _plain(name) in _CERTAIN or _WORDS & set(re.split(r"[^a-z]+", words)) or words == "created_at":
        return True
    return _values_are_times(frame[name])


def _values_are_times(column: pl.Series) -> bool:
    """Return whether the first values are ISO dates, or seconds or milliseconds of the years 2000 to 2040."""
    if not (column.dtype == pl.String or column.dtype.is_numeric()):
        return False
    sample = column.head(100).drop_nulls().cast(pl.String)
    if sample.is_empty():
        return False
    if sample.str.contains(_DATE).all():
        return True
    number = sample.cast(pl.Float64, strict=False)
    seconds = number.is_between(946_684_800, 2_208_988_800) | number.is_between(946_684_800e3, 2_208_988_800e3)
    return bool(seconds.fill_null(False).all())


def nanoseconds(path: Path | str, times: pl.Series, rows: pl.Series, form: str | None = None) -> pl.Series:
    """Convert times to nanoseconds, exactly.

    Numbers are seconds if they all fit as such (up to about the year 2262), otherwise milliseconds, microseconds or
    nanoseconds; the unit is the same for the whole column. ISO dates without zone are UTC.

    Args:
        path: The file, for errors.
        times: Text, or dates in nanoseconds.
        rows: Row of each time, for errors.
        form: Format of dates, such as ``%m/%d/%Y``; None for numbers and ISO dates.

    Returns:
        int64; all null if all times are.

    Raises:
        DataError: A time is missing, is no time, or does not fit.
    """
    if times.null_count() == len(times):
        return pl.Series("time", [None] * len(times), dtype=pl.Int64)
    if times.dtype == pl.Datetime("ns"):
        return _complete(path, times, rows, times.dt.epoch("ns"), "is missing")
    if form is not None:
        found = _by_format(times, form)
        return _complete(path, times, rows, found, f"does not have the format {form!r}")
    whole = times.cast(pl.Int64, strict=False)
    if whole.null_count() == 0:
        low, high = whole.to_numpy().min(), whole.to_numpy().max()
        scaled: pl.Series = whole * 10 ** _exponent(max(abs(int(low)), abs(int(high))))
        return scaled
    if whole.null_count() < len(times) or times.str.contains(r"^\s*[+-]?[\d.]+([eE][+-]?\d+)?\s*$").any():
        return _of_decimals(path, times, rows)
    return _complete(path, times, rows, _of_dates(path, times, rows), "is neither a number nor an ISO date")


def _exponent(largest: int) -> int:
    return next((e for e in (9, 6, 3) if largest * 10**e <= _LARGEST), 0)


def _complete(path: Path | str, times: pl.Series, rows: pl.Series, found: pl.Series, why: str) -> pl.Series:
    if found.null_count():
        _refuse(path, times, rows, int(found.is_null().arg_true()[0]), why)
    return found


def _refuse(path: Path | str, times: pl.Series, rows: pl.Series, at: int, why: str) -> None:
    found = "no time" if times[at] is None else f"the time {times[at][:60]!r} {why}"
    raise DataError(f"{path}, row {rows[at]}: {found}; correct it, or use the order of the rows by --time none")


def _of_decimals(path: Path | str, times: pl.Series, rows: pl.Series) -> pl.Series:
    # each distinct value once, in exact decimal arithmetic: floats are too coarse for nanoseconds
    distinct = times.unique()
    values = {text: _decimal(text) for text in distinct.to_list()}
    bad = {text for text, value in values.items() if value is None}
    if bad:
        at = next(i for i, text in enumerate(times) if text in bad)
        _refuse(path, times, rows, at, "is neither a number nor an ISO date")
    e = _exponent(int(max(abs(value) for value in values.values() if value is not None)) + 1)
    scaled = {text: value.scaleb(e) for text, value in values.items() if value is not None}
    wrong = {text for text, value in scaled.items() if value != value.to_integral_value() or abs(value) > _LARGEST}
    if wrong:
        at = next(i for i, text in enumerate(times) if text in wrong)
        _refuse(path, times, rows, at, "does not fit 64-bit nanoseconds (finer, or beyond them)")
    exact = {text: int(value) for text, value in scaled.items()}
    table = pl.DataFrame(
        {"text": distinct, "time": [exact[text] for text in distinct]}, schema_overrides={"time": pl.Int64}
    )
    return pl.DataFrame({"text": times}).join(table, on="text", how="left", maintain_order="left")["time"]


def _decimal(text: str | None) -> Decimal | None:
    try:
        value = Decimal((text or "").strip())
    except InvalidOperation:
        return None
    return value if value.is_finite() and abs(value.adjusted()) < 30 else None


def _of_dates(path: Path | str, times: pl.Series, rows: pl.Series) -> pl.Series:
    """Convert ISO dates, with or without time of day and zone (default UTC); others to null."""
    finer = times.str.contains(r"\.\d{9}\d*[1-9]").fill_null(False)
    years = times.str.extract(r"^\s*(\d{4})-").cast(pl.Int32, strict=False)
    beyond = ((years < 1678) | (years > 2261)).fill_null(False)
    for wrong in (finer, beyond):
        if wrong.any():
            _refuse(
                path, times, rows, int(wrong.arg_true()[0]), "does not fit 64-bit nanoseconds (finer, or beyond them)"
            )
    text = times.str.replace(r"^(\d{4}-\d\d-\d\d) ", "${1}T").str.replace(r"\s*(Z|UTC)$", "+00:00")
    text = text.str.replace(r"(\.\d{9})0+", "${1}")
    found = []
    for form in ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"):
        found.append(text.str.to_datetime(f"{form}%:z", strict=False, time_unit="ns").dt.replace_time_zone(None))
        found.append(text.str.to_datetime(form, strict=False, time_unit="ns"))
    found.append(text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("ns")))
    return pl.select(pl.coalesce(found)).to_series().dt.epoch("ns")


def _by_format(times: pl.Series, form: str) -> pl.Series:
    try:
        if not re.search(r"%[HIMSTRcsX]", form):
            days: pl.Series = times.str.to_date(form, strict=False).cast(pl.Datetime("ns")).dt.epoch("ns")
            return days
        moments = times.str.to_datetime(form, strict=False, time_unit="ns")
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"--time-format {form!r}: {str(error).splitlines()[0][:200]}; for example %m/%d/%Y %H:%M"
        ) from None
    if moments.dtype.time_zone is not None:  # type: ignore[attr-defined]
        moments = moments.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    found: pl.Series = moments.dt.epoch("ns")
    return found
