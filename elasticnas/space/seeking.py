"""Seeking: find valid combinations of a component with too many paths to list."""

import random
from collections.abc import Iterator, Mapping, Sequence

from elasticnas.space.component import Combination, Component
from elasticnas.space.schema import ascending
from elasticnas.space.tree import Path

__all__ = ["climb", "seek", "walk"]

_RUNS, _RESTARTS = 2_000, 4  # of the depth-first search in random order
_STEPS = 50  # steps of a walk per choice


def seek(component: Component) -> list[Combination]:
    """Return a few valid combinations; an empty list does not prove that there are none.

    Tries the combinations with all choices at the same fraction of their range, which often satisfy rules that compare
    sizes, and some thousand paths of depth-first searches in random order.
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
    """Return the end of a random walk over valid combinations that starts at a known one.

    A step gives one or two choices random options; it is not taken if a rule rejects the result. The longer the walk,
    the closer its end is to uniform over the combinations that it can reach.
    """
    here = rng.choice(known)
    names = [name for name in sorted(component.names) if component.options[name]]
    for _ in range(_STEPS * len(names)):
        changed = rng.sample(names, min(len(names), rng.choice((1, 2))))
        there = here | {name: rng.choice(component.options[name]) for name in changed}
        here = there if component.is_valid(there) else here
    return here


def climb(component: Component, ranked: Mapping[str, Sequence[int]], start: Combination) -> Combination:
    """Return a valid combination in which no single choice can get a better option.

    Args:
        component: The choices and their rules.
        ranked: The option indices of each choice, best first.
        start: A valid combination.
    """
    here = start
    while True:
        near = _improved(component, ranked, here, slice(-1, None))
        # if no choice can get its next better option, a still better one may be valid
        there = near if near != here else _improved(component, ranked, here, slice(None))
        if there == here:
            return here
        here = there


def _improved(
    component: Component, ranked: Mapping[str, Sequence[int]], here: Combination, which: slice
) -> Combination:
    """Give each choice in turn the first of its better options that the rules allow.

    ``which`` selects the better options to try, which are ordered from the best to the next better one.
    """
    for name, options in ranked.items():
        better = options[: options.index(here[name]) if here[name] in options else None][which]
        changes = (change for index in better for change in _changes(component, ranked, name, index))
        here = next((here | change for change in changes if component.is_valid(here | change)), here)
    return here


def _changes(component: Component, ranked: Mapping[str, Sequence[int]], name: str, index: int) -> Iterator[Combination]:
    yield {name: index}
    layers = [item.choice.name for item in component.items if item.length_of == name]
    if layers:  # more layers may be valid only with their worst options
        yield {name: index} | {layer: ranked[layer][-1] for layer in layers if layer in ranked}


def _diagonal(component: Component) -> Iterator[Combination]:
    ordered = {item.choice.name: ascending(item.choice.options) for item in component.items}
    last = max(map(len, ordered.values()), default=1) - 1
    for step in range(last + 1):
        yield {name: indices[step * (len(indices) - 1) // max(1, last)] for name, indices in ordered.items()}
