"""Architecture search: problems, strategies, and the parts that strategies are made of."""

from elasticnas.search.bilevel import BilevelSearcher
from elasticnas.search.binary_path import BinaryPath
from elasticnas.search.option_scores import OptionScores
from elasticnas.search.penalty import DualAscent, Dynamic, Fixed, NoPenalty, Penalty
from elasticnas.search.plain_training import PlainTraining
from elasticnas.search.problem import Problem
from elasticnas.search.pruning import Pruning
from elasticnas.search.relaxation import Gumbel, Relaxation, Softmax, StraightThrough, Temperature, Tempered
from elasticnas.search.result import Candidate, SearchResult, pareto
from elasticnas.search.score_function import ScoreFunction
from elasticnas.search.settings import SearchSettings, TrainerSettings
from elasticnas.search.strategies import (
    DARTS,
    SPOS,
    DynamicConstraint,
    Evolve,
    GradientStrategy,
    ProxylessNAS,
    RandomSearch,
    RecNAS,
    Reinforce,
    ScoreOptions,
    Strategy,
)
from elasticnas.search.supernet_trainer import SupernetTrainer
from elasticnas.search.training_result import TrainingResult

__all__ = [
    "DARTS",
    "SPOS",
    "BilevelSearcher",
    "BinaryPath",
    "Candidate",
    "DualAscent",
    "Dynamic",
    "DynamicConstraint",
    "Evolve",
    "Fixed",
    "GradientStrategy",
    "Gumbel",
    "NoPenalty",
    "OptionScores",
    "Penalty",
    "PlainTraining",
    "Problem",
    "ProxylessNAS",
    "Pruning",
    "RandomSearch",
    "RecNAS",
    "Reinforce",
    "Relaxation",
    "ScoreFunction",
    "ScoreOptions",
    "SearchResult",
    "SearchSettings",
    "Softmax",
    "StraightThrough",
    "Strategy",
    "SupernetTrainer",
    "Temperature",
    "Tempered",
    "TrainerSettings",
    "TrainingResult",
    "pareto",
]
