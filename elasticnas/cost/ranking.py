"""Combinations of options in the order of the sum of their values."""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["ranked"]


def ranked(options: Mapping[str, Sequence[Any]], values: Mapping[str, Sequence[float]]) -> Iterator[dict[str, Any]]:
    """Iterate over the combinations of options, the lowest sum of values first.

    Args:
        options: Options of each choice.
        values: Values of these options, finite.
    """
    names = list(options)
    order = {name: sorted(range(len(options[name])), key=values[name].__getitem__) for name in names}
    rows = [[values[name][position] for position in order[name]] for name in names]
    queue = [(sum(row[0] for row in rows), (0,) * len(names), 0)]
    while queue:
        total, ranks, last = heapq.heappop(queue)
        # each combination has one parent, whose last non-zero rank is one lower
        for position in range(last, len(names)):
            rank = ranks[position]
            if rank + 1 < len(rows[position]):
                following = (*ranks[:position], rank + 1, *ranks[position + 1 :])
                heapq.heappush(queue, (total + rows[position][rank + 1] - rows[position][rank], following, position))
        yield {name: options[name][order[name][ranks[place]]] for place, name in enumerate(names)}
