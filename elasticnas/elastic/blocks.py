"""Blocks: the terms of a dimension, and which axis every factor of a term holds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from elasticnas.elastic.expressions import Expression, Name, Product, Sum
from elasticnas.elastic.layouts import Layout
from elasticnas.elastic.probing import Probing

__all__ = ["Block", "blocks_of"]

Factor = tuple[str | None, int]
"""Axis or name of a factor, None if it does not vary, and its size in the largest model."""


@dataclass(frozen=True)
class Block:
    """A range of units of a dimension that is a product of factors.

    Attributes:
        start: Its first unit in the largest model.
        factors: The factors, outermost first.
        is_nested: Whether a factor is a concatenation; ``factors`` are then the names in it, in no order.
    """

    start: int
    factors: tuple[Factor, ...]
    is_nested: bool = False


def blocks_of(probing: Probing, layout: Layout) -> tuple[tuple[Block, ...], ...]:
    """Return the blocks of every dimension of a tensor, one for each term of a concatenation.

    Args:
        probing: The layouts of the model.
        layout: The layout of the tensor.
    """
    keys = _keys(probing, layout)
    found: list[tuple[Block, ...]] = []
    for dim, dimension in enumerate(layout.dimensions):
        if dimension.expression is None:
            key = None if dimension.how == "fixed" else keys[dim].get(dimension.label)
            found.append((Block(0, ((key, layout.shape[dim]),)),))
        else:
            sizes = probing.sizes_in(layout, probing.full)[dim]
            found.append(tuple(_blocks(dimension.expression, 0, sizes, keys[dim])))
    return tuple(found)


def _keys(probing: Probing, layout: Layout) -> list[dict[str, str]]:
    """Return the axis with the sizes of each name that varies, or the name, for every dimension."""
    here = probing.probes_with(layout.name)
    sizes, series = [probing.sizes_in(layout, probe) for probe in here], probing.axis_values(here)
    found = []
    for dim, names in enumerate(sizes[0]):
        values = {name: [each[dim][name] for each in sizes] for name in names}
        found.append(
            {
                name: next((axis for axis, own in series.items() if own == each), name.rpartition(".")[2])
                for name, each in values.items()
                if len(set(each)) > 1
            }
        )
    return found


def _blocks(expression: Expression, start: int, sizes: Mapping[str, int], keys: Mapping[str, str]) -> Iterator[Block]:
    if isinstance(expression, Sum):
        for term in expression.terms:
            yield from _blocks(term, start, sizes, keys)
            start += term.part(sizes, sizes).full
        return
    factors = list(_factors(expression))
    names = [name for factor in factors for name in factor.names()]
    nested = any(isinstance(factor, Sum) for factor in factors)
    yield Block(start, tuple((keys.get(name), Name(name).part(sizes, sizes).full) for name in names), nested)


def _factors(expression: Expression) -> Iterator[Expression]:
    """Yield the factors of a product, and those of products in it."""
    if isinstance(expression, Product):
        for factor in expression.factors:
            yield from _factors(factor)
    else:
        yield expression
