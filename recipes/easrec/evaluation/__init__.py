"""Evaluation of one target per user under four ranking protocols."""

from easrec.evaluation.baselines import BASELINES, baseline_scores, last_item_scores
from easrec.evaluation.beyond import beyond_accuracy, gini
from easrec.evaluation.evaluator import Evaluator, Report, Score, users_together
from easrec.evaluation.lists import recommended
from easrec.evaluation.metrics import METRICS, metrics_at, per_user, standard_errors_at
from easrec.evaluation.negatives import draw_negatives, draw_uniform_negatives
from easrec.evaluation.popularity import popularity_scores, without_popularity
from easrec.evaluation.protocols import MISSED, PROTOCOLS, ranks_from_scores

__all__ = [
    "BASELINES",
    "METRICS",
    "MISSED",
    "PROTOCOLS",
    "Evaluator",
    "Report",
    "Score",
    "baseline_scores",
    "beyond_accuracy",
    "draw_negatives",
    "draw_uniform_negatives",
    "gini",
    "last_item_scores",
    "metrics_at",
    "per_user",
    "popularity_scores",
    "ranks_from_scores",
    "recommended",
    "standard_errors_at",
    "users_together",
    "without_popularity",
]
