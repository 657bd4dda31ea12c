"""HTML reports in one file: sections of text, tables, charts and drawings of networks."""

from elasticnas.report.html.chart import Chart
from elasticnas.report.html.curves import curves, read_metrics, thinned
from elasticnas.report.html.drawing import Drawing
from elasticnas.report.html.page import Report, Reportable, Section, try_report, write_report
from elasticnas.report.html.parts import Facts, Grid, Lines, Part, Text

__all__ = [
    "Chart",
    "Drawing",
    "Facts",
    "Grid",
    "Lines",
    "Part",
    "Report",
    "Reportable",
    "Section",
    "Text",
    "curves",
    "read_metrics",
    "thinned",
    "try_report",
    "write_report",
]
