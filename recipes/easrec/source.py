"""Source: the data of a run, from a file of interactions, a data frame, prepared data, or the demo's generator."""

from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from easrec.config import Config
from easrec.data import DataFrame, Interactions, number_features, prepare, read_frame, read_interactions, read_items
from elasticnas.errors import ConfigError

__all__ = ["Source", "show_statistics"]


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
    """

    data: Path | Interactions | DataFrame | None
    user: str | None = None
    item: str | None = None
    time: str | None = None
    format: str = "auto"
    items: Path | None = None
    features: tuple[str, ...] = ()
    separator: str = "|"

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
        if isinstance(self.data, Path):
            frame = read_interactions(self.data, self.user, self.item, self.time, self.format)
        else:
            frame = read_frame(self.data, self.user, self.item, self.time)
        return self._with_features(prepare(frame, min_user, min_item, self.name))

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
        if any((self.user, self.item, self.time)) or self.format != "auto":
            raise ConfigError(
                f"{self.name}: prepared data has no columns to choose; leave --user, --item, --time, --format out"
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


def show_statistics(data: Interactions, console: Console) -> None:
    """Print counts, dropped rows and users, and the number of items without features."""
    s = data.statistics
    lines = [
        f"data: {s.users:,} users, {s.items:,} items, {s.interactions:,} interactions "
        f"({s.actions_per_user:.2f} per user, {s.actions_per_item:.2f} per item), "
        + ("ordered by time" if s.timestamps else "in the order of the rows, as no time column is named or found")
    ]
    if s.duplicates_dropped or s.core_dropped or s.short_users_dropped:
        lines.append(
            f"dropped: {s.duplicates_dropped:,} repeated rows, {s.core_dropped:,} by the k-core filter, "
            f"{s.short_users_dropped:,} short users"
        )
    if data.features is not None:
        lines.append(data.features.describe())
    for line in lines:
        console.print(line, highlight=False, markup=False)
