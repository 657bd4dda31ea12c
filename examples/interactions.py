"""Generate ``examples/interactions.csv`` and ``examples/items.csv``, which the documentation's commands read.

The category of a user's next item is determined by the categories of the two items before it.
"""

from pathlib import Path

import polars as pl

from easrec.data.synthetic import planted

USERS, ITEMS, CATEGORIES = 400, 60, 6


def main(folder: Path = Path(__file__).parent) -> None:
    frame = planted(users=USERS, items=ITEMS, categories=CATEGORIES, length=15, seed=0).frame
    number = {name: pl.col(name).str.extract(r"(\d+)$").cast(pl.Int64).cast(pl.String) for name in ("user", "item")}
    rows = frame.select(
        user_id="u" + number["user"],
        item_id="i" + number["item"],
        timestamp=1_700_000_000 + 3_600 * pl.col("time").cast(pl.Int64),
    )
    rows.write_csv(folder / "interactions.csv")
    genres = [f"genre {item // (ITEMS // CATEGORIES)}" for item in range(ITEMS)]
    pl.DataFrame({"item_id": [f"i{item}" for item in range(ITEMS)], "genres": genres}).write_csv(folder / "items.csv")


if __name__ == "__main__":
    main()
