"""Leave-one-out evaluation under three ranking protocols."""

from easrec.evaluation.evaluator import Evaluator, Report, Score, users_together
from easrec.evaluation.metrics import METRICS, metrics_at, per_user, standard_errors_at
from easrec.evaluation.negatives import draw_negatives
from easrec.evaluation.popularity import popularity_scores, without_popularity
from easrec.evaluation.protocols import MISSED, PROTOCOLS, ranks_from_scores
from easrec.evaluation.repeats import repeat_targets

__all__ = [
    "METRICS",
    "MISSED",
    "PROTOCOLS",
    "Evaluator",
    "Report",
    "Score",
    "draw_negatives",
    "metrics_at",
    "per_user",
    "popularity_scores",
    "ranks_from_scores",
    "repeat_targets",
    "standard_errors_at",
    "users_together",
    "without_popularity",
]
