"""The columns of users, items and times: how they are given, and how they are found where they are not."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import polars as pl

from easrec.data.tables import BLANKS
from easrec.data.time_columns import NO_TIME, plain, time_column
from easrec.data.where import Condition
from elasticnas.errors import ConfigError, DataError, short_repr

__all__ = ["Chosen", "Columns", "Missing", "names_ids", "texts"]

Missing: TypeAlias = Literal["refuse", "keep", "drop"]
"""What ids such as NA and null are."""

_USERS = {
    *("userid", "user", "uid", "username", "reviewerid", "visitorid", "customerid", "memberid", "accountid"),
    *("sessionid", "session"),
}
_ITEMS = {
    *("itemid", "item", "iid", "movieid", "asin", "productid", "businessid", "bookid", "isbn", "artistid", "trackid"),
    *("parentasin", "songid", "venueid", "locationid", "newsid", "articleid", "videoid", "gameid"),
}


@dataclass(frozen=True)
class Columns:
    """How interactions are read from files.

    Attributes:
        user: Column of the user ids; None to find it.
        item: Column of the item ids; None to find it.
        time: Column of the time; None to find it, ``"none"`` for the order of the rows.
        format: Name of the format, or ``"auto"`` to recognise it.
        header: Whether delimited text starts with a header; otherwise columns are named 1, 2, 3 by position.
        separator: Separator of delimited text, ``"blanks"`` for any run of blanks; None to recognise it.
        time_format: Format of dates, such as ``%m/%d/%Y``; None for numbers and ISO dates.
        missing: What ids such as NA and null are: refused, kept as ids, or dropped like empty ones.
        where: Conditions that rows must satisfy, such as ``rating >= 4``.
        encoding: Encoding of text, such as ``latin1``; None for UTF-8.
        item_separator: What separates the items in a cell that holds several; ``"none"`` if none does, also where cells
            look like lists.
    """

    user: str | None = None
    item: str | None = None
    time: str | None = None
    format: str = "auto"
    header: bool = True
    separator: str | None = None
    time_format: str | None = None
    missing: Missing = "refuse"
    where: tuple[str, ...] = ()
    encoding: str | None = None
    item_separator: str | None = None
    conditions: tuple[Condition, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.missing not in get_args(Missing):
            raise ConfigError(f"--missing {self.missing}: choose one of {', '.join(get_args(Missing))}")
        given = self.separator
        if given is not None and (not given or not given.isascii() or any(c in '\n\r"\x1f' for c in given)):
            raise ConfigError(f"--separator {given!r}: give ASCII characters such as ';' or '::', or {BLANKS}")
        if self.encoding is not None and not _is_encoding(self.encoding):
            raise ConfigError(f"--encoding {self.encoding!r} is unknown; for example latin1, utf-16, cp1252, gb18030")
        if self.time == NO_TIME and self.time_format is not None:
            raise ConfigError(f"--time-format {self.time_format!r} beside --time none: leave one of them out")
        if self.item_separator == "":
            raise ConfigError("--item-separator is empty; give what separates items, such as ',', or none")
        if empty := [name for name in ("user", "item", "time") if getattr(self, name) == ""]:
            raise ConfigError(f"--{empty[0]} is empty; give the name of a column")
        object.__setattr__(self, "where", texts(self.where))
        object.__setattr__(self, "conditions", tuple(Condition.parse(text) for text in self.where))

    @property
    def given(self) -> list[str]:
        """The options that differ from their defaults, as the command line names them."""
        names = {each.name: f"--{each.name.replace('_', '-')}" for each in fields(self) if each.init}
        names["header"] = "--no-header"
        usual = Columns()
        return [option for name, option in names.items() if getattr(self, name) != getattr(usual, name)]

    def choose(self, path: Path | str, frame: pl.DataFrame, defaults: "Chosen", text: bool = False) -> "Chosen":
        """Return the columns to read: those given, the format's defaults, or those whose names can only mean them.

        Args:
            path: The file, for errors.
            frame: First rows of the file, with all columns.
            defaults: Columns that the format expects.
            text: Whether it is delimited text, which may lack a header.

        Raises:
            DataError: A column is missing, or it is unclear which one to use.
        """
        user = self.user or _found(path, frame, defaults.user, _USERS, "user")
        item = self.item or _found(path, frame, defaults.item, _ITEMS, "item")
        for option, name, named in (("--user", user, self.user), ("--item", item, self.item)):
            _require(path, frame.columns, name, self._way_out(frame, option, text and not named))
        if user == item:
            raise DataError(f"{path}: --user and --item are one column, {user!r}; name two")
        time: str | None = None
        if self.time != NO_TIME:
            time = self.time or time_column(path, frame, defaults.time or "", (user, item))
            if time is None and not self.header and frame.width > 2:
                raise DataError(
                    f"{path}: without a header, give the position of the time by --time, or, if no column holds times, "
                    "use the order of the rows by --time none"
                )
        _require(path, frame.columns, time, "name it by --time")
        if time in (user, item):
            raise DataError(
                f"{path}: the time is in the column {time!r}, which holds the {'user' if time == user else 'item'}s; "
                "name another by --time, or use the order of the rows by --time none"
            )
        for condition in self.conditions:
            _require(path, frame.columns, condition.column, f"correct --where {condition.text!r}")
        return Chosen(user, item, time)

    def _way_out(self, frame: pl.DataFrame, option: str, headerless: bool) -> str:
        """Return what to do where the column of an option is missing."""
        if self.separator is not None and frame.width == 1:
            return f"the separator {self.separator!r} separates nothing; correct --separator, or leave it out"
        if not self.header:
            return f"name it by position: {option} 1"
        return f"name it by {option}" + (f" (in text without header: --no-header {option} 1)" if headerless else "")


@dataclass(frozen=True)
class Chosen:
    """Names of the columns of users, items and times; None for the time where the order of the rows counts."""

    user: str
    item: str
    time: str | None


def _require(path: Path | str, columns: Sequence[str], name: str | None, way_out: str) -> None:
    if name is not None and name not in columns:
        raise DataError(f"{path}: no column {name!r}; the columns are {', '.join(columns) or 'none'}; {way_out}")


def _found(path: Path | str, frame: pl.DataFrame, default: str, known: set[str], what: str) -> str:
    if default in frame.columns:
        return default
    names = [name for name in frame.columns if plain(name) in known]
    if len(names) > 1:
        raise DataError(f"{path}: each of {', '.join(names)} may be the {what}; choose one by --{what} {names[0]}")
    return names[0] if names else default


def texts(given: str | Sequence[str]) -> tuple[str, ...]:
    """Return one text or several as a tuple.

    Raises:
        ConfigError: It is neither.
    """
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, Sequence) or not all(isinstance(each, str) for each in given):
        raise ConfigError(f"{short_repr(given)} is neither text nor a list of texts; give one or several texts")
    return tuple(given)


def names_ids(user: str, item: str) -> bool:
    """Return whether the two can only be names of columns of users and items."""
    return plain(user) in _USERS and plain(item) in _ITEMS


def _is_encoding(name: str) -> bool:
    try:
        "a".encode(name)
    except (LookupError, ValueError):
        return False
    return True
