"""Training interactions from a file, or random ones in which every user fills one window."""

import numpy as np
import torch

from easrec.config import Config
from easrec.data import Batch, Interactions, Split, Statistics, prepare, read_interactions
from easrec.training import epoch_batches
from speed.scale import Scale

__all__ = ["random_split", "split", "typical_batch"]


def split(scale: Scale) -> Split:
    """Return the leave-one-out split of the file, or of random interactions."""
    if scale.data is None:
        return random_split(scale, scale.batch)
    return Split(prepare(read_interactions(scale.data)))


def random_split(scale: Scale, users: int) -> Split:
    """Return a split of uniform ids, in which the training part of every user is one full window."""
    each = scale.length + 3  # the first item is no target; validation and test take one each
    items = np.random.default_rng(0).integers(1, scale.items + 1, size=users * each).astype(np.int32)
    names = ["", *map(str, range(1, scale.items + 1))]
    counts = Statistics(users, scale.items, len(items), 0, 0, 0, False)
    offsets = np.arange(users + 1, dtype=np.int64) * each
    return Split(Interactions(items, offsets, [str(user) for user in range(users)], names, counts))


def typical_batch(split: Split, config: Config, size: int) -> Batch:
    """Return the batch of median length in an epoch, whose batches group sequences of similar length."""
    batches = list(epoch_batches(split.training, config, size, torch.device("cpu"))(0))
    return sorted(batches, key=lambda batch: batch.inputs.numel())[len(batches) // 2]
