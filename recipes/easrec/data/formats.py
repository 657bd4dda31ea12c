"""The table of formats; each format converts a raw file to the text columns user, item and time."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Literal

import polars as pl

from easrec.data.tables import delimited, parquet, text_of
from easrec.data.times import NO_TIME, time_column
from elasticnas.errors import DataError, PluginError, describe_error

__all__ = ["FORMATS", "GROUP", "Columns", "Format", "detect", "known_formats", "of_table", "read_table"]

GROUP = "easrec.formats"
"""Entry-point group for formats of installed packages."""


_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?|\d{4}-\d\d-\d\d.*")


@dataclass(frozen=True)
class Columns:
    """Names of the columns to read.

    Attributes:
        user: Column of the user ids; None for the format's default.
        item: Column of the item ids; None for the format's default.
        time: Column of the time; None for the format's default, ``"none"`` for the order of the rows.
        header: Whether delimited text starts with a header; otherwise columns are named 1, 2, 3 by position.
        separator: Separator of delimited text; None for the format's.
        time_format: Format of dates, such as ``%m/%d/%Y``; None for numbers and ISO dates.
        missing: What ids such as NA and null are: refused, kept as ids, or dropped like empty ones.
    """

    user: str | None = None
    item: str | None = None
    time: str | None = None

    header: bool = True
    separator: str | None = None
    time_format: str | None = None
    missing: Literal["refuse", "keep", "drop"] = "refuse"

    def chosen(
        self, path: Path | str, frame: pl.DataFrame, user: str, item: str, time: str
    ) -> tuple[str, str, str | None]:
        """Return the given names or the defaults; None for the time if the order of the rows counts.

        Raises:
            DataError: A column looks like a time, but it is unclear whether to use it.
        """
        users, items = self.user or user, self.item or item
        if self.time == NO_TIME:
            return users, items, None
        return users, items, self.time or time_column(path, frame, time, (users, items))

    def pick(self, path: Path, frame: pl.DataFrame, user: str, item: str, time: str) -> pl.DataFrame:
        """Select the three columns as text.

        Args:
            path: The file, for errors.
            frame: All columns of the file.
            user: Default column of the user ids.
            item: Default column of the item ids.
            time: Default column of the time; if it is missing and no other is given, the resulting time is null.

        Returns:
            ``user``, ``item``, ``time``, with the rows of the frame.

        Raises:
            DataError: A column is missing, or cannot be read as text.
        """
        return _picked(path, frame, *self.chosen(path, frame, user, item, time))


@dataclass(frozen=True)
class Format:
    """A raw format of interactions.

    Attributes:
        name: Name for ``--format``.
        endings: Endings of file names, in lower case and without ``.gz``; the longest matching one decides.
        read: Reads a file and returns ``user``, ``item`` and ``time`` as text, in the rows and order of the file;
            ``time`` is null if there is none.
        first_row: Number of the first row of data, for errors: 2 after a header.
    """

    name: str
    endings: tuple[str, ...]
    read: Callable[[Path, Columns], pl.DataFrame]
    first_row: int = 2


def _picked(path: Path | str, frame: pl.DataFrame, user: str, item: str, time: str | None) -> pl.DataFrame:
    for wanted, option in ((user, "--user"), (item, "--item"), (time, "--time")):
        if wanted is not None and wanted not in frame.columns:
            raise DataError(
                f"{path}: no column {wanted!r}; the columns are {', '.join(frame.columns)}; name it by {option}"
            )
    frame = frame.with_columns(_whole_ids(path, frame[name]) for name in dict.fromkeys((user, item)))
    times = pl.lit(None, dtype=pl.String) if time is None else pl.col(time)
    if time is not None and frame.schema[time] != pl.Datetime("ns"):
        times = times.cast(pl.String)
    try:
        return frame.select(user=pl.col(user).cast(pl.String), item=pl.col(item).cast(pl.String), time=times)
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{path}: a column of {user}, {item}, {time or 'no time'} cannot be read as text "
            f"({str(error).splitlines()[0]}); ids are text or numbers, times numbers or dates"
        ) from None


def _whole_ids(path: Path | str, ids: pl.Series) -> pl.Series:
    """Convert whole numbers that are stored as floats to integers, so that 10.0 is the id 10; NaN is no id."""
    if not ids.dtype.is_float():
        return ids
    ids = ids.fill_nan(None)
    if ((ids != ids.round()) | (ids.abs() >= 2**53)).any():
        raise DataError(f"{path}: the ids of {ids.name!r} are floats that are no whole numbers; store them as text")
    whole: pl.Series = ids.cast(pl.Int64)
    return whole


def _read_delimited(path: Path, columns: Columns, separator: str) -> pl.DataFrame:
    frame = delimited(path, text_of(path), columns.separator or separator, columns.header)
    if columns.header:
        _refuse_data_as_header(path, frame, columns)
    return columns.pick(path, frame, "user_id", "item_id", "timestamp")


def _refuse_data_as_header(path: Path, frame: pl.DataFrame, columns: Columns) -> None:
    """Check that the first row is a header: no cell is a number, and ids do not occur again in their column."""
    named = {"user_id", "item_id"} <= set(frame.columns)
    numbers = [] if named else [name for name in frame.columns if _NUMBER.fullmatch(name)]
    ids = [name for name in (columns.user, columns.item) if name in frame.columns and (frame[name] == name).any()]
    if numbers or ids:
        raise DataError(
            f"{path}: the first row looks like data ({(numbers + ids)[0]!r} is no column name); if there is no header, "
            "give the columns by position: --no-header --user 1 --item 2 --time 4"
        )


def read_csv(path: Path, columns: Columns) -> pl.DataFrame:
    """Read comma-separated values with a header."""
    return _read_delimited(path, columns, ",")


def read_tsv(path: Path, columns: Columns) -> pl.DataFrame:
    """Read tab-separated values with a header."""
    return _read_delimited(path, columns, "\t")


def read_parquet(path: Path, columns: Columns) -> pl.DataFrame:
    """Read a Parquet file."""
    return of_table(path, parquet(path), columns)


def of_table(path: Path | str, frame: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    """Select user, item and time of a typed table; dates are converted to seconds."""
    user, item, time = columns.chosen(path, frame, "user_id", "item_id", "timestamp")
    if time in frame.columns:
        frame = frame.with_columns(_nanoseconds_if_dates(path, frame[time]))
    return _picked(path, frame, user, item, time)


def _nanoseconds_if_dates(path: Path | str, times: pl.Series) -> pl.Series:
    if times.dtype.is_float():
        return times.fill_nan(None)
    if times.dtype not in (pl.Date, pl.Datetime):
        return times
    if times.dtype == pl.Date:
        times = times.cast(pl.Datetime("us"))
    finer = times.cast(pl.Datetime("ns"), strict=False)
    there = times.drop_nulls()
    if len(there) and (there.dt.year().min() < 1678 or there.dt.year().max() > 2261):  # type: ignore[operator]
        raise DataError(
            f"{path}: a date of {times.name!r} does not fit 64-bit nanoseconds (years 1678 to 2261); drop it"
        )
    utc: pl.Series = finer.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return utc


def read_ratings_dat(path: Path, columns: Columns) -> pl.DataFrame:
    """Read MovieLens ``ratings.dat``: ``UserID::MovieID::Rating::Timestamp``, no header."""
    data = text_of(path, latin=True).replace(b"::", b"\t")
    frame = delimited(path, data, "\t", header=False)
    if len(frame.columns) != 4:
        raise DataError(f"{path}: expected UserID::MovieID::Rating::Timestamp in each line, found {data[:60]!r}")
    frame.columns = ["UserID", "MovieID", "Rating", "Timestamp"]
    return columns.pick(path, frame, "UserID", "MovieID", "Timestamp")


def read_inter(path: Path, columns: Columns) -> pl.DataFrame:
    """Read RecBole ``.inter``: tab-separated, header ``user_id:token``, ``item_id:token``, ``timestamp:float``."""
    frame = delimited(path, text_of(path), "\t")
    names = [name.partition(":")[0] for name in frame.columns]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{path}: the column {twice[0]!r} occurs twice; rename one")
    frame.columns = names
    return columns.pick(path, frame, "user_id", "item_id", "timestamp")


def read_checkins(path: Path, columns: Columns) -> pl.DataFrame:
    """Read SNAP Gowalla check-ins: user, ISO time, latitude, longitude, location id; tabs, no header."""
    frame = delimited(path, text_of(path), "\t", header=False)
    if len(frame.columns) != 5:
        count = len(frame.columns)
        raise DataError(f"{path}: expected user, time, latitude, longitude and location id, found {count} fields")
    frame.columns = ["user", "time", "latitude", "longitude", "location"]
    return columns.pick(path, frame, "user", "location", "time")


def read_dmsc(path: Path, columns: Columns) -> pl.DataFrame:
    """Read Kaggle Douban ``DMSC.csv``, with Username, Movie_Name_EN and Date; comments may span lines."""
    frame = delimited(path, text_of(path), ",")
    return columns.pick(path, frame, "Username", "Movie_Name_EN", "Date")


def _movies(path: Path) -> pl.DataFrame:
    """Read MovieLens ``movies.dat``: ``MovieID::Title::Genres``, no header."""
    data = text_of(path, "item", latin=True).replace(b"::", b"\t")
    frame = delimited(path, data, "\t", header=False, what="item")
    if len(frame.columns) != 3:
        raise DataError(f"{path}: expected MovieID::Title::Genres in each line, found {data[:60]!r}")
    frame.columns = ["MovieID", "Title", "Genres"]
    return frame


def read_table(path: Path) -> tuple[pl.DataFrame, int, str]:
    """Read a file of items; the format follows from its name.

    Returns:
        The table, the number of its first row of data, and the default column of the item ids.

    Raises:
        DataError: The format is not supported, or the file cannot be read.
    """
    kind = next((each.name for each in _matching(path, FORMATS)), None)
    if kind == "parquet":
        return parquet(path, "item"), 1, "item_id"
    if path.name.lower().removesuffix(".gz").endswith("movies.dat"):
        return _movies(path), 1, "MovieID"
    if kind not in ("csv", "tsv"):
        raise DataError(
            f"{path}: items come as .csv, .tsv, .txt or .parquet with a header, or as MovieLens' movies.dat; this is "
            f"{kind or 'none of them'}: write the items as one of them"
        )
    return delimited(path, text_of(path, "item"), "," if kind == "csv" else "\t", what="item"), 2, "item_id"


FORMATS: dict[str, Format] = {
    known.name: known
    for known in (
        Format("csv", (".csv",), read_csv),
        Format("tsv", (".tsv", ".txt"), read_tsv),
        Format("parquet", (".parquet",), read_parquet, first_row=1),
        Format("ratings.dat", ("ratings.dat",), read_ratings_dat, first_row=1),
        Format("inter", (".inter",), read_inter),
        Format("gowalla", ("totalcheckins.txt",), read_checkins, first_row=1),
        Format("dmsc", ("dmsc.csv",), read_dmsc),
    )
}


def known_formats() -> dict[str, Format]:
    """Return the formats of this table and of installed packages, by name.

    Raises:
        PluginError: A package's format cannot be loaded, or has the name of another.
    """
    known = dict(FORMATS)
    for point in entry_points(group=GROUP):
        found = _loaded(point)
        if found.name in known:
            raise PluginError(f"two formats have the name {found.name!r}, one of them {point.value}; uninstall one")
        known[found.name] = found
    return known


def _loaded(point: EntryPoint) -> Format:
    try:
        found = point.load()
    except Exception as error:  # the import of a package may raise anything
        raise PluginError(
            f"the format {point.name} ({point.value}) cannot be loaded: {describe_error(error)}"
        ) from None
    if not isinstance(found, Format):
        raise PluginError(f"the format {point.name} ({point.value}): expected an easrec.data.Format, found {found!r}")
    return found


def detect(path: Path) -> Format:
    """Detect the format from a file's name.

    Raises:
        DataError: No format matches the name, or several do.
        PluginError: A package's format cannot be loaded.
    """
    found = _matching(path, known_formats())
    if len(found) == 1:
        return found[0]
    names = ", ".join(each.name for each in found) or "no format"
    choices = ", ".join(known_formats())
    verb = "matches" if len(found) < 2 else "match"
    raise DataError(f"{path}: {names} {verb} this name; give --format, one of {choices}")


def _matching(path: Path, known: dict[str, Format]) -> list[Format]:
    """Return the formats with the longest ending that matches the file's name."""
    name = path.name.lower().removesuffix(".gz")
    matching = {
        each.name: max((end for end in each.endings if name.endswith(end)), key=len, default="")
        for each in known.values()
    }
    longest = max(map(len, matching.values()))
    return [known[each] for each, ending in matching.items() if longest and len(ending) == longest]
