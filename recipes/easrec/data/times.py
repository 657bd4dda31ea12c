"""Times: which column holds them, and their conversion to 64-bit integers of nanoseconds."""

import re
from decimal import Decimal, InvalidOperation
from pathlib import Path

import polars as pl

from elasticnas.errors import DataError

__all__ = ["NO_TIME", "Times", "plain", "time_column"]

NO_TIME = "none"
"""Value of ``--time`` that chooses the order of the rows."""

_CERTAIN = {"timestamp", "time", "datetime", "date", "unixreviewtime", "unixtime", "eventtime", "unixtimestamp"}
_WORDS = {
    *("time", "times", "timestamp", "timestamps", "datetime", "date", "dates", "day", "ts", "unixtime", "epoch"),
    *("created", "updated", "modified", "added", "utc", "when", "week", "month"),
}
_LARGEST = 2**63 - 1
_UNITS = {9: "seconds", 6: "milliseconds", 3: "microseconds", 0: "nanoseconds"}  # by exponent
_FIRST, _LAST = 631_152_000, 2_208_988_800  # seconds of the years 1990 and 2040
_UNFIT = "does not fit 64-bit nanoseconds (finer, or beyond them)"
_DAY = r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"  # 20260131
_COMPACT = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}  # by number of digits
_MONTH = (
    r"(jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sept?(ember)?|oct(ober)?|nov(ember)?"
    r"|dec(ember)?)\b\.?"
)
_DATE = (
    r"(?i)^\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d\d)([\s,]|$)|\d{4}[-/]\d\d$"  # 1/31/26
    rf"|([a-z]{{3,9}},? +)?({_MONTH} +\d{{1,2}}\b|\d{{1,2}}(st|nd|rd|th)?[ -]{_MONTH}[ -]\d)"  # Sat, Jan 31
    rf"|{_DAY}(\d{{4}}|\d{{6}}|t.*)?$|\d{{1,2}}:\d\d(:\d\d.*)?$|\d{{4}}年)"  # 20260131, 20260131T12, 12:30
)
_EXAMPLE = "%m/%d/%Y %H:%M"
_NO_TIME = "is neither a number nor an ISO date (for other dates: --time-format '%m/%d/%Y')"


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
        raise DataError(
            f"{path}: {', '.join(found)} {verb}, but no column {default!r} says which one to use; "
            f"name it by --time {found[0]}, or use the order of the rows by --time none"
        )
    return None


def plain(name: str) -> str:
    """Return the letters of a column's name in lower case, by which known names are recognised."""
    return re.sub(r"[^a-z]", "", name.lower())


def _looks_like_time(frame: pl.DataFrame, name: str) -> bool:
    if frame.schema[name].is_temporal():
        return True
    words = re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()
    parts = re.split(r"[^a-z]+", words)
    if plain(name) in _CERTAIN or _WORDS & set(parts) or (len(parts) > 1 and parts[-1] == "at"):
        return True
    return _values_are_times(frame[name])


def _values_are_times(column: pl.Series) -> bool:
    """Return whether the first values are dates, or seconds to nanoseconds of the years 1990 to 2040."""
    if not (column.dtype == pl.String or column.dtype.is_numeric()):
        return False
    sample = column.head(100).drop_nulls().cast(pl.String)
    if sample.is_empty():
        return False
    if sample.str.contains(_DATE).all():
        return True
    number = sample.cast(pl.Float64, strict=False)
    return any(number.is_between(_FIRST * unit, _LAST * unit).fill_null(False).all() for unit in (1, 1e3, 1e6, 1e9))


