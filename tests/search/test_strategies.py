import pytest

from elasticnas.search import DARTS, SPOS, EASRec, ProxylessNAS, RandomSearch, RecNAS
from elasticnas.testing import StrategyContract


class TestDARTS(StrategyContract):
    def strategy(self):
        return DARTS()


class TestSecondOrderDARTS(StrategyContract):
    settings = StrategyContract.settings.model_copy(update={"order": 2, "update_every": 4})

    def strategy(self):
        return DARTS()


class TestProxylessNAS(StrategyContract):
    def strategy(self):
        return ProxylessNAS()


class TestRecNAS(StrategyContract):
    def strategy(self):
        return RecNAS()


class TestSPOS(StrategyContract):
    def strategy(self):
        return SPOS()


class TestRandomSearch(StrategyContract):
    def strategy(self):
        return RandomSearch()


class TestEASRec(StrategyContract):
    def strategy(self):
        return EASRec()
