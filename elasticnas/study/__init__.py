"""From a supernet to a Pareto front of trained networks, compared with uniformly scaled-down ones."""

from elasticnas.study.result import StudyResult
from elasticnas.study.settings import StudySettings
from elasticnas.study.study import Study

__all__ = ["Study", "StudyResult", "StudySettings"]
