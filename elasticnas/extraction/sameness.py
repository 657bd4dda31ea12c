"""Sameness: one canonical architecture for all architectures that are the same network."""

from collections.abc import Iterable, Mapping
from itertools import islice, product
from typing import Any

from torch import nn

from elasticnas.extraction.inspect import axes_of
from elasticnas.extraction.reading import Reach
from elasticnas.nn.idle import running_modules
from elasticnas.nn.module import ElasticModule
from elasticnas.space.space import S

__all__ = ["Sameness"]

_MAX_TRIED = 1024  # combinations of unread choices to try if rules forbid the largest options


class Sameness:
    """Finds architectures that are the same network, from the choices that their running modules read.

    A choice that only an idle module reads, such as a skipped layer or a candidate that a Mixture does not choose, has
    no effect. A choice counts as read if a running module may read it: as a size, through a property that depends on
    it, or in its own code, where use of ``axes.current()`` counts as reading every choice.

    Args:
        model: A model made of elastic primitives; it is analysed once, not run.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model, self._axes = model, axes_of(model)
        self._space = self._axes.space
        items = self._space.info().declared
        self._options = {item.choice.name: item.choice.options for item in items}
        self._lengths = {item.choice.name: item.length_of for item in items}
        self._largest = self._space.assignment(self._space.largest())
        self._reach: dict[nn.Module, tuple[frozenset[str], list[nn.Module]]] = {}
        elastic = [module for module in model.modules() if isinstance(module, ElasticModule)]
        self._deciding = sorted(self._read_by(m for m in elastic if type(m).idle is not ElasticModule.idle))
        self._running: dict[tuple[int, ...], frozenset[str]] = {}
        self._canonical: dict[tuple[int | None, ...], Any] = {}

    def canonical(self, arch: S) -> S:
        """Return the canonical one of all architectures that are known to be the same network.

        Choices that are not read get the option of the largest architecture; if rules forbid this, the first options
        in order that are valid; if these are not found within 1,024 attempts, the architecture is returned unchanged.

        Raises:
            ArchitectureError: ``arch`` is not a valid architecture of the model's space.
        """
        indices = self._space.indices(arch)
        read = self._choices_read(arch, indices)
        if len(read) == len(indices):
            return arch
        key = tuple(index if name in read else None for name, index in indices.items())
        if key not in self._canonical:
            self._canonical[key] = self._first_valid({name: self._options[name][indices[name]] for name in read})
        found: S | None = self._canonical[key]
        return arch if found is None else found

    def _first_valid(self, read: Mapping[str, Any]) -> Any:
        """Return the first valid architecture with the given values of read choices; None if not found in time."""
        info, base = self._space.info(), self._largest | dict(read)
        if (arch := info.possible(base)) is not None:
            return arch
        free = [item.choice.name for item in info.architectures.tied if item.choice.name not in read]
        orders = [
            (base[name], *(option for option in self._options[name] if option is not base[name])) for name in free
        ]
        combinations = islice(product(*orders), _MAX_TRIED)
        archs = (info.possible(base | dict(zip(free, options, strict=True))) for options in combinations)
        return next((arch for arch in archs if arch is not None), None)

    def _choices_read(self, arch: Any, indices: Mapping[str, int]) -> frozenset[str]:
        """Return the choices that running modules read, cached by the few choices that decide which modules run."""
        key = tuple(indices[name] for name in self._deciding)
        if key not in self._running:
            with self._axes.at(arch):
                self._running[key] = self._read_by(module for _, module in running_modules(self._model))
        return self._running[key]

    def _read_by(self, modules: Iterable[nn.Module]) -> frozenset[str]:
        """Return the choices that modules read, and unregistered modules that they may run."""
        pending, seen = list(modules), set[nn.Module]()
        read: set[str] = set()
        while pending:
            module = pending.pop()
            if module not in seen:
                seen.add(module)
                own, further = self._reads_of(module)
                read |= own
                pending.extend(child for other in further for child in other.modules())
        return frozenset(read)

    def _reads_of(self, module: nn.Module) -> tuple[frozenset[str], list[nn.Module]]:
        if module not in self._reach:
            reach = Reach(module)
            read = {choice.name for axis in reach.axes for choice in axis.quantity.choices}
            # reading a layer's size also shows whether the architecture has the layer
            read |= {length for name in read if (length := self._lengths[name]) is not None}
            self._reach[module] = frozenset(self._options if reach.anything else read), reach.modules
        return self._reach[module]