class Times:
    """Converts times to nanoseconds, exactly, part by part.

    Numbers are seconds if they all fit as such (up to about the year 2262), otherwise milliseconds, microseconds or
    nanoseconds; the unit is the same for all parts. ISO dates without zone are UTC.

    Args:
        form: Format of dates, such as ``%m/%d/%Y``; None for numbers and ISO dates.
    """

    def __init__(self, form: str | None = None) -> None:
        self._form = form
        self._parts: list[tuple[pl.Series, int | None]] = []
        self._where: list[tuple[Path | str, pl.Series, pl.Series]] = []  # for errors, the first row of each part

    def add(self, path: Path | str, times: pl.Series, rows: pl.Series) -> None:
        """Add a part.

        Args:
            path: The file, for errors.
            times: Text, or dates in nanoseconds.
            rows: Row of each time, for errors.

        Raises:
            DataError: A time is missing though others of the part are not, is no time, or does not fit.
        """
        if len(times) == 0:
            return
        self._parts.append(self._converted(path, times, rows))
        self._where.append((path, times.head(1), rows.head(1)))

    def finish(self) -> pl.Series:
        """Return the times of all parts; all null if all times are.

        Raises:
            DataError: Parts differ: numbers and dates, times and none, or a time does not fit the common unit.
        """
        unit = self._unit()
        found = []
        for (values, exponent), where in zip(self._parts, self._where, strict=True):
            if exponent is not None and unit is not None and exponent > unit:
                factor = 10 ** (exponent - unit)
                if (values % factor != 0).any():
                    _refuse(*where, 0, "is finer than nanoseconds, as larger times count in a finer unit than seconds")
                values = values // factor
            found.append(values)
        if unit is not None and unit < 9:
            self._refuse_two_units(found, unit)
        return pl.concat(found).alias("time") if found else pl.Series("time", [], dtype=pl.Int64)

    def _refuse_two_units(self, parts: list[pl.Series], unit: int) -> None:
        """Check that no times of the years 1990 to 2040 in a coarser unit stand beside such times in the common one."""

        def holding(exponent: int) -> list[int]:
            least, largest = (bound * 10 ** (9 - exponent + unit) for bound in (_FIRST, _LAST))
            return [at for at, values in enumerate(parts) if values.is_between(least, largest).any()]

        coarser = [at for exponent in _UNITS if exponent > unit for at in holding(exponent)]
        if coarser and holding(unit):
            raise DataError(
                f"{self._where[coarser[0]][0]}: the column of the time holds {_UNITS[unit]} and numbers that are times "
                "of today in a coarser unit; write all in one unit"
            )

    def describe(self) -> str:
        """Return the unit, such as ``seconds``; empty if there are no times."""
        if all(values.null_count() for values, _ in self._parts):
            return ""
        unit = self._unit()
        return "dates" if unit is None else _UNITS[unit]

    def _unit(self) -> int | None:
        """Return the common exponent of numbers of all parts; None for dates."""
        kinds = ["none" if v.null_count() else "dates" if e is None else "numbers" for v, e in self._parts]
        if len(set(kinds)) > 1:
            at = next(i for i, kind in enumerate(kinds) if kind != kinds[0])
            at = kinds.index("none") if "none" in kinds else at
            _refuse(*self._where[at], 0, "is one of " + " and ".join(sorted(set(kinds))) + " in one column")
        return min((e for _, e in self._parts if e is not None), default=None)

    def _refuse_compact(self, path: Path | str, times: pl.Series, whole: pl.Series, rows: pl.Series) -> None:
        """Check that numbers are no dates such as 20260131, which would count as seconds of the year 1970."""
        least, largest = str(whole.min()), str(whole.max())
        form = _COMPACT.get(len(largest))
        if form is not None and len(least) == len(largest) and times.str.contains(rf"^\s*{_DAY}\d*\s*$").all():
            raise DataError(
                f"{path}, row {rows[0]}: the time {str(times[0])!r}, like the others, looks like a date, not like "
                f"seconds; add --time-format {form}"
            )

    def _converted(self, path: Path | str, times: pl.Series, rows: pl.Series) -> tuple[pl.Series, int | None]:
        if times.null_count() == len(times):
            return pl.Series("time", [None] * len(times), dtype=pl.Int64), None
        if times.dtype == pl.Datetime("ns"):
            return _complete(path, times.dt.to_string("iso"), rows, times.dt.epoch("ns"), "is missing"), None
        if self._form is not None:
            found = _by_format(times, self._form)
            return _complete(path, times, rows, found, f"does not have the format {self._form!r}"), None
        whole = times.cast(pl.Int64, strict=False)
        if whole.null_count() == 0:
            self._refuse_compact(path, times, whole, rows)
            exponent = _exponent(max(abs(int(whole.min())), abs(int(whole.max()))))
            return whole * 10**exponent, exponent
        if whole.null_count() < len(times) or times.str.contains(r"^\s*[+-]?[\d.]+([eE][+-]?\d+)?\s*$").any():
            return _of_decimals(path, times, rows)
        return _complete(path, times, rows, _of_dates(path, times, rows), _NO_TIME), None


def _exponent(largest: int) -> int:
    return next((e for e in (9, 6, 3) if largest * 10**e <= _LARGEST), 0)


def _complete(path: Path | str, times: pl.Series, rows: pl.Series, found: pl.Series, why: str) -> pl.Series:
    if found.null_count():
        _refuse(path, times, rows, int(found.is_null().arg_true()[0]), why)
    return found


def _refuse(path: Path | str, times: pl.Series, rows: pl.Series, at: int, why: str) -> None:
    found = "no time" if times[at] is None else f"the time {str(times[at])[:60]!r} {why}"
    raise DataError(f"{path}, row {rows[at]}: {found}; correct it, or use the order of the rows by --time none")


