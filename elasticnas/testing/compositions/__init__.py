"""Compositions: whole models drawn at random from a seed, on which the law is checked."""

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
