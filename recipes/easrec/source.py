"""Source: the data of a run, from files of interactions, a data frame, prepared data, or the demo's generator."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias, get_args

from rich.console import Console

from easrec.config import Config
from easrec.data import (
    Columns,
    DataFrame,
    Interactions,
    Split,
    SplitRule,
    TieBreak,
    number_features,
    prepare,
    read_items,
)
from easrec.data.frames import NAME, table_of
from easrec.data.readers import Read, Table, read, resolved
from easrec.facts import data_facts
from easrec.result import SplitSummary, Stage
from elasticnas.errors import ConfigError

__all__ = ["Data", "Files", "Part", "Source", "show_statistics"]

Files: TypeAlias = str | Path | Sequence[str | Path]
"""One or several paths or patterns such as ``part-*.csv``."""

Part: TypeAlias = Files | DataFrame
"""Interactions that have yet to be read."""

Data: TypeAlias = Part | Interactions | None
"""Interactions in any form; None for the demo's generated interactions."""


@dataclass(frozen=True)
class Source:
    """Where the data of a run comes from, and how it is prepared.

    Attributes:
        data: Files of interactions or one of prepared data, a data frame, or prepared interactions; None for the demo's
            generated interactions.
        columns: Which columns are read, and how.
        validation: Files or data frame of the validation interactions, if they are given; those of ``data`` then train.
        test: The same for the test interactions.
        tie_break: Order of a user's interactions at the same time, see :func:`easrec.data.prepare`.
        split: Which interactions become targets, see :class:`easrec.data.SplitRule`.
        items: File of items with their features.
        features: Columns of features in the file of items.
        separator: Separator between features within a cell.
    """

    data: Data
    columns: Columns = field(default_factory=Columns)
    validation: Part | None = None
    test: Part | None = None
    tie_break: TieBreak = "random"
    split: str = "last"
    items: Path | None = None
    features: tuple[str, ...] = ()
    separator: str = "|"

    def __post_init__(self) -> None:
        if self.items is None and self.features:
            raise ConfigError(f"--features {self.features[0]}: a column of which file? give it by --items")
        if self.items is not None and not self.features:
            raise ConfigError(f"--items {self.items}: which columns hold features? name them by --features")
        if self.tie_break not in get_args(TieBreak):
            raise ConfigError(f"--tie-break {self.tie_break}: choose one of {', '.join(get_args(TieBreak))}")
        SplitRule.parse(self.split)
        for option, part in (("--data", self.data), ("--validation", self.validation), ("--test", self.test)):
            if isinstance(part, (str, Sequence)) and not part:
                raise ConfigError(f"{option}: an empty list of files; give one or several, or leave it out")
        if self.separator != "|" and self.items is None:
            raise ConfigError(f"--feature-separator {self.separator!r}: of which file? give it by --items")
        if (self.validation is None) != (self.test is None):
            raise ConfigError("--validation and --test: give both, or neither")
        if self._parts_given and self.split != "last":
            raise ConfigError(f"--split {self.split}: with --validation and --test the split is given; leave it out")

    def load(self, preset: str, config: Config, console: Console) -> Interactions:
        """Read the interactions, and the features if there is a file of items.

        Raises:
            ConfigError: The options contradict each other.
            DataError: A file cannot be read or breaks a rule.
        """
        if (prepared := self._prepared()) is not None:
            found = prepared
            found.require_core(config.min_user, config.min_item, self.name)
        elif self.data is not None:
            found = self.read(config.min_user, config.min_item)
        elif preset == "demo":
            found = self._generated(config.seed, console)
        else:
            raise ConfigError(f"--preset {preset} needs --data; only --preset demo runs on generated interactions")
        return found

    def read(self, min_user: int, min_item: int) -> Interactions:
        """Read and prepare the interactions, and the features of their items.

        Raises:
            ConfigError: The options contradict each other, or the data is prepared already.
            DataError: A file cannot be read or breaks a rule.
        """
        if self._archives:
            raise ConfigError(
                f"{self._archives[0]}: is prepared already; give it to --data of run, or give the raw files"
            )
        found = self._read()
        rows, left_out, described = found.rows, found.left_out, found.description
        only = [found.frame]  # handed over, so that prepare can free its memory
        del found
        prepared = prepare(only.pop(), min_user, min_item, self.name, self.tie_break, self.split)
        if self.tie_break != "random" and not prepared.statistics.timestamps:
            raise ConfigError(f"--tie-break {self.tie_break}: {self.name} has no times, hence no ties; leave it out")
        statistics = replace(prepared.statistics, rows=rows, left_out=left_out, source=described)
        return self._with_features(replace(prepared, statistics=statistics))

    def _read(self) -> Read:
        named = {NAME: self.data}
        if self._parts_given:
            named |= {f"{NAME} of validation": self.validation, f"{NAME} of test": self.test}
        return read([self._part(part, name) for name, part in named.items()], self.columns)

    def _part(self, part: Part, name: str) -> Sequence[Path | Table]:
        files = _paths(part)
        return resolved(files) if files else [table_of(part, self.columns, name)]

    @property
    def _parts_given(self) -> bool:
        return self.test is not None

    @property
    def name(self) -> str:
        """Name of the data, for messages."""
        files = _paths(self.data)
        return "the data" if not files else str(files[0]) if len(files) == 1 else f"{files[0]} and others"

    def _with_features(self, data: Interactions) -> Interactions:
        if self.items is None:
            return data
        frame = read_items(self.items, self.features, self.columns.item, self.separator)
        return replace(data, features=number_features(frame, data.item_ids, self.features, str(self.items)))

    @property
    def _archives(self) -> list[str | Path]:
        """The files of prepared data among the data."""
        return [path for path in _paths(self.data) if Path(path).suffix == ".npz"]

    def _prepared(self) -> Interactions | None:
        """Return the data if it is prepared already."""
        files = _paths(self.data)
        archives = self._archives
        if not archives and not isinstance(self.data, Interactions):
            return None
        if len(files) > 1:
            raise ConfigError(f"{archives[0]}: prepared data is one file; give it alone, or give the raw files")
        if given := self._options:
            raise ConfigError(f"{self.name}: is prepared already; leave {given[0]} out, or give it to prepare")
        if self.items is not None:
            raise ConfigError(
                f"{self.name}: prepared data holds its features already, or none; give --items and --features to "
                "prepare"
            )
        return self.data if isinstance(self.data, Interactions) else Interactions.load(Path(archives[0]))

    @property
    def _options(self) -> list[str]:
        """The options of reading that are given, as the command line names them."""
        own = {
            "--tie-break": self.tie_break != "random",
            "--split": self.split != "last",
            "--validation": self._parts_given,
        }
        return [*self.columns.given, *(option for option, given in own.items() if given)]

    def _generated(self, seed: int, console: Console) -> Interactions:
        from easrec.data.synthetic import planted

        if given := [option for option in self._options if option != "--split"]:
            raise ConfigError(f"{given[0]}: the generated interactions need no reading; leave it out, or give --data")
        generated = planted(seed=seed)
        console.print(generated.describe(), highlight=False)
        prepared = prepare(generated.frame, source="generated interactions", split=self.split)
        return self._with_features(replace(prepared, best=generated.best if self.split == "last" else None))


def _paths(given: Data) -> list[str | Path]:
    """Return the paths if paths are given, otherwise an empty list."""
    if isinstance(given, (str, Path)):
        return [given]
    if isinstance(given, (list, tuple)) and all(isinstance(each, (str, Path)) for each in given):
        return list(given)
    return []


def show_statistics(data: Interactions, split: Split, console: Console) -> None:
    """Print what was read, counts, dropped rows and users, and the number of items without features."""
    evaluated = {stage: len(split.users(stage)) for stage in get_args(Stage)}
    summary = None if split.kind == "last" else SplitSummary.of(split)
    lines = [f"{name}: {text}" for name, text in data_facts(data.statistics, summary, evaluated).items()]
    if data.features is not None:
        lines.append(data.features.describe())
    for line in lines:
        # a line of a log or a pipe stays one line
        console.print(line, highlight=False, markup=False, soft_wrap=not console.is_terminal)
