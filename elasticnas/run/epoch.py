"""The batches of one epoch, from a loader, a sequence or a function."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from elasticnas.errors import SearchError
from elasticnas.run.generators import Generators, derived_seed

__all__ = ["END", "Batches", "check_batches", "one_epoch"]

Batches = Callable[[int], Iterable[Any]] | DataLoader[Any] | Sequence[Any]

END = object()  # default of next() after the last batch


def one_epoch(source: Batches, name: str, seed: int, epoch: int = 0, start: int = 0) -> Iterator[Any]:
    """Iterate over the batches of one epoch, with the random numbers of `BatchStream`.

    Args:
        source: See `BatchStream`.
        name: See `BatchStream`.
        seed: Random seed.
        epoch: Number of the epoch, from 0.
        start: Batches to skip; they are not read from a sequence.

    Raises:
        SearchError: The source does not have one of the forms of `BatchStream`, or the epoch has no batch.
    """
    check_batches(source, name)
    if isinstance(source, Sequence):
        return _indexed(source, (name, seed, epoch), start)
    return _iterated(source, (name, seed, epoch), start)


def _indexed(source: Sequence[Any], key: tuple[str, int, int], start: int) -> Iterator[Any]:
    if len(source) == 0:
        raise SearchError(_empty(key))
    for index in range(start, len(source)):
        # a custom sequence may draw random numbers; generators per index make them independent of the start
        is_builtin = isinstance(source, (list, tuple))
        with nullcontext() if is_builtin else Generators(*key, index).swapped_in():
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
        iterator = _iterator_of(loader, key)
    position = 0
    while True:
        with generators.swapped_in():
            batch = next(iterator, END)
        if batch is END:
            break
        position += 1
        if position > start:
            yield batch
    if position == 0:
        raise SearchError(_empty(key, loader))


def _iterator_of(loader: Any, key: tuple[str, int, int]) -> Iterator[Any]:
    if not (isinstance(loader, DataLoader) and loader.persistent_workers):
        return iter(loader)
    # persistent workers draw their seed in the first epoch of a process only: that draw must not affect the order
    generator, loader.generator = loader.generator, torch.Generator().manual_seed(derived_seed(*key, "workers"))
    try:
        return iter(loader)
    finally:
        loader.generator = generator


def _parts(loader: Any) -> list[Any]:
    """Return the parts of a loader that may have a generator or ``set_epoch``."""
    batch_sampler = getattr(loader, "batch_sampler", None)
    samplers = [getattr(loader, "sampler", None), batch_sampler, getattr(batch_sampler, "sampler", None)]
    distinct = {id(part): part for part in (loader, *samplers, getattr(loader, "dataset", None))}
    return list(distinct.values())


def _empty(key: tuple[str, int, int], batches: Any = None) -> str:
    spent = key[-1] > 0 and isinstance(batches, Iterator)
    again = "; make new batches for each epoch: an iterator is read only once" if spent else ""
    return f"{key[0]}: epoch {key[-1]} has no batch{again}"


def _returned(source: Callable[[int], Any], key: tuple[str, int, int]) -> Any:
    batches = source(key[-1])
    stacked = isinstance(batches, (torch.Tensor, np.ndarray)) and batches.ndim > 1  # one batch per row
    if not (stacked or _iterable(batches)):
        given = f"the function returned {_described(batches)} for epoch {key[-1]}"
        raise SearchError(f"{key[0]}: {given}; return an iterable of batches")
    return batches


def check_batches(source: Any, name: str) -> None:
    """Require a source of one of the three forms.

    Raises:
        SearchError: It has none of them, or can be read only once.
    """
    if _iterable(source) and not isinstance(source, Iterator):
        return
    function = callable(source) and not hasattr(type(source), "__iter__")
    if function and _takes_epoch(source):
        return
    forms = "a DataLoader, a list of batches, or a function from the number of an epoch to its batches"
    given = _described(source) + (" that does not take the number" if function else "")
    raise SearchError(f"{name}: give {forms}; received {given}{_instead(source, function)}")


def _instead(source: Any, function: bool) -> str:
    """Return a hint on what was probably meant, for messages."""
    if function:
        return ": write lambda epoch: ..."
    if isinstance(source, Iterator):
        return ": give list(batches), or lambda epoch: ... that makes new ones"
    if isinstance(source, torch.Tensor):
        return ": give its batches, such as list(tensor.split(32))"
    if (
        hasattr(source, "__getitem__")
        and hasattr(source, "__len__")
        and not isinstance(source, (str, bytes, bytearray, Mapping, np.ndarray))
    ):
        return ": give DataLoader(dataset, batch_size=32)"
    return ""


def _iterable(batches: Any) -> bool:
    """Return whether iterating gives batches; rows of a tensor or keys of a mapping are not."""
    excluded = (str, bytes, bytearray, Mapping, Set, torch.Tensor, np.ndarray)
    return hasattr(type(batches), "__iter__") and not isinstance(batches, excluded)


def _takes_epoch(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(0)
    except TypeError:
        return False
    except ValueError:  # a C function without a signature
        return True
    return True


def _described(batches: Any) -> str:
    if batches is None:
        return "None"
    return type(batches).__name__ + (", which can be read only once" if isinstance(batches, Iterator) else "")
