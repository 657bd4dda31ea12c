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
        # flat lists, since they are read before every forward pass
        self._counts: list[tuple[Values, int, Values, Values]] = []
        self._watched: list[tuple[Values, str, Any, Values]] = []
        self._settings: dict[int, tuple[Values, Any, Values]] = {}
        self._overridden: list[tuple[Values, str, Any]] = []
        for mine, full, built in triples:
            own, whole, known = vars(mine), vars(full), vars(built)
            self._counts.append((whole, len(known), own, known))
            for name, value in known.items():
                if isinstance(value, _PLAIN) and name not in _SKIPPED:
                    self._watched.append((whole, name, value, own))
                elif is_settings(value) and type(own.get(name)) is type(value) is type(whole.get(name)):
                    self._settings[id(own[name])] = vars(own[name]), whole[name], _copied(vars(value))

    def apply(self) -> None:
        """Set the changed attributes, and those that are changed no more back to their own values."""
        while self._overridden:
            mine, name, value = self._overridden.pop()
            if value is _MISSING:
                mine.pop(name, None)
            else:
                mine[name] = value
        for full, name, value, mine in self._watched:
            if full.get(name, _MISSING) != value and isinstance(now := full.get(name, _MISSING), _PLAIN):
                self._override(mine, name, now)
        for full, count, mine, built in self._counts:
            if len(full) != count:
                self._add_new(mine, full, built)
        for mine, settings, known in self._settings.values():
            theirs = _copied(vars(settings))
            if theirs != known:
                for name, value in theirs.items():
                    if known.get(name, _MISSING) != value:
                        self._override(mine, name, value)

    def _add_new(self, mine: Values, full: Values, built: Values) -> None:
        for name, value in full.items():
            known = name in built or name in _SKIPPED or (name in mine and not callable(value))
            if not known and isinstance(value, (*_PLAIN, FunctionType, partial)):
                self._override(mine, name, value)

    def _override(self, mine: Values, name: str, value: Any) -> None:
        self._overridden.append((mine, name, mine.get(name, _MISSING)))
        mine[name] = value


def _copied(values: Values) -> Values:
    return {name: value for name, value in values.items() if isinstance(value, (*_PLAIN, int))}
