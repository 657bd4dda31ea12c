"""Seeking: valid combinations of a component whose ways are too many to list."""

import random
from collections.abc import Iterator, Mapping, Sequence

from elasticnas.space.component import Combination, Component
from elasticnas.space.schema import ascending
from elasticnas.space.tree import Path

__all__ = ["climb", "seek", "walk"]

_RUNS, _RESTARTS = 2_000, 4
_STEPS = 50  # of a walk, for each choice


def seek(component: Component) -> list[Combination]:
    """A few valid combinations; empty where none was found, which proves nothing.

    Tried are the combinations with all choices at one share of their range, as rules that compare sizes allow, and
    some thousand ways in random order that step back from what a rule refuses.
    """
    found = [combination for combination in _diagonal(component) if component.is_valid(combination)]
    rng = random.Random(0)
    for _ in range(_RESTARTS):
        shuffled = {name: rng.sample(options, len(options)) for name, options in component.options.items()}
        path = Path(shuffled)
        for _ in range(_RUNS):
            if component.obeys(path) and component.weight(path.taken):
                found.append(component.draw(path.taken, rng))
                break
            if not path.advance():
                break
    return found


def walk(component: Component, known: Sequence[Combination], rng: random.Random) -> Combination:
    """A valid combination at the end of a random walk over valid ones, from one that is known.

    A step gives one or two choices random options, and is taken back where a rule refuses: the longer the walk, the
    closer to uniform over what it can reach.
    """
    here = rng.choice(known)
    names = [name for name in sorted(component.names) if component.options[name]]
    for _ in range(_STEPS * len(names)):
        changed = rng.sample(names, min(len(names), rng.choice((1, 2))))
        there = here | {name: rng.choice(component.options[name]) for name in changed}
        here = there if component.is_valid(there) else here
    return here


def climb(component: Component, ranked: Mapping[str, Sequence[int]], start: Combination) -> Combination:
    """A valid combination in which no choice by itself can get a better option.

    Args:
        component: The choices and their rules.
        ranked: Their options, best first.
        start: A valid combination.
    """
    here = start
    while True:
        near = _raised(component, ranked, here, slice(-1, None))
        # where no choice can get the next better option, one further away may still do
        there = near if near != here else _raised(component, ranked, here, slice(None))
        if there == here:
            return here
        here = there


def _raised(component: Component, ranked: Mapping[str, Sequence[int]], here: Combination, which: slice) -> Combination:
    """The combination after each choice in turn got one of its better options, where the rules allow it."""
    for name, options in ranked.items():
        better = options[: options.index(here[name]) if here[name] in options else None][which]
        changes = (change for index in better for change in _changes(component, ranked, name, index))
        here = next((here | change for change in changes if component.is_valid(here | change)), here)
    return here


def _changes(component: Component, ranked: Mapping[str, Sequence[int]], name: str, index: int) -> Iterator[Combination]:
    yield {name: index}
    counted = [item.choice.name for item in component.items if item.length_of == name]
    if counted:  # there may be room for further layers only if they are the worst
        yield {name: index} | {layer: ranked[layer][-1] for layer in counted if layer in ranked}


def _diagonal(component: Component) -> Iterator[Combination]:
    ordered = {item.choice.name: ascending(item.choice.options) for item in component.items}
    last = max(map(len, ordered.values()), default=1) - 1
    for step in range(last + 1):
        yield {name: indices[step * (len(indices) - 1) // max(1, last)] for name, indices in ordered.items()}
