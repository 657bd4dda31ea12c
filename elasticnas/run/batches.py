"""Batches from a loader, a list or a function: without end, and resumed exactly where they stopped."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch.utils.data import DataLoader

from elasticnas.errors import CheckpointError, SearchError
from elasticnas.run.digest import Sample, digest, sample
from elasticnas.run.generators import Generators

__all__ = ["BatchStream", "Batches", "one_epoch"]

Batches = Callable[[int], Iterable[Any]] | DataLoader[Any] | Sequence[Any]

_END = object()


class BatchStream:
    """Batches epoch after epoch.

    What the source draws from the global generators of torch, numpy and Python, and from those of its loader and
    sampler, depends on the seed, the name and the epoch alone. Nobody else's draws change it, and it changes nobody
    else's.

    Args:
        source: A loader, a sequence of batches, or a function from the number of an epoch, counted from 0, to an
            iterable of its batches.
        name: For the seeds and for errors, such as "train".
        seed: Random seed.

    Raises:
        SearchError: The source is none of these, or an epoch has no batch.
        CheckpointError: The batches do not repeat those before the interruption.
    """

    def __init__(self, source: Batches, name: str, seed: int) -> None:
        _check(source, name)
        self._source, self._name, self._seed = source, name, seed
        self.epoch, self.position = 0, 0
        self._iterator: Iterator[Any] | None = None
        self._last: Sample | str | None = None  # of the last batch of this epoch; its digest once it was needed
        self._believe = False

    def next(self) -> Any:
        """The next batch."""
        if self._iterator is None:
            self._iterator = self._taken_up()
        try:
            batch = next(self._iterator, _END)
        except BaseException:
            self._iterator = None  # the next call takes the epoch up where it failed, instead of going on after it
            raise
        if batch is _END:
            self.epoch, self.position, self._iterator, self._last = self.epoch + 1, 0, None, None
            return self.next()
        self.position, self._last = self.position + 1, sample(batch)
        return batch

    def _taken_up(self) -> Iterator[Any]:
        """The epoch from the position on; the batch before it must be the one that was seen."""
        batches = one_epoch(self._source, self._name, self._seed, self.epoch, max(self.position - 1, 0))
        if self.position > 0:
            seen, again = self._digest(), next(batches, _END)
            if again is _END or seen not in (None, digest(sample(again))):
                self._differs()
        return batches

    def _differs(self) -> None:
        where = f"{self._name}: batch {self.position - 1} of epoch {self.epoch}, both counted from 0,"
        text = f"{where} is not the one seen before the interruption"
        if not self._believe:
            rule = "batches must depend on the number of the epoch alone"
            raise CheckpointError(f'{text}; {rule}, or go on with other batches by Run(..., allow={{"batches"}})')
        warnings.warn(f"{text}; going on with other batches", stacklevel=4)

    def _digest(self) -> str | None:
        if isinstance(self._last, list):
            self._last = digest(self._last)
        return self._last

    def state_dict(self) -> dict[str, Any]:
        """Where the stream is, as plain data."""
        return {"epoch": self.epoch, "position": self.position, "digest": self._digest()}

    def load_state_dict(self, state: dict[str, Any], believe: bool = False) -> None:
        """Go to where a stream was.

        Args:
            state: Of `state_dict`. Without a digest, as former versions wrote it, the batches are not compared.
            believe: Warn, instead of raising, where the batches are not those seen before.
        """
        self.epoch, self.position, self._iterator = state["epoch"], state["position"], None
        self._last, self._believe = state.get("digest"), believe


def one_epoch(source: Batches, name: str, seed: int, epoch: int = 0, start: int = 0) -> Iterator[Any]:
    """The batches of one epoch, drawn as `BatchStream` draws them.

    Args:
        source: See `BatchStream`.
        name: See `BatchStream`.
        seed: Random seed.
        epoch: Number of the epoch.
        start: Batches to pass over. A sequence is not asked for them.

    Raises:
        SearchError: The source is none that a stream takes, or the epoch has no batch.
    """
    _check(source, name)
    if isinstance(source, Sequence):
        return _indexed(source, (name, seed, epoch), start)
    return _iterated(source, (name, seed, epoch), start)


def _indexed(source: Sequence[Any], key: tuple[str, int, int], start: int) -> Iterator[Any]:
    if len(source) == 0:
        raise SearchError(_empty(key))
    for index in range(start, len(source)):
        # another class may draw when it is asked, and draws the same when it is asked for this one alone
        plain = isinstance(source, (list, tuple))
        with nullcontext() if plain else Generators(*key, index).swapped_in():
            batch = source[index]
        yield batch


def _iterated(source: Any, key: tuple[str, int, int], start: int) -> Iterator[Any]:
    generators = Generators(*key)
    with generators.swapped_in():
        loader = source if hasattr(type(source), "__iter__") else _returned(source, key)
        parts = _parts(loader)
        generators.add(
            part.generator for part in parts if isinstance(getattr(part, "generator", None), torch.Generator)
        )
    with generators.swapped_in():
        for part in parts:
            if callable(getattr(part, "set_epoch", None)):
                part.set_epoch(key[-1])
        iterator = iter(loader)
    position = 0
    while True:
        with generators.swapped_in():
            batch = next(iterator, _END)
        if batch is _END:
            break
        position += 1
        if position > start:
            yield batch
    if position == 0:
        raise SearchError(_empty(key))


def _parts(loader: Any) -> list[Any]:
    """What may hold a generator or count epochs."""
    batch_sampler = getattr(loader, "batch_sampler", None)
    samplers = [getattr(loader, "sampler", None), batch_sampler, getattr(batch_sampler, "sampler", None)]
    distinct = {id(part): part for part in (loader, *samplers, getattr(loader, "dataset", None))}
    return list(distinct.values())


def _empty(key: tuple[str, int, int]) -> str:
    return f"{key[0]}: epoch {key[-1]} has no batch"


def _returned(source: Callable[[int], Any], key: tuple[str, int, int]) -> Any:
    batches = source(key[-1])
    if not _iterable(batches):
        raise SearchError(f"{key[0]}: the function gave {_described(batches)} for epoch {key[-1]}, not batches")
    return batches


def _check(source: Any, name: str) -> None:
    if _iterable(source) and not isinstance(source, Iterator):
        return
    if callable(source) and not hasattr(type(source), "__iter__") and _takes_epoch(source):
        return
    forms = "a DataLoader, a list of batches, or a function from the number of an epoch to its batches"
    raise SearchError(f"{name}: give {forms}, not {_described(source)}")


def _iterable(source: Any) -> bool:
    return hasattr(type(source), "__iter__")


def _takes_epoch(source: Any) -> bool:
    return True


def _described(source: Any) -> str:
    return type(source).__name__
