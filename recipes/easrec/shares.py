"""The shares of several processes in the work of a run: rows of each batch, and users of an evaluation."""

from collections.abc import Iterable

import torch
from rich.console import Console

from easrec.data import Batch
from elasticnas.errors import ConfigError
from elasticnas.parallel import launched, rank, size

__all__ = ["console_of_first", "imbalance", "own_rows", "require_parallel", "vary_dropout"]


def own_rows(batch: Batch) -> Batch:
    """Return the rows of a global batch that this process trains on; in one process, the batch.

    Rows are dealt out in order of their length, so that all processes have about as many positions. A process without
    a row gets one without targets, as all must take part in each step.
    """
    if size() == 1:
        return batch
    rows = _dealt(batch)[rank()]
    if len(rows) == 0:
        one = batch.rows(slice(1))
        return Batch(one.inputs, torch.zeros_like(one.targets), one.when)
    return batch.rows(rows)


def _dealt(batch: Batch) -> list[torch.Tensor]:
    order = (batch.inputs > 0).sum(1).argsort(descending=True, stable=True)
    return [order[first :: size()] for first in range(size())]


def imbalance(batches: Iterable[Batch]) -> float:
    """Return how many more positions than the mean the busiest process has, as a share, summed over steps."""
    busiest, positions = 0, 0
    for batch in batches:
        lengths = (batch.inputs > 0).sum(1)
        busiest += max(int(lengths[rows].sum()) for rows in _dealt(batch))
        positions += int(lengths.sum())
    return busiest * size() / positions - 1


def vary_dropout(seed: int, dropout: float) -> None:
    """Let every process draw dropout of its own; without dropout, all draw the same samples of items."""
    if rank() > 0 and dropout > 0:
        torch.manual_seed(seed + 7919 * rank())


def console_of_first(console: Console) -> Console:
    """Return the console on rank 0, and a quiet one on the others."""
    return console if rank() == 0 else Console(quiet=True)


def require_parallel(parallel: str | None) -> None:
    """Require that several processes share the work.

    Raises:
        ConfigError: There are several, and each would do all of it, or they would shard weights.
    """
    if launched() > 1 and parallel != "ddp":
        raise ConfigError(
            f"a run of EASRec got Run(parallel={parallel!r}) and there are {launched()} processes: give "
            'Run(parallel="ddp"), or start it without torchrun'
        )
