"""Interactions: prepared sequences of items, with ids, statistics and split; saved as one file."""

import io
import json
import zipfile
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from easrec.data.features import ItemFeatures
from easrec.data.partition import Partition
from elasticnas.errors import DataError
from elasticnas.files import write_bytes

__all__ = ["LATEST", "Interactions", "Statistics"]

# each format is refused by versions that do not know it: they only know leave-one-out, or no times
_FORMAT, _WITH_PARTITION, _WITH_TIMES = 1, 2, 3
_EXPANDED = 2**26  # bytes that any part of an archive may expand to
_SHORTEST = 3  # one item each for training, validation and test
LATEST = 2**63 // 10**9
"""Seconds since 1970 that 64-bit nanoseconds reach, in the year 2262."""


@dataclass(frozen=True)
class Statistics:
    """Counts after preparation (without the padding id), what was dropped, and the k-core filter used.

    Attributes:
        core_dropped: Interactions that the k-core filter dropped.
        short_users_dropped: Users with fewer interactions than the split needs.
        timestamps: Whether interactions are in time order, not in the order of the rows.
        empty_dropped: Interactions without a user or an item.
        left_out: Interactions that did not satisfy the conditions of ``--where``.
        source: Format and columns that were read, in one line; empty in older files and for generated data.
        split: Which interactions are the targets, in one line.
        tie_break: What orders interactions of a user at the same time: ``random``, ``item`` or ``file``.
        last_ties: Users whose test item has the same time as their interaction before or after it; this and later
            counts are None in files that were prepared before they were counted.
        repeat_targets: Users whose test item is among their earlier items.
        cold_targets: Users whose test item occurs in no training part.
        untrained_users: Users with a single training item, hence no target in training.
        rows: Interactions that were read: those kept, and all that were dropped or left out.
        short_dropped: Interactions of the users with too few.
        early_targets: For given parts, users whose test item is earlier than their last training item.
    """

    users: int
    items: int
    interactions: int
    duplicates_dropped: int
    core_dropped: int
    short_users_dropped: int
    timestamps: bool
    min_user: int = 0
    min_item: int = 0
    empty_dropped: int = 0
    tie_break: str = "file"
    last_ties: int | None = None
    repeat_targets: int | None = None
    cold_targets: int | None = None
    untrained_users: int | None = None
    left_out: int = 0
    source: str = ""
    split: str = "leave-one-out"
    rows: int | None = None
    short_dropped: int | None = None
    early_targets: int | None = None

    @property
    def actions_per_user(self) -> float:
        """Interactions per user (the paper's Table I also averages over real users)."""
        return self.interactions / self.users

    @property
    def actions_per_item(self) -> float:
        """Interactions per item."""
        return self.interactions / self.items


