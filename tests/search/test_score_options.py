"""ScoreOptions and OptionScores: planted problems whose optimum is known by hand, and enumeration."""

from elasticnas.search import ScoreOptions
from elasticnas.testing import StrategyContract


class TestScoreOptions(StrategyContract):
    learns_probabilities = False

    def strategy(self):
        return ScoreOptions()


class TestScoreOptionsWithCorrections(StrategyContract):
    learns_probabilities = False

    def strategy(self):
        return ScoreOptions(best=2, held_out=1, corrections=4)
