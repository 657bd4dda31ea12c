"""Training samples: windows of long sequences (causal) or prefixes, in length-bucketed batches."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from easrec.data.split import Sequences

__all__ = [
    "Batch",
    "causal_windows",
    "count_batches",
    "make_batches",
    "pad",
    "prefix_samples",
    "times_of",
    "training_batches",
]

_BUCKET = 20  # batches whose samples are sorted by length together


class Batch:
    """Inputs and targets of one step.

    Attributes:
        inputs: ``(B, N)`` int64, right padded with 0.
        targets: ``(B, N)`` int64 in causal form, the next item of every position, 0 at padding; ``(B,)`` for prefixes.
        when: Times of the inputs and of the event after each, from :func:`times_of`; empty without.
    """

    def __init__(self, inputs: Tensor, targets: Tensor, when: tuple[Tensor, ...] = ()) -> None:
        self.inputs, self.targets, self.when = inputs, targets, when

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""
        return self._of(lambda tensor: tensor.to(device))

    def rows(self, chosen: Tensor | slice) -> "Batch":
        """Return some rows of the batch."""
        return self._of(lambda tensor: tensor[chosen])

    def _of(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return Batch(change(self.inputs), change(self.targets), tuple(map(change, self.when)))


def causal_windows(
    sequences: Sequences, length: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut sequences into windows of at most ``length`` inputs, so that every next item is a target exactly once.

    Args:
        sequences: Training parts.
        length: N.
        rng: Draws the offset of the windows in long sequences.

    Returns:
        First and last (exclusive) input position of every window in ``sequences.items``; the target of position p is
        the item at p + 1.
    """
    inputs = sequences.lengths - 1
    starts, stops = [sequences.starts[(inputs > 0) & (inputs <= length)]], []
    stops.append(sequences.stops[(inputs > 0) & (inputs <= length)] - 1)
    for user in np.flatnonzero(inputs > length):
        first, last = sequences.starts[user], sequences.stops[user] - 1
        cut = first + (int(rng.integers(1, length + 1)))
        edges = np.concatenate([[first], np.arange(cut, last, length), [last]])
        starts.append(edges[:-1])
        stops.append(edges[1:])
    return np.concatenate(starts), np.concatenate(stops)


def prefix_samples(sequences: Sequences, length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return one sample per prefix: the last ``length`` items before each target.

    Returns:
        First and last (exclusive) input position of every sample; the target is the item right after its inputs.
    """
    starts, stops = [], []
    for first, last in zip(sequences.starts, sequences.stops, strict=True):
        ends = np.arange(first + 1, last)
        stops.append(ends)
        starts.append(np.maximum(first, ends - length))
    empty = np.zeros(0, dtype=np.int64)
    return np.concatenate([*starts, empty]), np.concatenate([*stops, empty])


def make_batches(
    lengths: NDArray[np.int64], per_batch: int, unit: Literal["users", "targets"], rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Group samples of similar lengths into batches, in random order; return the sample indices of each batch.

    Args:
        lengths: ``(samples,)`` length of each sample.
        per_batch: Number of users (samples) or targets (positions) per batch.
        unit: Which of the two; a batch has at least one sample.
        rng: Draws the order.
    """
    order = rng.permutation(len(lengths))
    average = max(1.0, float(lengths.mean())) if len(lengths) else 1.0
    bucket = max(1, int(_BUCKET * (per_batch if unit == "users" else per_batch / average)))
    batches: list[NDArray[np.int64]] = []
    for begin in range(0, len(order), bucket):
        part = order[begin : begin + bucket]
        part = part[np.argsort(lengths[part], kind="stable")]
        weights = np.ones(len(part), dtype=np.int64) if unit == "users" else lengths[part]
        number = (np.cumsum(weights) - 1) // per_batch
        batches.extend(part[number == which] for which in np.unique(number))
    return [batches[i] for i in rng.permutation(len(batches))]


def pad(items: NDArray[Any], starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sequences ``items[start:stop]`` as ``(B, longest)`` int64, right padded with 0."""
    lengths = stops - starts
    columns = np.arange(max(1, int(lengths.max(initial=1))))
    inside = columns < lengths[:, None]
    padded = np.zeros(inside.shape, dtype=np.int64)
    padded[inside] = items[(starts[:, None] + columns)[inside]]
    return padded


def times_of(sequences: Sequences, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> tuple[Tensor, ...]:
    """Return the times of inputs, and of the event after each, ``(B, longest)`` int64, right padded with 0.

    Args:
        sequences: Sequences; without times the result is empty.
        starts: First position of each input in ``sequences.items``.
        stops: Last position (exclusive), which is that of the target.
    """
    if sequences.times is None:
        return ()
    return tuple(torch.from_numpy(pad(sequences.times, starts + shift, stops + shift)) for shift in (0, 1))


def training_batches(
    sequences: Sequences,
    length: int,
    per_batch: int,
    unit: Literal["users", "targets"],
    form: Literal["causal", "prefixes"],
    seed: int,
    epoch: int,
) -> Iterator[Batch]:
    """Yield the batches of an epoch; the same seed and epoch give the same batches."""
    starts, stops, batches = _samples_and_batches(sequences, length, per_batch, unit, form, seed, epoch)
    for chosen in batches:
        inputs = torch.from_numpy(pad(sequences.items, starts[chosen], stops[chosen]))
        if form == "causal":
            targets = torch.from_numpy(pad(sequences.items, starts[chosen] + 1, stops[chosen] + 1))
        else:
            targets = torch.from_numpy(sequences.items[stops[chosen]].astype(np.int64))
        yield Batch(inputs, targets, times_of(sequences, starts[chosen], stops[chosen]))


def _samples_and_batches(
    sequences: Sequences,
    length: int,
    per_batch: int,
    unit: Literal["users", "targets"],
    form: Literal["causal", "prefixes"],
    seed: int,
    epoch: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[NDArray[np.int64]]]:
    rng = np.random.default_rng([seed, 2, epoch])
    if form == "causal":
        starts, stops = causal_windows(sequences, length, rng)
    else:
        # each prefix is one target, so batches count samples
        (starts, stops), unit = prefix_samples(sequences, length), "users"
    return starts, stops, make_batches(stops - starts, per_batch, unit, rng)


def count_batches(
    sequences: Sequences,
    length: int,
    per_batch: int,
    unit: Literal["users", "targets"],
    form: Literal["causal", "prefixes"],
    seed: int,
    epoch: int = 0,
) -> int:
    """Count the batches of an epoch; epochs may differ by a few, because the offsets of windows are random."""
    return len(_samples_and_batches(sequences, length, per_batch, unit, form, seed, epoch)[2])
