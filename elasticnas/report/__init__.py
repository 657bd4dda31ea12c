"""Reports: progress, environment of measurements, HTML reports, plots, tables, intervals."""

from elasticnas.report.console import figures_table, open_console
from elasticnas.report.environment import device_name, environment
from elasticnas.report.hints import slowness_hint
from elasticnas.report.html import Report, Reportable, try_report, write_report
from elasticnas.report.intervals import difference_interval, mean_interval, require_scipy
from elasticnas.report.memory import peak_memory, reset_peak_memory
from elasticnas.report.pareto import pareto_plot, require_matplotlib
from elasticnas.report.plan import Plan
from elasticnas.report.progress import Stage
from elasticnas.report.series import Series
from elasticnas.report.tables import bullets, table

__all__ = [
    "Plan",
    "Report",
    "Reportable",
    "Series",
    "Stage",
    "bullets",
    "device_name",
    "difference_interval",
    "environment",
    "figures_table",
    "mean_interval",
    "open_console",
    "pareto_plot",
    "peak_memory",
    "require_matplotlib",
    "require_scipy",
    "reset_peak_memory",
    "slowness_hint",
    "table",
    "try_report",
    "write_report",
]
