"""The table of readers: each turns one raw format into the text columns user, item and time."""

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from elasticnas.errors import DataError

__all__ = ["FORMATS", "Columns", "detect", "of_table", "read_table"]


class Columns:
    """Names of the columns to read; ``time`` None means row order."""

    def __init__(self, user: str | None, item: str | None, time: str | None) -> None:
        self.user, self.item, self.time = user, item, time

    def or_default(self, user: str, item: str, time: str, present: list[str]) -> tuple[str, str, str | None]:
        """The names asked for, or a format's own; a time column nobody asked for may be missing."""
        default_time = time if time in present else None
        return self.user or user, self.item or item, self.time or default_time


def _bytes_of(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix.lower() == ".gz" else data
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the gzip file is truncated or damaged ({error}); get it again") from None


def _text(path: Path, encoding: str = "utf-8", what: str = "interaction") -> bytes:
    data = _bytes_of(path)
    if not data.strip():
        raise DataError(f"{path}: the file is empty; expected one {what} per line")
    if encoding == "utf-8":
        try:
            data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            # a line, not a row: what is no text cannot be parsed, and quoted fields may hold line breaks
            line = data.count(b"\n", 0, error.start) + 1
            raise DataError(
                f"{path}, line {line}: not UTF-8 (byte 0x{data[error.start]:02x}); "
                "re-encode it, for example: iconv -f latin1 -t utf-8"
            ) from None
        return data.removeprefix(b"\xef\xbb\xbf")
    return data.decode(encoding).encode()


def _delimited(path: Path, data: bytes, separator: str, header: bool = True, what: str = "interaction") -> pl.DataFrame:
    # only commas need quotes: a quote in a tab separated text is a character like any other
    quote = '"' if separator == "," else None
    try:
        frame = pl.read_csv(data, separator=separator, has_header=header, infer_schema=False, quote_char=quote)
    except pl.exceptions.PolarsError as error:
        row = _ragged_row(data, separator, quote)
        where = f"{path}, row {row}" if row else str(path)
        reason = "its number of fields differs from the first row's" if row else str(error).splitlines()[0]
        raise DataError(f"{where}: {reason}; one {what} per line, {separator!r} between fields") from None
    # polars fills up rows that are too short; an empty last field looks the same, so only then is the file read again
    filled = frame[:, -1].is_null() & ~frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
    if filled.any() and (row := _short_row(data, separator, quote, frame.width, filled.to_numpy(), 2 if header else 1)):
        raise DataError(
            f"{path}, row {row}: fewer fields than the {frame.width} columns; one {what} per line, "
            f"{separator!r} between fields, empty ones too"
        )
    return frame


def _rows(data: bytes, separator: str, quote: str | None) -> Iterator[tuple[int, int]]:
    """Number and count of fields of every row that is not blank; rows count from 1, the header included.

    A row is what is parsed: with line breaks in quoted fields it takes several lines.
    """
    text = io.StringIO(data.decode("utf-8", "replace"), newline="")
    rows = csv.reader(text, delimiter=separator, quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE)
    return ((number, len(row)) for number, row in enumerate(rows, 1) if row)


def _ragged_row(data: bytes, separator: str, quote: str | None) -> int | None:
    """The first row with another number of fields than the first row."""
    width, number = None, 0
    try:
        for number, fields in _rows(data, separator, quote):
            width = fields if width is None else width
            if fields != width:
                return number
    except csv.Error:
        return number + 1
    return None


def _short_row(
    data: bytes, separator: str, quote: str | None, width: int, filled: NDArray[np.bool_], first: int
) -> int | None:
    """The first row with fewer fields than ``width`` among those filled up; ``filled[0]`` is row ``first``."""
    try:
        for number, fields in _rows(data, separator, quote):
            # looked up too, should the two parsers differ about quotes
            if fields < width and first <= number < first + len(filled) and filled[number - first]:
                return number
    except csv.Error:
        return None
    return None


def _pick(path: Path | str, frame: pl.DataFrame, user: str, item: str, time: str | None) -> pl.DataFrame:
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
    frame = _delimited(path, _text(path), separator)
    return _pick(path, frame, *columns.or_default("user_id", "item_id", "timestamp", frame.columns))


def read_csv(path: Path, columns: Columns) -> pl.DataFrame:
    """Comma separated values with a header line."""
    return _read_delimited(path, columns, ",")


def read_tsv(path: Path, columns: Columns) -> pl.DataFrame:
    """Tab separated values with a header line."""
    return _read_delimited(path, columns, "\t")


def _parquet(path: Path, what: str = "interaction") -> pl.DataFrame:
    try:
        frame = pl.read_parquet(io.BytesIO(_bytes_of(path)))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({str(error).splitlines()[0]}); write it again") from None
    if frame.is_empty():
        raise DataError(f"{path}: the file is empty; expected one {what} per row")
    return frame


def read_parquet(path: Path, columns: Columns) -> pl.DataFrame:
    """A Parquet file with named columns."""
    return of_table(path, _parquet(path), columns)


def of_table(path: Path | str, frame: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    """The columns of a table with types; dates become seconds."""
    picked = columns.or_default("user_id", "item_id", "timestamp", frame.columns)
    if picked[2] in frame.columns and frame.schema[picked[2]] in (pl.Date, pl.Datetime):
        frame = frame.with_columns(pl.col(picked[2]).cast(pl.Datetime("us")).dt.epoch("us") / 1e6)
    return _pick(path, frame, *picked)


def read_ratings_dat(path: Path, columns: Columns) -> pl.DataFrame:
    """MovieLens ``ratings.dat``: ``UserID::MovieID::Rating::Timestamp``, no header."""
    data = _text(path, "latin-1").replace(b"::", b"\t")
    frame = _delimited(path, data, "\t", header=False)
    if len(frame.columns) != 4:
        raise DataError(f"{path}: expected UserID::MovieID::Rating::Timestamp in each line, found {data[:60]!r}")
    frame.columns = ["UserID", "MovieID", "Rating", "Timestamp"]
    return _pick(path, frame, *columns.or_default("UserID", "MovieID", "Timestamp", frame.columns))


def read_inter(path: Path, columns: Columns) -> pl.DataFrame:
    """RecBole ``.inter``: tab separated, header ``user_id:token``, ``item_id:token``, ``timestamp:float``."""
    frame = _delimited(path, _text(path), "\t")
    names = [name.partition(":")[0] for name in frame.columns]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{path}: the column {twice[0]!r} is there twice; rename one")
    frame.columns = names
    return _pick(path, frame, *columns.or_default("user_id", "item_id", "timestamp", frame.columns))


def read_checkins(path: Path, columns: Columns) -> pl.DataFrame:
    """SNAP Gowalla check-ins: user, ISO time, latitude, longitude, location id; tabs, no header."""
    frame = _delimited(path, _text(path), "\t", header=False)
    if len(frame.columns) != 5:
        count = len(frame.columns)
        raise DataError(f"{path}: expected user, time, latitude, longitude and location id, found {count} fields")
    frame.columns = ["user", "time", "latitude", "longitude", "location"]
    return _pick(path, frame, *columns.or_default("user", "location", "time", frame.columns))


def read_dmsc(path: Path, columns: Columns) -> pl.DataFrame:
    """Kaggle Douban ``DMSC.csv``: Username, Movie_Name_EN and Date among its columns; comments may span lines."""
    frame = _delimited(path, _text(path), ",")
    return _pick(path, frame, *columns.or_default("Username", "Movie_Name_EN", "Date", frame.columns))


def _movies(path: Path) -> pl.DataFrame:
    """MovieLens ``movies.dat``: ``MovieID::Title::Genres``, no header."""
    data = _text(path, "latin-1", "item").replace(b"::", b"\t")
    frame = _delimited(path, data, "\t", header=False, what="item")
    if len(frame.columns) != 3:
        raise DataError(f"{path}: expected MovieID::Title::Genres in each line, found {data[:60]!r}")
    frame.columns = ["MovieID", "Title", "Genres"]
    return frame


def read_table(path: Path) -> tuple[pl.DataFrame, int, str]:
    """A whole file of items, told by its name.

    Returns:
        The table, the number of its first row below the header, and the column of the item where none is named.

    Raises:
        DataError: Another kind of file, or one that cannot be read.
    """
    kind = _format_of(path)
    if kind == "parquet":
        return _parquet(path, "item"), 1, "item_id"
    if path.name.lower().removesuffix(".gz").endswith("movies.dat"):
        return _movies(path), 1, "MovieID"
    if kind not in ("csv", "tsv"):
        raise DataError(
            f"{path}: items come as .csv, .tsv, .txt or .parquet with a header, or as MovieLens' movies.dat; this is "
            f"{kind or 'none of them'}: write the items as one of them"
        )
    return _delimited(path, _text(path, what="item"), "," if kind == "csv" else "\t", what="item"), 2, "item_id"


FORMATS: dict[str, Callable[[Path, Columns], pl.DataFrame]] = {
    "csv": read_csv,
    "tsv": read_tsv,
    "parquet": read_parquet,
    "ratings.dat": read_ratings_dat,
    "inter": read_inter,
    "gowalla": read_checkins,
    "dmsc": read_dmsc,
}


def detect(path: Path) -> str:
    """The format that a file's name says.

    Raises:
        DataError: No format goes with the name.
    """
    found = _format_of(path)
    if found is None:
        raise DataError(f"{path}: no format goes with this name; give --format, one of {', '.join(FORMATS)}")
    return found


def _format_of(path: Path) -> str | None:
    name = path.name.lower().removesuffix(".gz")
    for ending, found in (
        ("totalcheckins.txt", "gowalla"),
        ("ratings.dat", "ratings.dat"),
        ("dmsc.csv", "dmsc"),
        (".inter", "inter"),
        (".csv", "csv"),
        (".tsv", "tsv"),
        (".txt", "tsv"),
        (".parquet", "parquet"),
    ):
        if name.endswith(ending):
            return found
    return None
