"""Spaces of compositions: one schema with drawn options and rules."""

import random
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Literal

import pydantic
from pydantic import model_validator

from elasticnas.space import PerLayer, Space

__all__ = ["SPACES", "space_of"]

SPACES = 48
"""Number of spaces: many compositions share one, since making a space takes longer than checking a model."""

_ODD = (
    (1, "1"),
    ("keys", "a.b"),
    (True, False),
    ("plain", "other", "third"),
    ("1", "2"),
    (3, 1, 2),
    ("training", "x y"),
)


@cache
def space_of(number: int) -> type[Space]:
    """Return the space with a number from 0 to ``SPACES - 1``."""
    rng = random.Random(f"space {number}")
    fields: dict[str, Any] = {name: (_literal(options), ...) for name, options in _options(rng).items()}
    layers = rng.choice([2, 3])
    fields["depth"] = (_literal(_subset(rng, [layers, *range(rng.choice([0, 1]), layers)])), ...)
    fields["widths"] = (_per_layer(_subset(rng, [5, 4, 3, 2, 1]), 3), ...)
    fields["tied"] = (_per_layer(_subset(rng, [4, 3, 2]), "depth"), ...)
    fields["keep"] = (Annotated[tuple[bool, ...], PerLayer(2)], ...)
    fields["part"] = (_nested(rng), ...)
    rules = {f"rule{position}": rule for position, rule in enumerate(_rules(rng, fields))}
    made = _create_model("Composed", __base__=(_Derived,), __validators__=rules, **fields)
    made.pickle_factory = (space_of, (number,))
    return made


class _Derived(Space):
    """Base class with sizes derived from fields."""

    @property
    def double(self) -> int:
        return 2 * self.inner  # type: ignore[attr-defined,no-any-return]

    @property
    def across(self) -> int:
        return self.heads + self.head_dim  # type: ignore[attr-defined,no-any-return]


def _create_model(name: str, **given: Any) -> type[Space]:
    made: type[Space] = getattr(pydantic, "create_model")(name, **given)  # noqa: B009 (its overloads know no drawn fields)
    return made


def _options(rng: random.Random) -> dict[str, Any]:
    return {
        "hidden": _subset(rng, [8, 6, 5, 4, 3, 2, 1], least=2),
        "inner": _subset(rng, [7, 6, 4, 3, 2, 1, *([0] if rng.random() < 0.3 else [])], least=2),
        "heads": _subset(rng, [4, 2]) if rng.random() < 0.5 else (2, 1),
        "head_dim": _subset(rng, [4, 3, 2, 1]),
        "half": _subset(rng, [3, 2, 1], least=2),
        "rows": _subset(rng, [7, 6, 5]),
        "odd": rng.choice(_ODD),
    }


def _subset(rng: random.Random, values: list[Any], least: int = 1) -> tuple[Any, ...]:
    """Return the first value and some of the others, in random order."""
    chosen = [values[0], *rng.sample(values[1:], rng.randint(least - 1, min(2, len(values) - 1)))]
    return tuple(rng.sample(chosen, len(chosen)))


def _literal(options: tuple[Any, ...]) -> Any:
    return Literal[options]


def _per_layer(options: tuple[Any, ...], count: "int | str") -> Any:
    return Annotated[tuple[_literal(options), ...], PerLayer(count)]  # type: ignore[misc]


def _nested(rng: random.Random) -> type[Space]:
    fields = {"inner": (_literal(_subset(rng, [5, 4, 2], 2)), ...), "rank": (_literal(_subset(rng, [3, 2, 1], 2)), ...)}
    rules = {"rule": _forbid_pair("inner", "rank", fields)} if rng.random() < 0.5 else {}
    return _create_model("Part", __base__=(Space,), __validators__=rules, **fields)


def _rules(rng: random.Random, fields: dict[str, Any]) -> list[Any]:
    rules = []
    if rng.random() < 0.4:
        rules.append(_forbid_pair("hidden", "inner", fields))
    if rng.random() < 0.3 and len(fields["odd"][0].__args__) > 2:
        rules.append(_forbid_option(fields["odd"][0].__args__[-1]))
    if rng.random() < 0.3:
        rules.append(_rule(lambda arch: sum(arch.widths) > 3 * min(arch.widths) + 4, "widths differ too much"))
    return rules


def _forbid_pair(first: str, second: str, fields: dict[str, Any]) -> Any:
    """Return a rule that forbids the last options of two choices together."""
    one, other = fields[first][0].__args__[-1], fields[second][0].__args__[-1]
    return _rule(lambda arch: getattr(arch, first) == one and getattr(arch, second) == other, f"{first} and {second}")


def _forbid_option(option: Any) -> Any:
    """Return a rule that forbids an option of ``odd``."""
    return _rule(lambda arch: arch.odd == option and type(arch.odd) is type(option), f"odd={option!r}")


def _rule(refused: Callable[[Any], bool], text: str) -> Any:
    def check(self: Any) -> Any:
        if refused(self):
            raise ValueError(text)
        return self

    return model_validator(mode="after")(check)
