"""Architecture search: strategies, and what they are made of: relaxations, penalties, trainers, evolution."""

from elasticnas.checkpoint import first_difference, load_checkpoint, save_checkpoint
from elasticnas.runtime import random_state, restore_random_state
from elasticnas.search.archive import EvolveProgress
from elasticnas.search.bilevel import BilevelSearcher, Progress
from elasticnas.search.binary_path import BinaryPath
from elasticnas.search.controller import Controller
from elasticnas.search.evaluation import Evaluate, Loss
from elasticnas.search.evolve import evolve
from elasticnas.search.penalty import DualAscent, Dynamic, Fixed, NoPenalty, Penalty
from elasticnas.search.pruning import Pruning
from elasticnas.search.relaxation import Gumbel, Relaxation, Softmax, StraightThrough, Temperature, Tempered
from elasticnas.search.result import Candidate, SearchResult, pareto
from elasticnas.search.schedule import warm_cosine, warm_up
from elasticnas.search.settings import SearchSettings, TrainerSettings
from elasticnas.search.strategies import (
    DARTS,
    SPOS,
    STRATEGIES,
    EASRec,
    Problem,
    ProxylessNAS,
    RandomSearch,
    RecNAS,
    Strategy,
)
from elasticnas.search.stream import BatchStream, Epochs
from elasticnas.search.supernet_trainer import SupernetTrainer, TrainerProgress, TrainingResult

__all__ = [
    "DARTS",
    "SPOS",
    "STRATEGIES",
    "BatchStream",
    "BilevelSearcher",
    "BinaryPath",
    "Candidate",
    "Controller",
    "DualAscent",
    "Dynamic",
    "EASRec",
    "Epochs",
    "Evaluate",
    "EvolveProgress",
    "Fixed",
    "Gumbel",
    "Loss",
    "NoPenalty",
    "Penalty",
    "Problem",
    "Progress",
    "ProxylessNAS",
    "Pruning",
    "RandomSearch",
    "RecNAS",
    "Relaxation",
    "SearchResult",
    "SearchSettings",
    "Softmax",
    "StraightThrough",
    "Strategy",
    "SupernetTrainer",
    "Temperature",
    "Tempered",
    "TrainerProgress",
    "TrainerSettings",
    "TrainingResult",
    "evolve",
    "first_difference",
    "load_checkpoint",
    "pareto",
    "random_state",
    "restore_random_state",
    "save_checkpoint",
    "warm_cosine",
    "warm_up",
]
