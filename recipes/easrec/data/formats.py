"""The table of formats; each format converts a raw file to the text columns user, item and time."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import polars as pl

from easrec.data.tables import delimited, parquet, text_of
from elasticnas.errors import DataError, PluginError, describe_error

__all__ = ["FORMATS", "GROUP", "Columns", "Format", "detect", "known_formats", "of_table", "read_table"]

GROUP = "easrec.formats"
"""Entry-point group for formats of installed packages."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns to read; None for the format's default."""

    user: str | None = None
    item: str | None = None
    time: str | None = None

    def or_default(self, user: str, item: str, time: str, present: list[str]) -> tuple[str, str, str | None]:
        """Return the given names or the defaults; None for the time if it has no given or default column."""
        default_time = time if time in present else None
        return self.user or user, self.item or item, self.time or default_time

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
        return _picked(path, frame, *self.or_default(user, item, time, frame.columns))


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
    times = pl.lit(None, dtype=pl.String) if time is None else pl.col(time).cast(pl.String)
    try:
        return frame.select(user=pl.col(user).cast(pl.String), item=pl.col(item).cast(pl.String), time=times)
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{path}: a column of {user}, {item}, {time or 'no time'} cannot be read as text "
            f"({str(error).splitlines()[0]}); ids are text or numbers, times numbers or dates"
        ) from None


def _read_delimited(path: Path, columns: Columns, separator: str) -> pl.DataFrame:
    frame = delimited(path, text_of(path), separator)
    return columns.pick(path, frame, "user_id", "item_id", "timestamp")


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
    picked = columns.or_default("user_id", "item_id", "timestamp", frame.columns)
    if picked[2] in frame.columns and frame.schema[picked[2]] in (pl.Date, pl.Datetime):
        frame = frame.with_columns(pl.col(picked[2]).cast(pl.Datetime("us")).dt.epoch("us") / 1e6)
    return _picked(path, frame, *picked)


def read_ratings_dat(path: Path, columns: Columns) -> pl.DataFrame:
    """Read MovieLens ``ratings.dat``: ``UserID::MovieID::Rating::Timestamp``, no header."""
    data = text_of(path, "latin-1").replace(b"::", b"\t")
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
    data = text_of(path, "latin-1", "item").replace(b"::", b"\t")
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
    return delimited(path, text_of(path, what="item"), "," if kind == "csv" else "\t", what="item"), 2, "item_id"


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
