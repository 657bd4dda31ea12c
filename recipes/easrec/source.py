"""Source: the data of a run, from a file of interactions, a data frame, prepared data, or the demo's generator."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from rich.console import Console

from easrec.config import Config
from easrec.data import (
    DataFrame,
    Interactions,
    Statistics,
    TieBreak,
    number_features,
    prepare,
    read_frame,
    read_interactions,
    read_items,
)
from elasticnas.errors import ConfigError

__all__ = ["Missing", "Reading", "Source", "show_statistics"]

Missing: TypeAlias = Literal["refuse", "keep", "drop"]
"""What ids such as NA and null are."""


@dataclass(frozen=True)
class Reading:
    """How interactions are read.

    Attributes:
        header: Whether delimited text starts with a header; without one, columns are named 1, 2, 3 by position.
        separator: Separator of delimited text; None for the format's.
        time_format: Format of dates, such as ``%m/%d/%Y``; None for numbers and ISO dates.
        missing: What ids such as NA and null are: refused, kept as ids, or dropped like empty ones.
        tie_break: Order of a user's interactions at the same time, see :func:`easrec.data.prepare`.
    """

    header: bool = True
    separator: str | None = None
    time_format: str | None = None
    missing: Missing = "refuse"
    tie_break: TieBreak = "random"

    def __post_init__(self) -> None:
        if self.missing not in get_args(Missing):
            raise ConfigError(f"--missing {self.missing}: choose one of {', '.join(get_args(Missing))}")
        if self.tie_break not in get_args(TieBreak):
            raise ConfigError(f"--tie-break {self.tie_break}: choose one of {', '.join(get_args(TieBreak))}")
        if self.separator is not None and (len(self.separator.encode()) != 1 or self.separator in '\n\r"'):
            raise ConfigError(f"--separator {self.separator!r}: give a single ASCII character, such as ';'")


@dataclass(frozen=True)
class Source:
    """Files and columns, as given by options.

    Attributes:
        data: File of interactions or prepared data, a data frame, or prepared interactions; None for the demo's
            generated interactions.
        user: Column of the user ids; None for the format's default.
        item: Column of the item ids, also in the file of items; None for the format's default.
        time: Column of the time; None for the format's default.
        format: Format of the interactions.
        items: File of items with their features.
        features: Columns of features in the file of items.
        separator: Separator between features within a cell.
        reading: How the interactions are read.
    """

    data: Path | Interactions | DataFrame | None
    user: str | None = None
    item: str | None = None
    time: str | None = None
    format: str = "auto"
    items: Path | None = None
    features: tuple[str, ...] = ()
    separator: str = "|"
    reading: Reading = Reading()

    def __post_init__(self) -> None:
        if self.items is None and self.features:
            raise ConfigError(f"--features {self.features[0]}: a column of which file? give it by --items")
        if self.items is not None and not self.features:
            raise ConfigError(f"--items {self.items}: which columns hold features? name them by --features")

    def load(self, preset: str, config: Config, console: Console) -> Interactions:
        """Read the interactions, and the features if there is a file of items; print their statistics.

        Raises:
            ConfigError: The options contradict each other.
            DataError: A file cannot be read or breaks a rule.
        """
        if isinstance(self.data, Interactions) or (isinstance(self.data, Path) and self.data.suffix == ".npz"):
            found = self._prepared(self.data)
            found.require_core(config.min_user, config.min_item, self.name)
        elif self.data is not None:
            found = self.read(config.min_user, config.min_item)
        elif preset == "demo":
            found = self._generated(config.seed, console)
        else:
            raise ConfigError(f"--preset {preset} needs --data; only --preset demo runs on generated interactions")
        show_statistics(found, console)
        return found

    def read(self, min_user: int, min_item: int) -> Interactions:
        """Read and prepare the interactions, and the features of their items."""
        assert self.data is not None
        how, columns = self.reading, (self.user, self.item, self.time)
        if isinstance(self.data, Path):
            frame = read_interactions(
                self.data,
                *columns,
                self.format,
                header=how.header,
                separator=how.separator,
                time_format=how.time_format,
                missing=how.missing,
            )
        else:
            frame = read_frame(self.data, *columns, time_format=how.time_format, missing=how.missing)
        return self._with_features(prepare(frame, min_user, min_item, self.name, how.tie_break))

    @property
    def name(self) -> str:
        """Name of the data, for messages."""
        return str(self.data) if isinstance(self.data, Path) else "the data"

    def _with_features(self, data: Interactions) -> Interactions:
        if self.items is None:
            return data
        frame = read_items(self.items, self.features, self.item, self.separator)
        return replace(data, features=number_features(frame, data.item_ids, self.features, str(self.items)))

    def _prepared(self, given: Path | Interactions) -> Interactions:
        if any((self.user, self.item, self.time)) or self.format != "auto" or self.reading != Reading():
            raise ConfigError(
                f"{self.name}: prepared data has no columns to choose; leave --user, --item, --time, --format and "
                "other options of reading out, or give them to prepare"
            )
        if self.items is not None:
            raise ConfigError(
                f"{self.name}: prepared data holds its features already, or none; give --items and --features to "
                "prepare"
            )
        return given if isinstance(given, Interactions) else Interactions.load(given)

    def _generated(self, seed: int, console: Console) -> Interactions:
        from easrec.data.synthetic import planted

        generated = planted(seed=seed)
        console.print(generated.describe(), highlight=False)
        found = replace(prepare(generated.frame, source="generated interactions"), best=generated.best)
        return self._with_features(found)


_TIES = {"random": "a seeded random order", "item": "item id", "file": "the order of the rows"}


def _share(count: int | None, statistics: Statistics) -> str:
    return "an uncounted share" if count is None else f"{count / statistics.users:.1%}"


def show_statistics(data: Interactions, console: Console) -> None:
    """Print counts, dropped rows and users, and the number of items without features."""
    s = data.statistics
    lines = [
        f"data: {s.users:,} users, {s.items:,} items, {s.interactions:,} interactions "
        f"({s.actions_per_user:.2f} per user, {s.actions_per_item:.2f} per item), "
        + (f"ordered by time, ties by {_TIES[s.tie_break]}" if s.timestamps else "in row order, without times")
    ]
    ties = f"{_share(s.last_ties, s)} at the same time as the user's previous interaction, " if s.timestamps else ""
    lines.append(
        f"test targets: {ties}{_share(s.repeat_targets, s)} repeat an earlier item, {_share(s.cold_targets, s)} never "
        f"occur in training; {_share(s.untrained_users, s)} of users have no training target"
    )
    if s.duplicates_dropped or s.empty_dropped or s.core_dropped or s.short_users_dropped:
        lines.append(
            f"dropped: {s.duplicates_dropped:,} repeated rows, {s.core_dropped:,} by the k-core filter, "
            f"{s.short_users_dropped:,} short users, {s.empty_dropped:,} rows without a user or an item"
        )
    if data.features is not None:
        lines.append(data.features.describe())
    for line in lines:
        console.print(line, highlight=False, markup=False)
