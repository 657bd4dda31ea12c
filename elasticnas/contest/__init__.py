"""Contests: search strategies against random search and uniformly scaled networks, at equal total work, over seeds."""

from elasticnas.contest.contest import Contest
from elasticnas.contest.entrant import Entrant
from elasticnas.contest.plan import ContestPlan, SupernetPlan, read_plan
from elasticnas.contest.statistics import Judgement, judge

__all__ = ["Contest", "ContestPlan", "Entrant", "Judgement", "SupernetPlan", "judge", "read_plan"]
