"""Dates in text and in columns, as nanoseconds of UTC."""

import re
from datetime import datetime, timezone
from pathlib import Path

import polars as pl

from elasticnas.errors import DataError

__all__ = ["EXAMPLE", "UNFIT", "by_format", "date_of", "in_utc", "iso_dates"]

EXAMPLE = "%m/%d/%Y %H:%M"
"""Example of a format."""

UNFIT = "does not fit 64-bit nanoseconds (finer, or beyond them)"
"""What is wrong with such a time."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def date_of(text: str) -> int | None:
    """Return an ISO date, UTC without a zone, in nanoseconds; None for other text and years that do not fit."""
    if not re.match(r"\d{4}-\d\d-\d\d([T ].*)?$", text.strip()):
        return None
    try:
        moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        return None
    if not 1678 <= moment.year <= 2261:
        return None
    since = (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1_000


def in_utc(path: Path | str, times: pl.Series, name: str) -> pl.Series:
    """Return a column of dates as date-times of UTC in nanoseconds, without zone.

    Raises:
        DataError: A date does not fit.
    """
    if times.dtype == pl.Date:
        times = times.cast(pl.Datetime("us"))
    there = times.drop_nulls()
    if len(there) and (there.dt.year().min() < 1678 or there.dt.year().max() > 2261):  # type: ignore[operator]
        raise DataError(f"{path}: a date of {name!r} does not fit 64-bit nanoseconds (years 1678 to 2261); drop it")
    finer = times.cast(pl.Datetime("ns", times.dtype.time_zone), strict=False)  # type: ignore[attr-defined]
    utc: pl.Series = finer.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return utc


def iso_dates(times: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Convert ISO dates, with or without time of day and zone (default UTC).

    Returns:
        Nanoseconds, null for what is no such date; and which ones do not fit.
    """
    unfit = times.str.contains(r"\.\d{9}\d*[1-9]").fill_null(False)
    years = times.str.extract(r"^\s*(\d{4})-").cast(pl.Int32, strict=False)
    unfit |= ((years < 1678) | (years > 2261)).fill_null(False)
    text = times.str.replace(r"^(\d{4}-\d\d-\d\d) ", "${1}T").str.replace(r"\s*(Z|UTC)$", "+00:00")
    text = text.str.replace(r"(\.\d{9})0+", "${1}").str.replace(r"(:\d\d(?:\.\d+)?)([+-]\d\d)$", "${1}${2}:00")
    text = text.set(unfit, None)
    found = []
    for form in ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"):
        found.append(text.str.to_datetime(f"{form}%:z", strict=False, time_unit="ns").dt.replace_time_zone(None))
        found.append(text.str.to_datetime(form, strict=False, time_unit="ns"))
    found.append(text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("ns")))
    return pl.select(pl.coalesce(found)).to_series().dt.epoch("ns"), unfit


def by_format(times: pl.Series, form: str) -> pl.Series:
    """Convert dates of a format; others to null.

    Raises:
        DataError: The format is none, or names no day.
    """
    if not re.search(r"%[-_0]?[dejDFcsxv+]", form):
        raise DataError(
            f"--time-format {form!r}: names no day; times of day alone give no order, for example {EXAMPLE}"
        )
    if "%Z" in form:
        raise DataError(f"--time-format {form!r}: names of zones are not read; write offsets such as +0100, read by %z")
    if re.fullmatch(r"(%[YmdHMS])+", form):
        times = times.str.replace(r"^\s*(\d+)\.0*\s*$", "$1")  # 20260131.0, as floats are written
    form = re.sub(r"\.%[369]?f", "%.f", form)  # as in Python; for polars, %f counts nanoseconds
    if re.search(r"%[-_0]?[HkIl]", form) and "%M" not in form:  # polars wants minutes
        times, form = times + " 00", form + " %M"
    try:
        if not re.search(r"%([-_0]?[HkIlMSTRrcsX+]|\.?f)", form):
            days: pl.Series = times.str.to_date(form, strict=False).cast(pl.Datetime("ns")).dt.epoch("ns")
            return days
        moments = times.str.to_datetime(form, strict=False, time_unit="ns")
    except pl.exceptions.PolarsError as error:
        raise DataError(f"--time-format {form!r}: {str(error).splitlines()[0][:200]}; for example {EXAMPLE}") from None
    if moments.dtype.time_zone is not None:  # type: ignore[attr-defined]
        moments = moments.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    found: pl.Series = moments.dt.epoch("ns")
    return found
