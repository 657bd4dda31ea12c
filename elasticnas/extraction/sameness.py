"""Sameness: one architecture for all those that are the same network."""

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

_TRIED = 1024  # combinations of what nothing reads, where rules refuse the largest


class Sameness:
    """Tells which architectures are the same network, by what the modules that run in them read.

    A choice that only an idle part reads, such as a skipped layer or a candidate that a Mixture does not choose,
    changes nothing. A choice counts as read wherever a module that runs may read it: as a size, through a property
    that follows from it, or in its own code, where a mention of ``axes.current()`` counts as reading every choice.

    Args:
        model: A model made of elastic primitives; it is analysed once, and not run.
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
        self._known: dict[tuple[int | None, ...], Any] = {}

    def canonical(self, arch: S) -> S:
        """The one that stands for all architectures that are certainly the same network.

        What nothing reads has the option of the largest architecture; where rules forbid that, the first options, in
        their order, that they allow; where they tie too much together to try, the architecture stays as it is.

        Raises:
            ArchitectureError: ``arch`` is no valid architecture of the model's space.
        """
        indices = self._space.indices(arch)
        read = self._read_in(arch, indices)
        if len(read) == len(indices):
            return arch
        key = tuple(index if name in read else None for name, index in indices.items())
        if key not in self._known:
            self._known[key] = self._first({name: self._options[name][indices[name]] for name in read})
        known: S | None = self._known[key]
        return arch if known is None else known

    def _first(self, read: Mapping[str, Any]) -> Any:
        """The first valid architecture in which these choices are given; None where it takes too long to find."""
        info, base = self._space.info(), self._largest | dict(read)
        if (arch := info.possible(base)) is not None:
            return arch
        free = [item.choice.name for item in info.architectures.tied if item.choice.name not in read]
        orders = [
            (base[name], *(option for option in self._options[name] if option is not base[name])) for name in free
        ]
        combinations = islice(product(*orders), _TRIED)
        archs = (info.possible(base | dict(zip(free, options, strict=True))) for options in combinations)
        return next((arch for arch in archs if arch is not None), None)

    def _read_in(self, arch: Any, indices: Mapping[str, int]) -> frozenset[str]:
        """The choices that are read; which modules run follows from a few of them."""
        key = tuple(indices[name] for name in self._deciding)
        if key not in self._running:
            with self._axes.at(arch):
                self._running[key] = self._read_by(module for _, module in running_modules(self._model))
        return self._running[key]

    def _read_by(self, modules: Iterable[nn.Module]) -> frozenset[str]:
        """By modules, and by all in those that they may run without having registered them."""
        pending, seen = list(modules), set[nn.Module]()
        read: set[str] = set()
        while pending:
            module = pending.pop()
            if module not in seen:
                seen.add(module)
                own, further = self._reach_of(module)
                read |= own
                pending.extend(below for held in further for below in held.modules())
        return frozenset(read)

    def _reach_of(self, module: nn.Module) -> tuple[frozenset[str], list[nn.Module]]:
        if module not in self._reach:
            reach = Reach(module)
            read = {choice.name for axis in reach.axes for choice in axis.quantity.choices}
            # a layer's size tells whether the architecture has the layer
            read |= {length for name in read if (length := self._lengths[name]) is not None}
            self._reach[module] = frozenset(self._options if reach.anything else read), reach.modules
        return self._reach[module]
