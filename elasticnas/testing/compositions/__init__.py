"""Compositions: whole models drawn from a seed, and the law checked on them."""

from elasticnas.testing.compositions.check import check_composition
from elasticnas.testing.compositions.coverage import TRAITS, traits
from elasticnas.testing.compositions.draw import Composition, compositions, draw_composition
from elasticnas.testing.compositions.parts import Part
from elasticnas.testing.compositions.reference import reference

__all__ = [
    "TRAITS",
    "Composition",
    "Part",
    "check_composition",
    "compositions",
    "draw_composition",
    "reference",
    "traits",
]
