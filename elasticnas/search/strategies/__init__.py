"""Search strategies behind one small interface, one file each.

SPOS and RandomSearch search any supernet, those by gradients (DARTS, ProxylessNAS, RecNAS, EASRec) supernets made of
elastic primitives: elastified models run sliced and cannot be mixed.
"""

from elasticnas.search.strategies.darts import DARTS
from elasticnas.search.strategies.easrec import EASRec
from elasticnas.search.strategies.problem import Problem
from elasticnas.search.strategies.proxylessnas import ProxylessNAS
from elasticnas.search.strategies.random_search import RandomSearch
from elasticnas.search.strategies.recnas import RecNAS
from elasticnas.search.strategies.spos import SPOS
from elasticnas.search.strategies.strategy import Strategy

__all__ = [
    "DARTS",
    "SPOS",
    "STRATEGIES",
    "EASRec",
    "Problem",
    "ProxylessNAS",
    "RandomSearch",
    "RecNAS",
    "Strategy",
]

STRATEGIES: dict[str, type[Strategy]] = {
    strategy.name: strategy for strategy in (DARTS, ProxylessNAS, RecNAS, SPOS, RandomSearch, EASRec)
}
"""By name, for command lines: ``STRATEGIES["darts"]().search(problem, settings)``."""
