"""Generated interactions that follow a known rule, and the best metrics that any recommender can reach on them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["Planted", "planted"]

_CUTOFFS = (1, 5, 10, 20)


@dataclass(frozen=True)
class Planted:
    """Generated interactions.

    Attributes:
        frame: ``user``, ``item`` (text), ``time`` (seconds), see :func:`easrec.data.read_interactions`.
        best: Metrics of the recommender that knows the rule, under full ranking, on the drawn targets:
            ``{"validation": {"ndcg@10": ...}, "test": ...}``. By chance, another may score slightly higher.
        expected: Expectation of these metrics over targets drawn by the rule.
    """

    frame: pl.DataFrame
    best: dict[str, dict[str, float]]
    expected: dict[str, float]

    def describe(self) -> str:
        """Return one line of description for the output of a run."""
        return (
            "generated interactions: the next item's category follows from the two before it; "
            f"best reachable test NDCG@10 (full ranking): {self.best['test']['ndcg@10']:.4f}"
        )

    def write(self, path: Path) -> None:
        """Write the interactions as TSV."""
        named = self.frame.rename({"user": "user_id", "item": "item_id", "time": "timestamp"})
        named.write_csv(path, separator="\t")


def planted(
    users: int = 1500, items: int = 200, categories: int = 8, noise: float = 0.1, length: int = 25, seed: int = 0
) -> Planted:
    """Draw interactions by a rule for which the choice of architecture matters.

    Every item has a category. A fixed random table gives the category that follows a pair of categories; with
    probability ``noise`` the category is drawn uniformly instead. Within a category, items have Zipf popularity 1/rank.
    A good network has to attend to the last two items together and to represent a table of ``categories ** 2`` entries:
    a wide, shallow network can do that, a narrow one cannot.

    The best reachable metrics are known exactly: in a context with table entry c, item i has the probability
    ``((1 - noise) [category(i) = c] + noise / categories) * zipf(i)``, and ranking by it is optimal. Ties count against
    the target, as in the evaluation.

    Args:
        users: Number of sequences.
        items: V, a multiple of ``categories``.
        categories: Number of categories.
        noise: Probability of a random category.
        length: Mean length of a sequence; lengths are uniform from 2/3 to 4/3 of it.
        seed: Random seed.
    """
    rng = np.random.default_rng([seed, 4])
    each = items // categories
    zipf = 1 / np.arange(1, each + 1)
    zipf /= zipf.sum()
    table = rng.integers(categories, size=(categories, categories))
    # by_category[c]: probabilities of all items if the table gives category c
    p = np.tile(zipf, categories) * (noise / categories)
    by_category = np.repeat(p[None], categories, axis=0)
    for c in range(categories):
        by_category[c, c * each : (c + 1) * each] += (1 - noise) * zipf
    ranks = (by_category[:, :, None] <= by_category[:, None, :]).sum(2)
    lengths = rng.integers(length - length // 3, length + length // 3 + 1, size=users)
    rows_user, rows_item, contexts = [], [], np.zeros((users, 2), dtype=np.int64)
    last_two = np.zeros((users, 2), dtype=np.int64)
    for user, n in enumerate(lengths):
        drawn = np.zeros(n, dtype=np.int64)
        known = rng.integers(categories, size=2)
        for step in range(n):
            c = table[known[0], known[1]]
            drawn[step] = rng.choice(items, p=by_category[c])
            if step >= n - 2:
                contexts[user, step - n + 2] = c
            known = np.array([known[1], drawn[step] // each])
        last_two[user] = drawn[-2:]
        rows_user.append(np.full(n, user))
        rows_item.append(drawn)
    names = np.array([f"item-{i:04d}" for i in rng.permutation(items)])
    flat_users, flat_items = np.concatenate(rows_user), np.concatenate(rows_item)
    frame = pl.DataFrame(
        {
            "user": [f"user-{u:05d}" for u in flat_users],
            "item": names[flat_items],
            "time": np.arange(len(flat_users), dtype=np.float64),
        }
    )
    best = {
        stage: _metrics(ranks[contexts[:, which], last_two[:, which]])
        for which, stage in enumerate(("validation", "test"))
    }
    share = np.bincount(contexts.ravel(), minlength=categories) / contexts.size
    weights = share[:, None] * by_category
    return Planted(frame, best, _metrics(ranks.ravel(), weights.ravel()))


def _metrics(ranks: NDArray[np.int64], weights: NDArray[np.float64] | None = None) -> dict[str, float]:
    found = {}
    for k in _CUTOFFS:
        inside = ranks <= k
        for name, gain in (("recall", np.ones(len(ranks))), ("mrr", 1 / ranks), ("ndcg", 1 / np.log2(ranks + 1))):
            found[f"{name}@{k}"] = float(np.average(np.where(inside, gain, 0.0), weights=weights))
    return found
