"""Studies: compare searched networks with uniformly scaled-down ones at equal FLOPs."""

from elasticnas.study.comparison import Comparison, compare_over_seeds
from elasticnas.study.result import StudyResult, SupernetTraining
from elasticnas.study.row import Row
from elasticnas.study.settings import StudySettings
from elasticnas.study.study import Study

__all__ = ["Comparison", "Row", "Study", "StudyResult", "StudySettings", "SupernetTraining", "compare_over_seeds"]
