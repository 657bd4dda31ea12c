"""Expressions: the units of a dimension as products and sums of named factors, such as ``(heads d + kv d + kv d)``."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from elasticnas.elastic.parts import Grid, Join, Part, Prefix

__all__ = ["Expression", "Name", "Product", "Sum", "parse_dimensions"]

_TOKEN = re.compile(r"\(|\)|\+|[^\s()+]+")
_NAME = re.compile(r"[A-Za-z_][\w.]*|[1-9]\d*")


class Expression(ABC):
    """The size of a dimension, or of a factor of it."""

    @abstractmethod
    def names(self) -> Iterator[str]:
        """Yield the names and numbers, outermost first; a name may occur several times."""

    @abstractmethod
    def form(self, sizes: Mapping[str, int | None]) -> tuple[int, int]:
        """Return ``(a, b)`` such that the size is ``a + b * u``, where u is the size of the one unknown name.

        Raises:
            ArithmeticError: The unknown is multiplied by itself.
        """

    @abstractmethod
    def part(self, full: Mapping[str, int], active: Mapping[str, int]) -> Part:
        """Return the units that remain if every factor keeps its first units.

        Args:
            full: Sizes of the names in the largest model.
            active: Sizes of the names in a smaller one.
        """

    @abstractmethod
    def text(self, inner: bool = False) -> str:
        """Return the expression as written in a rule; ``inner`` within a product."""


@dataclass(frozen=True)
class Name(Expression):
    """A named size, or a number."""

    name: str

    def names(self) -> Iterator[str]:
        """Yield the name."""
        yield self.name

    def form(self, sizes: Mapping[str, int | None]) -> tuple[int, int]:
        """Return the size as a constant, or the unknown itself."""
        size = int(self.name) if self.name.isdigit() else sizes[self.name]
        return (0, 1) if size is None else (size, 0)

    def part(self, full: Mapping[str, int], active: Mapping[str, int]) -> Part:
        """Return the first units."""
        if self.name.isdigit():
            return Prefix(int(self.name), int(self.name))
        return Prefix(full[self.name], active[self.name])

    def text(self, inner: bool = False) -> str:
        """Return the name, of an attribute the last part."""
        return self.name.rpartition(".")[2]


@dataclass(frozen=True)
class Product(Expression):
    """A product, the outermost factor first."""

    factors: tuple[Expression, ...]

    def names(self) -> Iterator[str]:
        """Yield the names of all factors."""
        for factor in self.factors:
            yield from factor.names()

    def form(self, sizes: Mapping[str, int | None]) -> tuple[int, int]:
        """Return the product of the factors."""
        known, unknown = 1, 0
        for factor in self.factors:
            a, b = factor.form(sizes)
            if unknown and b:
                raise ArithmeticError("the unknown size is multiplied by itself")
            known, unknown = known * a, known * b + unknown * a
        return known, unknown

    def part(self, full: Mapping[str, int], active: Mapping[str, int]) -> Part:
        """Return the grid of the factors' units."""
        return Grid(tuple(factor.part(full, active) for factor in self.factors))

    def text(self, inner: bool = False) -> str:
        """Return the factors, separated by spaces."""
        return " ".join(factor.text(True) for factor in self.factors)


@dataclass(frozen=True)
class Sum(Expression):
    """A concatenation of terms."""

    terms: tuple[Expression, ...]

    def names(self) -> Iterator[str]:
        """Yield the names of all terms."""
        for term in self.terms:
            yield from term.names()

    def form(self, sizes: Mapping[str, int | None]) -> tuple[int, int]:
        """Return the sum of the terms."""
        forms = [term.form(sizes) for term in self.terms]
        return sum(a for a, _ in forms), sum(b for _, b in forms)

    def part(self, full: Mapping[str, int], active: Mapping[str, int]) -> Part:
        """Return the units of the terms one after the other."""
        return Join(tuple(term.part(full, active) for term in self.terms))

    def text(self, inner: bool = False) -> str:
        """Return the terms, separated by plus signs; within a product in parentheses."""
        text = " + ".join(term.text() for term in self.terms)
        return f"({text})" if inner else text


def parse_dimensions(text: str) -> tuple[Expression | None, ...]:
    """Parse a layout: for each dimension a name, a number, ``(an expression)``, or ``_``, which gives None.

    Raises:
        ValueError: The text is not a layout.
    """
    tokens = _TOKEN.findall(text)
    found: list[Expression | None] = []
    while tokens:
        if tokens[0] == "_":
            tokens.pop(0)
            found.append(None)
        else:
            found.append(_atom(tokens))
    if not found:
        raise ValueError("no dimension")
    return tuple(found)


def _atom(tokens: list[str]) -> Expression:
    token = tokens.pop(0)
    if token == "(":
        found = _sum(tokens)
        if not tokens or tokens.pop(0) != ")":
            raise ValueError("a parenthesis is not closed")
        return found
    if token == "_" or not _NAME.fullmatch(token):
        raise ValueError(f"{token} is no name")
    return Name(token)


def _sum(tokens: list[str]) -> Expression:
    terms = [_product(tokens)]
    while tokens and tokens[0] == "+":
        tokens.pop(0)
        terms.append(_product(tokens))
    return terms[0] if len(terms) == 1 else Sum(tuple(terms))


def _product(tokens: list[str]) -> Expression:
    factors = []
    while tokens and tokens[0] not in (")", "+"):
        factors.append(_atom(tokens))
    if not factors:
        raise ValueError("an expression is empty")
    return factors[0] if len(factors) == 1 else Product(tuple(factors))
