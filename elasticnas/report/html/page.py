"""Report: sections in one HTML file that works offline."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from elasticnas.errors import PluginError
from elasticnas.files import write_text
from elasticnas.packages import require_package
from elasticnas.report.html.chart import Chart
from elasticnas.report.html.drawing import Drawing
from elasticnas.report.html.parts import Part
from elasticnas.report.html.style import STYLE

__all__ = ["Report", "Reportable", "Section", "try_report", "write_report"]


@dataclass(frozen=True)
class Section:
    """A heading with parts below it.

    Attributes:
        title: The heading.
        parts: The parts; consecutive charts and drawings share a row if the page is wide enough.
        folded: Whether it is collapsed until it is clicked.
    """

    title: str
    parts: Sequence[Part]
    folded: bool = False


@dataclass(frozen=True)
class Report:
    """A page of sections.

    Attributes:
        title: Title of the page.
        sections: The sections; those without parts are left out.
    """

    title: str
    sections: Sequence[Section] = field(repr=False)  # tens of kilobytes

    def html(self) -> str:
        """Return the page, including plotly's script.

        Raises:
            PluginError: plotly is not installed.
        """
        plotly: Any = require_package("plotly.offline", "report")
        body = "".join(_section(number, each) for number, each in enumerate(self.sections) if each.parts)
        title = escape(self.title)
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
            f"<title>{title}</title><style>{STYLE}</style>"
            f'<script id="plotly">{plotly.get_plotlyjs()}</script></head>\n'
            f"<body><main><h1>{title}</h1>\n{body}</main></body></html>\n"
        )


class Reportable(Protocol):
    """A result that has a report."""

    def report(self, folder: Path | None = None) -> Report:
        """Return its report.

        Args:
            folder: Folder of the run, to show curves of its ``metrics.jsonl`` files; None leaves them out.
        """


def write_report(result: Reportable, path: "str | Path", folder: "str | Path | None" = None) -> None:
    """Write the report of a result as one HTML file that works offline.

    Args:
        result: A ``SearchResult``, a ``StudyResult``, or any object with a ``report`` method.
        path: The HTML file.
        folder: Folder of the run, to show curves of its ``metrics.jsonl`` files; None leaves them out.

    Raises:
        PluginError: plotly is not installed.
        ElasticNASError: The file cannot be written.
    """
    write_text(Path(path), result.report(None if folder is None else Path(folder)).html())


def try_report(report: Report, path: Path, console: Console) -> None:
    """Write a report; without plotly, only print what to install.

    Args:
        report: The report.
        path: The HTML file.
        console: The console for the message.
    """
    try:
        write_text(path, report.html())
    except PluginError as error:
        console.print(f"no {path.name}: {error}", highlight=False, markup=False, soft_wrap=True)


def _section(number: int, section: Section) -> str:
    groups = groupby(enumerate(section.parts), key=lambda item: _side_by_side(item[1]))
    parts = []
    for together, items in groups:
        inner = "\n".join(part.html(f"part-{number}-{place}") for place, part in items)
        parts.append(f'<div class="charts">{inner}</div>' if together else inner)
    body, title = "\n".join(parts), escape(section.title)
    if section.folded:
        return f"<section><details><summary>{title}</summary>\n{body}</details></section>\n"
    return f"<section><h2>{title}</h2>\n{body}</section>\n"


def _side_by_side(part: Part) -> bool:
    return isinstance(part, (Chart, Drawing))
