"""ItemFeatures: numbered features of items, which a network embeds in addition to the item ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from elasticnas.errors import DataError

__all__ = ["ItemFeatures", "number_features"]


@dataclass(frozen=True, eq=False)
class ItemFeatures:
    """The features of every item, in compressed sparse row form.

    Attributes:
        offsets: ``(V + 2,)`` int64: item i has ``ids[offsets[i]:offsets[i + 1]]``; the padding item 0 has none.
        ids: ``(total,)`` int32, 1..F; 0 is padding.
        names: ``column=value`` by id; entry 0 is padding.
        columns: Columns that were read.
        missing: Number of items that are not in the file of items.
        empty: Number of items in the file that have no feature.
    """

    offsets: NDArray[np.int64]
    ids: NDArray[np.int32]
    names: list[str]
    columns: list[str]
    missing: int = 0
    empty: int = 0

    def padded(self) -> NDArray[np.int64]:
        """Return the feature ids of every item, ``(V + 1, most)``, right padded with 0."""
        counts = np.diff(self.offsets)
        rows = np.repeat(np.arange(len(counts)), counts)
        table = np.zeros((len(counts), max(1, int(counts.max()))), dtype=np.int64)
        table[rows, np.arange(len(self.ids)) - self.offsets[rows]] = self.ids
        return table

    @property
    def fingerprint(self) -> str:
        """SHA-256 of ids and names."""
        digest = sha256(np.ascontiguousarray(self.offsets).tobytes())
        digest.update(np.ascontiguousarray(self.ids).tobytes())
        digest.update("\0".join(self.names).encode())
        return digest.hexdigest()

    def check(self, items: int) -> None:
        """Check that arrays and lists are consistent with each other and with V items.

        Raises:
            ValueError: They are not.
        """
        for name, array, dtype in (("offsets", self.offsets, np.int64), ("ids", self.ids, np.int32)):
            if array.ndim != 1 or array.dtype != dtype:
                raise ValueError(f"{name} of features is not a list of integers")
        if not all(isinstance(text, str) for text in self.names) or len(self.names) < 2:
            raise ValueError("the names of features are not strings")
        if len(self.offsets) != items + 2 or self.offsets[0] != 0 or self.offsets[1] != 0:
            raise ValueError("offsets of features do not match the items")
        if self.offsets[-1] != len(self.ids) or (np.diff(self.offsets) < 0).any():
            raise ValueError("offsets and ids of features do not match")
        if self.ids.min(initial=1) < 1 or self.ids.max(initial=1) >= len(self.names):
            raise ValueError(f"features beyond the {len(self.names) - 1} that have names")

    def summary(self) -> dict[str, Any]:
        """Return counts for results."""
        return {
            "columns": self.columns,
            "features": len(self.names) - 1,
            "items_missing": self.missing,
            "items_without": self.empty,
        }

    def describe(self) -> str:
        """Return one line of counts for the output of a run."""
        return (
            f"features: {len(self.names) - 1:,} of {', '.join(self.columns)}; without any: {self.empty:,} items with "
            f"empty cells, {self.missing:,} that the items file does not have"
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "offsets": self.offsets.tolist(),
            "ids": self.ids.tolist(),
            "names": self.names,
            "columns": self.columns,
            "missing": self.missing,
            "empty": self.empty,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any], items: int) -> "ItemFeatures":
        """Create features of V items from what :meth:`to_json` returned.

        Raises:
            ValueError: The parts are inconsistent.
            KeyError: A part is missing.
        """
        arrays = np.asarray(content["offsets"], dtype=np.int64), np.asarray(content["ids"], dtype=np.int32)
        rest = (content[name] for name in ("names", "columns", "missing", "empty"))
        found = cls(*arrays, *rest)
        found.check(items)
        return found


def number_features(frame: pl.DataFrame, item_ids: Sequence[str], columns: Sequence[str], source: str) -> ItemFeatures:
    """Number the features of the numbered items from 1, in order of first appearance by item number.

    Items that are not in the file, or have empty cells, have no features. Features of items without interactions are
    ignored. The order of the file's rows does not matter.

    Args:
        frame: Items in the first column, then ``columns``, see :func:`easrec.data.read_items`.
        item_ids: Original ids by item number; entry 0 is padding.
        columns: Columns of the features, lists of strings.
        source: Name of the file in errors.

    Raises:
        DataError: No item has any feature.
    """
    numbers = pl.DataFrame({"item": list(item_ids[1:]), "number": np.arange(1, len(item_ids), dtype=np.int64)})
    # named by position, since columns of the file may have any name
    given = pl.DataFrame({"item": frame.to_series(0), **{str(i): frame[name] for i, name in enumerate(columns)}})
    known = numbers.join(given, on="item", how="inner")
    parts = [
        known.select("number", value=pl.col(str(i)))
        .explode("value")
        .drop_nulls("value")
        .select("number", feature=pl.lit(f"{name}=") + pl.col("value"))
        for i, name in enumerate(columns)
    ]
    rows = pl.concat(parts).unique(maintain_order=True).sort("number", maintain_order=True)
    if rows.is_empty():
        raise DataError(
            f"{source}: none of the {len(numbers):,} items has a feature in {', '.join(columns)}; are its item ids "
            f"those of the interactions, such as {item_ids[1]!r}?"
        )
    names = rows["feature"].unique(maintain_order=True)
    ids = rows.join(
        pl.DataFrame({"feature": names, "id": np.arange(1, len(names) + 1, dtype=np.int32)}),
        on="feature",
        how="left",
        maintain_order="left",
    )["id"]
    counts = np.bincount(rows["number"].to_numpy(), minlength=len(item_ids))
    return ItemFeatures(
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        ids.to_numpy().astype(np.int32),
        ["", *names.to_list()],
        list(columns),
        missing=len(numbers) - len(known),
        empty=len(known) - int((counts > 0).sum()),
    )
