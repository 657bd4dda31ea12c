"""What a run shows and records: progress, the environment of its figures, a Pareto plot, tables."""

from elasticnas.report.console import figures_table, open_console
from elasticnas.report.environment import environment
from elasticnas.report.hints import slow_because
from elasticnas.report.memory import count_peak_anew, peak_memory
from elasticnas.report.pareto import Series, pareto_plot, require_matplotlib
from elasticnas.report.plan import Plan
from elasticnas.report.progress import Stage
from elasticnas.report.tables import bullets, table

__all__ = [
    "Plan",
    "Series",
    "Stage",
    "bullets",
    "count_peak_anew",
    "environment",
    "figures_table",
    "open_console",
    "pareto_plot",
    "peak_memory",
    "require_matplotlib",
    "slow_because",
    "table",
]