@dataclass(frozen=True, eq=False)
class Interactions:
    """Every user's items in time order.

    Attributes:
        items: ``(interactions,)`` int32 item numbers 1..V, user after user; 0 is padding.
        offsets: ``(users + 1,)`` int64: user u has ``items[offsets[u]:offsets[u + 1]]``.
        user_ids: Original ids by user number.
        item_ids: Original ids by item number; entry 0 is padding.
        best: For generated data, the best reachable metrics under full ranking, by stage.
        features: Features of the items, if a file of items was given.
        partition: Which interactions train, and which are targets; None for leave-one-out.
        times: ``(interactions,)`` int64 seconds, in order for each user; None if the data has none.
    """

    items: NDArray[np.int32]
    offsets: NDArray[np.int64]
    user_ids: list[str]
    item_ids: list[str]
    statistics: Statistics
    best: dict[str, dict[str, float]] | None = None
    features: ItemFeatures | None = None
    partition: Partition | None = None
    times: NDArray[np.int64] | None = None

    def fingerprint_of(self, uses_times: bool) -> str:
        """Return the fingerprint of what a network uses: :attr:`fingerprint`, with the times if it uses them."""
        if not uses_times or self.times is None:
            return self.fingerprint
        return sha256(self.fingerprint.encode() + np.ascontiguousarray(self.times).tobytes()).hexdigest()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of sequences, ids, features and split, without times; equal for equal data."""
        digest = sha256(np.ascontiguousarray(self.items).tobytes())
        digest.update(np.ascontiguousarray(self.offsets).tobytes())
        digest.update("\0".join([*self.user_ids, "", *self.item_ids]).encode())
        if self.features is not None:
            digest.update(self.features.fingerprint.encode())
        if (split := self._unusual) is not None:
            digest.update(split.kind.encode())
            for positions in (split.training, split.validation, split.test):
                digest.update(np.ascontiguousarray(positions).tobytes())
        return digest.hexdigest()

    @property
    def _unusual(self) -> Partition | None:
        """The partition if it is not leave-one-out, which needs no arrays."""
        return None if self.partition is None or self.partition.kind == "last" else self.partition

    def _check(self) -> None:
        """Check that arrays and lists are consistent.

        Raises:
            ValueError: They are not.
        """
        for name, array, dtype in (("items", self.items, np.int32), ("offsets", self.offsets, np.int64)):
            if array.ndim != 1 or array.dtype != dtype:
                raise ValueError(f"{name} is not a list of integers")
        for name, ids in (("users", self.user_ids), ("items", self.item_ids)):
            if not isinstance(ids, list) or not all(isinstance(text, str) for text in ids):
                raise ValueError(f"the ids of {name} are not strings")
        ends = len(self.offsets) == len(self.user_ids) + 1 and self.offsets[0] == 0
        if not ends or self.offsets[-1] != len(self.items) or (np.diff(self.offsets) < self._shortest).any():
            raise ValueError("offsets, items and users do not match")
        if self.items.min() < 1 or self.items.max() >= len(self.item_ids):
            raise ValueError(f"items beyond the {len(self.item_ids) - 1} that have ids")
        if self.statistics.users != len(self.user_ids) or self.statistics.interactions != len(self.items):
            raise ValueError("the statistics do not match the data")
        if self.times is not None and (self.times.dtype != np.int64 or self.times.shape != self.items.shape):
            raise ValueError("times are not one integer for each item")
        if self.times is not None and not bool(((self.times >= -LATEST) & (self.times <= LATEST)).all()):
            raise ValueError(f"times are not between {-LATEST} and {LATEST} seconds")
        if self.features is not None:
            self.features.check(len(self.item_ids) - 1)
        if self.partition is not None:
            self.partition.check(self.offsets)

    @property
    def _shortest(self) -> int:
        """Smallest number of interactions of a user: for leave-one-out, one item for each of three parts."""
        return _SHORTEST if self._unusual is None else 1

    def require_core(self, min_user: int, min_item: int, source: str) -> None:
        """Check that the data satisfies a k-core filter.

        Raises:
            DataError: A user or an item has fewer interactions.
        """
        fewest_user, fewest_item = int(np.diff(self.offsets).min()), int(np.bincount(self.items)[1:].min())
        done = self.statistics
        if min_user > max(fewest_user, done.min_user) or min_item > max(fewest_item, done.min_item):
            raise DataError(
                f"{source}: prepared with --min-user {done.min_user} --min-item {done.min_item}, but "
                f"min_user={min_user} and min_item={min_item} are required; prepare it again"
            )

    def save(self, path: Path) -> None:
        """Write one ``.npz`` file, atomically."""
        description: dict[str, Any] = {
            "format": self._format,
            "users": self.user_ids,
            "items": self.item_ids,
            "statistics": asdict(self.statistics),
            "best": self.best,
        }
        arrays: dict[str, Any] = {"items": self.items, "offsets": self.offsets}
        if self.features is not None:
            description["features"] = asdict(self.features)
            for name in ("offsets", "ids"):
                arrays[f"feature_{name}"] = description["features"].pop(name)
        if (split := self._unusual) is not None:
            description["split"] = {"kind": split.kind, "cold_users": split.cold_users}
            arrays |= {"training": split.training, "validation": split.validation, "test": split.test}
        if self.times is not None:
            arrays["times"] = self.times
        buffer = io.BytesIO()
        text = np.frombuffer(json.dumps(description).encode(), dtype=np.uint8)
        np.savez_compressed(buffer, **arrays, description=text)
        write_bytes(path, buffer.getvalue())

    @property
    def _format(self) -> int:
        """The oldest format that holds the data."""
        return _WITH_TIMES if self.times is not None else _FORMAT if self._unusual is None else _WITH_PARTITION

    @classmethod
    def load(cls, path: Path) -> "Interactions":
        """Read a file that :meth:`save` wrote.

        Raises:
            DataError: The file is damaged.
        """
        try:
            _require_plausible(path)
            with np.load(path, allow_pickle=False) as content:
                description = json.loads(content["description"].tobytes().decode())
                items, offsets = content["items"], content["offsets"]
                features = None
                if "features" in description:
                    packed = content["feature_offsets"], content["feature_ids"]
                    features = ItemFeatures(*packed, **description["features"])
                partition = None
                if split := description.get("split"):
                    positions = content["training"], content["validation"], content["test"]
                    validation, test = map(int, split["cold_users"])
                    partition = Partition(split["kind"], *positions, (validation, test))
                times = content["times"] if description["format"] == _WITH_TIMES else None
            if description["format"] not in (_FORMAT, _WITH_PARTITION, _WITH_TIMES):
                raise DataError(
                    f"{path}: format {description['format']}, expected {_FORMAT} to {_WITH_TIMES}; "
                    "prepare the data again"
                )
            statistics = Statistics(**description["statistics"])
            ids = description["users"], description["items"]
            found = cls(items, offsets, *ids, statistics, description["best"], features, partition, times)
            found._check()
            return found
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise DataError(f"{path}: not prepared data, or damaged ({error}); prepare the data again") from None
        except Exception as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{path}: damaged ({error}); prepare the data again") from None


def _require_plausible(path: Path) -> None:
    """Check, before anything is allocated, that an archive does not expand to far more than interactions can.

    Raises:
        ValueError: It does: of small files, only repeated bytes expand two hundredfold.
        OSError: It cannot be read, or is no regular file.
    """
    if path.exists() and not path.is_file():
        raise OSError("not a regular file")
    with zipfile.ZipFile(path) as archive:
        for part in archive.infolist():
            if part.file_size > max(_EXPANDED, 200 * part.compress_size):
                raise ValueError(
                    f"{part.filename} would expand from {part.compress_size:,} to {part.file_size:,} bytes"
                )
