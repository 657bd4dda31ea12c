"""Search strategies with one common interface, one file each.

SPOS, ScoreOptions, RandomSearch, Reinforce and Evolve work with any supernet. DARTS, ProxylessNAS, RecNAS and
DynamicConstraint mix sizes and need supernets of elastic primitives; elastified models only run sliced.
"""

from elasticnas.search.strategies.darts import DARTS
from elasticnas.search.strategies.dynamic_constraint import DynamicConstraint
from elasticnas.search.strategies.evolve import Evolve
from elasticnas.search.strategies.proxylessnas import ProxylessNAS
from elasticnas.search.strategies.random_search import RandomSearch
from elasticnas.search.strategies.recnas import RecNAS
from elasticnas.search.strategies.reinforce import Reinforce
from elasticnas.search.strategies.score_options import ScoreOptions
from elasticnas.search.strategies.spos import SPOS
from elasticnas.search.strategies.strategy import GradientStrategy, Strategy

__all__ = [
    "DARTS",
    "SPOS",
    "DynamicConstraint",
    "Evolve",
    "GradientStrategy",
    "ProxylessNAS",
    "RandomSearch",
    "RecNAS",
    "Reinforce",
    "ScoreOptions",
    "Strategy",
]
