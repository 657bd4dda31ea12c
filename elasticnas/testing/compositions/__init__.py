"""Compositions: whole models drawn from a seed, and the law checked on them."""

from elasticnas.testing.compositions.check import check_composition
from elasticnas.testing.compositions.draw import Composition, compositions, draw_composition
from elasticnas.testing.compositions.parts import Part

__all__ = ["Composition", "Part", "check_composition", "compositions", "draw_composition"]
