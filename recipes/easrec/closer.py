"""closer: what one network recommends on the test stage, beyond means over all users."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from easrec.config import Config
from easrec.data import Interactions, Split
from easrec.evaluation import MISSED, Report, beyond_accuracy, metrics_at, recommended
from easrec.evaluation.beyond import user_counts
from easrec.evaluation.evaluator import Score
from easrec.evaluation.groups import history_groups, popularity_groups
from easrec.steering import allows_repeats
from elasticnas.errors import DataError

__all__ = ["beyond", "by_group", "of_lists", "test_lists", "write_per_user"]


def cutoff(config: Config) -> int:
    """Return k of the early-stopping metric."""
    return int(config.early_stopping_metric.partition("@")[2])


def of_lists(config: Config) -> str:
    """Return the protocol whose ranks are places in the lists: ``full`` if it steers the run, otherwise ``unseen``."""
    return "full" if allows_repeats(config) else "unseen"


def test_lists(score: Score, split: Split, config: Config, device: torch.device) -> NDArray[np.int64]:
    """Return the list of every evaluated user before the test target, as ``recommend`` gives it.

    Items of the history are in it if the run is steered by ``full``, as with ``recommend --repeats``.
    """
    length, k, repeats = config.model.length, cutoff(config), allows_repeats(config)
    return recommended(score, split.history("test"), split.items, length, k, device, repeats)


def beyond(lists: NDArray[np.int64], split: Split) -> dict[str, float]:
    """Return coverage, novelty, popularity and Gini index: :func:`easrec.evaluation.beyond_accuracy`."""
    users = user_counts(*split.training.rows_and_items(), split.items)
    return beyond_accuracy(lists, users, split.training.counts(split.items), int((split.training.lengths > 0).sum()))


def by_group(report: Report, split: Split, config: Config) -> dict[str, dict[str, float]]:
    """Return the test metrics under the early-stopping protocol by group of users and of target items."""
    ranks = report.ranks[config.early_stopping_metric.partition("/")[0]]
    targets, counts = split.targets("test").astype(np.int64), split.training.counts(split.items)
    groups = history_groups(split.history("test").lengths) | popularity_groups(targets, counts)
    k = cutoff(config)
    return {name: {"users": float(w.sum()), **metrics_at(ranks[w], (k,))} for name, w in groups.items()}


def write_per_user(path: Path, data: Interactions, split: Split, report: Report, lists: NDArray[np.int64]) -> None:
    """Write user, target, rank under every protocol (null for a miss of unseen) and list, one row per evaluated user.

    Raises:
        DataError: The file cannot be written.
    """
    names = np.array(data.item_ids, dtype=object)
    users = [data.user_ids[number] for number in report.users]
    columns: dict[str, Any] = {"user": users, "target": names[split.targets("test")].tolist()}
    for name, ranks in report.ranks.items():
        columns[f"rank_{name}"] = [None if rank == MISSED else rank for rank in ranks.tolist()]
    columns["items"] = [names[row[row > 0]].tolist() for row in lists]
    try:
        pl.DataFrame(columns).write_parquet(path)
    except OSError as error:
        raise DataError(f"--per-user {path}: cannot be written ({error.strerror}); give another file") from None
