"""Mirror: attributes that were changed on the supernet's modules, such as by ``gradient_checkpointing_enable()``."""

from collections.abc import Sequence
from functools import partial
from types import FunctionType
from typing import Any

from torch import nn

from elasticnas.elastic.kinds import is_settings

__all__ = ["Mirror"]

_MISSING = object()
_PLAIN = (bool, float, str, type(None))  # no ints: sizes, and lengths that a forward pass has cached
_SKIPPED = frozenset((*vars(nn.Module()), "training"))

Values = dict[str, Any]


class Mirror:
    """Gives a skeleton the attributes in which the supernet's network differs from the one that ``build`` returned.

    Flags, rates, texts and functions of modules, and all plain settings of configs.

    Args:
        triples: Module of the skeleton, its counterpart in the network, and its counterpart as built.
    """

    def __init__(self, triples: Sequence[tuple[nn.Module, nn.Module, nn.Module]]) -> None:
        self._modules = [
            (vars(mine), vars(full), _watched(vars(built)), len(vars(built))) for mine, full, built in triples
        ]
        self._settings: dict[int, tuple[Values, Any, Values]] = {}
        self._overridden: list[tuple[Values, str, Any]] = []
        for mine, full, built in triples:
            for name, value in vars(built).items():
                own, whole = vars(mine).get(name), vars(full).get(name)
                if is_settings(value) and type(own) is type(value) is type(whole):
                    self._settings[id(own)] = vars(own), whole, _copied(vars(value))

    def apply(self) -> None:
        """Set the changed attributes, and those that are changed no more back to their own values."""
        while self._overridden:
            mine, name, value = self._overridden.pop()
            if value is _MISSING:
                mine.pop(name, None)
            else:
                mine[name] = value
        for mine, full, built, count in self._modules:
            for name, value in built.items():
                now = full.get(name, _MISSING)
                if now is not value and now != value and isinstance(now, _PLAIN):
                    self._override(mine, name, now)
            if len(full) != count:
                self._add_new(mine, full, built)
        for mine, settings, known in self._settings.values():
            theirs = vars(settings)
            if _copied(theirs) != known:
                for name, value in theirs.items():
                    if isinstance(value, (*_PLAIN, int)) and known.get(name, _MISSING) != value:
                        self._override(mine, name, value)

    def _add_new(self, mine: Values, full: Values, built: Values) -> None:
        for name, value in full.items():
            known = name in built or name in _SKIPPED or (name in mine and not callable(value))
            if not known and isinstance(value, (*_PLAIN, FunctionType, partial)):
                self._override(mine, name, value)

    def _override(self, mine: Values, name: str, value: Any) -> None:
        self._overridden.append((mine, name, mine.get(name, _MISSING)))
        mine[name] = value


def _watched(values: Values) -> Values:
    return {name: value for name, value in values.items() if name not in _SKIPPED and isinstance(value, _PLAIN)}


def _copied(values: Values) -> Values:
    return {name: value for name, value in values.items() if isinstance(value, (*_PLAIN, int))}
