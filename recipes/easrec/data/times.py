"""Times: their conversion to 64-bit integers of nanoseconds."""

from decimal import Decimal, InvalidOperation
from pathlib import Path

import polars as pl

from easrec.data.dates import UNFIT, by_format, iso_dates
from easrec.data.time_columns import TODAY, compact_dates
from elasticnas.errors import DataError

__all__ = ["Times"]

_LARGEST = 2**63 - 1
_UNITS = {9: "seconds", 6: "milliseconds", 3: "microseconds", 0: "nanoseconds"}  # by exponent
_NO_TIME = "is neither a number nor an ISO date (for other dates: --time-format '%m/%d/%Y')"


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
        """Check that times of the years 1990 to 2040 in a coarser unit are not many, and stand beside none in this."""

        def counted(exponent: int) -> list[int]:
            least, largest = (bound * 10 ** (9 - exponent + unit) for bound in TODAY)
            return [int(values.is_between(least, largest).sum()) for values in parts]

        own, total = sum(counted(unit)), sum(map(len, parts))
        for exponent in (each for each in _UNITS if each > unit):
            if (coarser := counted(exponent)) and sum(coarser) and (own or 2 * sum(coarser) >= total):
                file = self._where[coarser.index(max(coarser))][0]
                raise DataError(
                    f"{file}: the column of the time holds {_UNITS[unit]}, to go by its largest numbers, and others "
                    "that are times of today in a coarser unit; write all in one unit, and drop numbers that stand for "
                    "no time"
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

    def _refuse_compact(self, path: Path | str, times: pl.Series, rows: pl.Series) -> None:
        """Check that numbers are no dates such as 20260131, which would count as seconds of the year 1970."""
        if (found := compact_dates(times)) is None:
            return
        at, form = found
        way_out = "write it with its day" if form is None else f"add --time-format {form}"
        seconds = ", or --time-format %s if they are seconds" if form == "%Y%m%d%H" else ""
        raise DataError(
            f"{path}, row {rows[at]}: the time {str(times[at])!r}, like others, looks like a date, not like seconds; "
            f"{way_out}{seconds}"
        )

    def _converted(self, path: Path | str, times: pl.Series, rows: pl.Series) -> tuple[pl.Series, int | None]:
        if times.null_count() == len(times):
            return pl.Series("time", [None] * len(times), dtype=pl.Int64), None
        if times.dtype == pl.Datetime("ns"):
            if self._form is not None:
                raise DataError(f"{path}: --time-format {self._form!r}: the column holds dates already; leave it out")
            return _complete(path, times.dt.to_string("iso"), rows, times.dt.epoch("ns"), "is missing"), None
        if self._form is not None:
            found = by_format(times, self._form)
            return _complete(path, times, rows, found, f"does not have the format {self._form!r}"), None
        self._refuse_compact(path, times, rows)
        whole = times.cast(pl.Int64, strict=False)
        if whole.null_count() == 0:
            exponent = _exponent(max(abs(int(whole.min())), abs(int(whole.max()))))
            return whole * 10**exponent, exponent
        if whole.null_count() < len(times) or times.str.contains(r"^\s*[+-]?[\d.]+([eE][+-]?\d+)?\s*$").any():
            return _of_decimals(path, times, rows)
        dates, unfit = iso_dates(times)
        if unfit.any():
            _refuse(path, times, rows, int(unfit.arg_true()[0]), UNFIT)
        return _complete(path, times, rows, dates, _NO_TIME), None


def _exponent(largest: int) -> int:
    return next((e for e in (9, 6, 3) if largest * 10**e <= _LARGEST), 0)


def _complete(path: Path | str, times: pl.Series, rows: pl.Series, found: pl.Series, why: str) -> pl.Series:
    if found.null_count():
        _refuse(path, times, rows, int(found.is_null().arg_true()[0]), why)
    return found


def _refuse(path: Path | str, times: pl.Series, rows: pl.Series, at: int, why: str) -> None:
    found = "no time" if times[at] is None else f"the time {str(times[at])[:60]!r} {why}"
    leave = "leave such rows out by --where \"COLUMN > 0\" (dates: > '1900-01-01')"
    way_out = leave if times[at] is None else "correct it"
    raise DataError(f"{path}, row {rows[at]}: {found}; {way_out}, or use the order of the rows by --time none")


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
        _refuse(path, times, rows, int(finer.arg_true()[0]), UNFIT)
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
        _refuse(path, times, rows, at, UNFIT)
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
