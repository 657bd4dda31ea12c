"""Evaluation by leave-one-out: three protocols, always reported together."""

from easrec.evaluation.evaluator import PROTOCOLS, Evaluator, ranks
from easrec.evaluation.metrics import metrics_at, per_user
from easrec.evaluation.negatives import draw_negatives

__all__ = ["PROTOCOLS", "Evaluator", "draw_negatives", "metrics_at", "per_user", "ranks"]
