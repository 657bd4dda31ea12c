"""Naming: from the units that dimensions keep in some models to expressions that hold in all of them."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from elasticnas.elastic.expressions import Expression, Name, Product, Sum
from elasticnas.elastic.parts import Grid, Join, Part, Prefix

__all__ = ["Leaf", "Unnamed", "express"]

_FREE = ("d", "width", "units", "size")


class Unnamed(Exception):
    """The units cannot be written as one expression."""


@dataclass(frozen=True)
class Leaf:
    """A factor and its size in every model.

    Attributes:
        sizes: Its sizes, that in the largest model first.
    """

    sizes: tuple[int, ...]


Tree = Leaf | tuple[str, tuple["Tree", ...]]


def express(parts: Sequence[Part], names: Mapping[str, Sequence[int]], taken: frozenset[str]) -> Expression | None:
    """Return an expression for the units that one dimension keeps in several models; None for its first units.

    Args:
        parts: The units in each smaller model.
        names: Sizes of the axes, or of other names, in the largest model and in each smaller one.
        taken: Names that a free factor must not have.

    Raises:
        Unnamed: The units of two models have no common factors, or two factors vary that have no name.
    """
    if all(isinstance(part, Prefix) for part in parts):
        return None
    tree = _merged(list(parts))
    leaves = list(dict.fromkeys(_leaves(tree)))
    found: dict[Leaf, Expression] = {}
    for leaf in leaves:
        if (named := _named(leaf.sizes, names)) is not None:
            found[leaf] = named
    rest = [leaf for leaf in leaves if leaf not in found]
    if len(rest) > 1:
        raise Unnamed(f"{len(rest)} of its factors vary without a name")
    free = next(name for name in (*_FREE, *(f"d{number}" for number in range(99))) if name not in taken)
    return _written(tree, found | {leaf: Name(free) for leaf in rest})


def _named(sizes: tuple[int, ...], names: Mapping[str, Sequence[int]]) -> Expression | None:
    """Return a number, a name, or a multiple of a name that has these sizes."""
    if len(set(sizes)) == 1:
        return Name(str(sizes[0]))
    for name, values in names.items():
        if tuple(values) == sizes:
            return Name(name)
    for name, values in names.items():
        if all(value and size % value == 0 for size, value in zip(sizes, values, strict=True)):
            multiples = {size // value for size, value in zip(sizes, values, strict=True)}
            if len(multiples) == 1:
                return Product((Name(name), Name(str(multiples.pop()))))
    return None


def _written(tree: Tree, names: Mapping[Leaf, Expression]) -> Expression:
    if isinstance(tree, Leaf):
        return names[tree]
    kind, children = tree
    written = [_written(child, names) for child in children]
    if kind == "+":
        return Sum(tuple(written))
    factors = [factor for child in written for factor in (child.factors if isinstance(child, Product) else (child,))]
    return Product(tuple(factors))


def _leaves(tree: Tree) -> list[Leaf]:
    return [tree] if isinstance(tree, Leaf) else [leaf for child in tree[1] for leaf in _leaves(child)]


def _merged(parts: list[Part]) -> Tree:
    """Return the coarsest tree of factors in which every part cuts each factor to its first units."""
    if any(isinstance(part, Join) for part in parts):
        sizes = next(tuple(term.full for term in part.terms) for part in parts if isinstance(part, Join))
        columns = zip(*(_split(part, sizes) for part in parts), strict=True)
        return "+", tuple(_merged(list(column)) for column in columns)
    nested = [part for part in parts if isinstance(part, Grid) and any(isinstance(f, Join) for f in part.factors)]
    if nested:
        sizes = tuple(factor.full for factor in nested[0].factors)
        columns = zip(*(_factored(part, sizes) for part in parts), strict=True)
        return "*", tuple(_merged(list(column)) for column in columns)
    sizes = _refined(parts)
    factored = [_factored(part, sizes) for part in parts]
    leaves = tuple(Leaf((size, *(factors[place].active for factors in factored))) for place, size in enumerate(sizes))
    return leaves[0] if len(leaves) == 1 else ("*", leaves)


def _refined(parts: Sequence[Part]) -> tuple[int, ...]:
    """Return the sizes of the factors that refine those of all parts."""
    strides = {1, parts[0].full}
    for part in parts:
        sizes = [factor.full for factor in part.factors] if isinstance(part, Grid) else [part.full]
        strides |= {prod(sizes[place:]) for place in range(len(sizes))}
    ordered = sorted(strides, reverse=True)
    if any(a % b for a, b in itertools.pairwise(ordered)):
        raise Unnamed("its factors differ between the models")
    return tuple(a // b for a, b in itertools.pairwise(ordered)) or (1,)


def _factored(part: Part, sizes: tuple[int, ...]) -> list[Part]:
    """Return a part as factors of the given sizes, which refine its own."""
    own = list(part.factors) if isinstance(part, Grid) else [part]
    found: list[Part] = []
    for size in sizes:
        if not own:
            raise Unnamed("its factors differ between the models")
        if own[0].full == size:
            found.append(own.pop(0))
            continue
        first = own[0]
        rest = first.full // size
        if first.full % size or not isinstance(first, Prefix) or first.active % rest:
            raise Unnamed("its factors differ between the models")
        # a cut of a factor is one of the outermost of its own factors
        found.append(Prefix(size, first.active // rest))
        own[0] = Prefix(rest, rest)
    if own:
        raise Unnamed("its factors differ between the models")
    return found


def _split(part: Part, sizes: tuple[int, ...]) -> list[Part]:
    """Return a part as terms of the given sizes."""
    if isinstance(part, Join):
        if tuple(term.full for term in part.terms) != sizes:
            raise Unnamed("its terms differ between the models")
        return list(part.terms)
    if part.is_whole:
        return [Prefix(size, size) for size in sizes]
    if not isinstance(part, Grid) or not part.factors[0].is_whole:
        raise Unnamed("its terms differ between the models")
    block = prod(factor.full for factor in part.factors[1:])
    if any(size % block for size in sizes):
        raise Unnamed("its terms differ between the models")
    return [Grid((Prefix(size // block, size // block), *part.factors[1:])) for size in sizes]