def _of_decimals(path: Path | str, times: pl.Series, rows: pl.Series) -> tuple[pl.Series, int]:
    """Convert decimal numbers exactly: floats are too coarse for nanoseconds."""
    parts = times.str.extract_groups(r"^\s*([+-]?)(\d{1,18})(?:\.(\d*))?\s*$").struct.unnest()
    parts.columns = ["sign", "whole", "fraction"]
    simple = parts["whole"].is_not_null()
    if not simple.all():
        return _of_any_numbers(path, times, rows)
    exponent = _exponent(int(parts["whole"].cast(pl.Int64).max()) + 1)
    digits = parts["fraction"].fill_null("").str.strip_chars_end("0")
    if (finer := digits.str.len_chars() > exponent).any():
        _refuse(path, times, rows, int(finer.arg_true()[0]), _UNFIT)
    below = digits.str.pad_end(exponent, "0").cast(pl.Int64, strict=False).fill_null(0)
    value = parts["whole"].cast(pl.Int64) * 10**exponent + below
    sign = pl.Series([1, -1], dtype=pl.Int64).gather((parts["sign"] == "-").cast(pl.UInt32))
    return value * sign, exponent


def _of_any_numbers(path: Path | str, times: pl.Series, rows: pl.Series) -> tuple[pl.Series, int]:
    """Convert numbers of any form, such as 1.5e9, each distinct one once."""
    distinct = times.unique()
    values = {text: _decimal(text) for text in distinct.to_list()}
    bad = {text for text, value in values.items() if value is None}
    if bad:
        at = next(i for i, text in enumerate(times) if text in bad)
        _refuse(path, times, rows, at, _NO_TIME)
    e = _exponent(int(max(abs(value) for value in values.values() if value is not None)) + 1)
    scaled = {text: value.scaleb(e) for text, value in values.items() if value is not None}
    wrong = {text for text, value in scaled.items() if value != value.to_integral_value() or abs(value) > _LARGEST}
    if wrong:
        at = next(i for i, text in enumerate(times) if text in wrong)
        _refuse(path, times, rows, at, _UNFIT)
    exact = {text: int(value) for text, value in scaled.items()}
    table = pl.DataFrame(
        {"text": distinct, "time": [exact[text] for text in distinct]}, schema_overrides={"time": pl.Int64}
    )
    return pl.DataFrame({"text": times}).join(table, on="text", how="left", maintain_order="left")["time"], e


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
            _refuse(path, times, rows, int(wrong.arg_true()[0]), _UNFIT)
    text = times.str.replace(r"^(\d{4}-\d\d-\d\d) ", "${1}T").str.replace(r"\s*(Z|UTC)$", "+00:00")
    text = text.str.replace(r"(\.\d{9})0+", "${1}").str.replace(r"(:\d\d(?:\.\d+)?)([+-]\d\d)$", "${1}${2}:00")
    found = []
    for form in ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"):
        found.append(text.str.to_datetime(f"{form}%:z", strict=False, time_unit="ns").dt.replace_time_zone(None))
        found.append(text.str.to_datetime(form, strict=False, time_unit="ns"))
    found.append(text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("ns")))
    return pl.select(pl.coalesce(found)).to_series().dt.epoch("ns")


def _by_format(times: pl.Series, form: str) -> pl.Series:
    """Convert dates of a format; others to null.

    Raises:
        DataError: The format is none, or names no day.
    """
    if not re.search(r"%[-_0]?[dejDFcsxv+]", form):
        raise DataError(
            f"--time-format {form!r}: names no day; times of day alone give no order, for example {_EXAMPLE}"
        )
    form = re.sub(r"\.%[369]?f", "%.f", form)  # as in Python; for polars, %f counts nanoseconds
    if re.search(r"%[-_0]?[HkIl]", form) and "%M" not in form:  # polars wants minutes
        times, form = times + " 00", form + " %M"
    try:
        if not re.search(r"%([-_0]?[HkIlMSTRrcsX+]|\.?f)", form):
            days: pl.Series = times.str.to_date(form, strict=False).cast(pl.Datetime("ns")).dt.epoch("ns")
            return days
        moments = times.str.to_datetime(form, strict=False, time_unit="ns")
    except pl.exceptions.PolarsError as error:
        raise DataError(f"--time-format {form!r}: {str(error).splitlines()[0][:200]}; for example {_EXAMPLE}") from None
    if moments.dtype.time_zone is not None:  # type: ignore[attr-defined]
        moments = moments.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    found: pl.Series = moments.dt.epoch("ns")
    return found
