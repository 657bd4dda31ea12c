"""Sections of the report of the matrix: a table with its plots, and the found architectures."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from easrec.reproduce.collect import Measured
from easrec.reproduce.plots import accuracy_panels, lambda_panels, seeds_note
from easrec.reproduce.tables import Sheet
from elasticnas.report.html import Chart, Facts, Grid, Lines, Part, Section
from elasticnas.search.report import drawing

__all__ = ["architectures", "table_section"]

_METRIC = "test NDCG@10"


def table_section(
    title: str, record: Mapping[str, Any], sheets: Sequence[Sheet], measured: Sequence[Measured]
) -> Section:
    """Return the section of one table of the paper.

    Args:
        title: Title of the table.
        record: Command, commit, machine and data.
        sheets: The table, once for each protocol.
        measured: The methods.
    """
    parts: list[Part] = [Facts(record)]
    for sheet in sheets:
        parts += _charts(sheet.name, measured)
        parts.append(_grid(sheet))
        parts += [Lines([_plain(note) for note in sheet.notes])] if sheet.notes else []
    return Section(title, parts)


def architectures(measured: Sequence[Measured]) -> Section:
    """Return the section of the architectures that the first seed of every method found."""
    drawn = [
        drawing(f"{each.method.label}, seed {each.seeds[0]}", each.results[0].networks["found"].architecture)
        for each in measured
    ]
    return Section("Found architectures", drawn, folded=True)


def _grid(sheet: Sheet) -> Grid:
    """Convert a sheet to a grid; cells that are bold in Markdown stay bold."""
    bold = {
        (row, column)
        for row, cells in enumerate(sheet.rows)
        for column, cell in enumerate(cells)
        if cell.startswith("**")
    }
    return Grid(sheet.head, [[_plain(cell) for cell in row] for row in sheet.rows], sheet.title, bold)


def _charts(name: str, measured: Sequence[Measured]) -> list[Part]:
    note = seeds_note(measured)
    if name == "table3-pop100":
        panels = accuracy_panels(measured)
        return [Chart(title, panel, "encoder MFLOPs", _METRIC, note, wide=True) for title, panel in panels.items()]
    if name == "fig4":
        panels, cost = lambda_panels(measured)
        axes = (_METRIC, "encoder MFLOPs")
        drawn = zip(panels.items(), axes, strict=True)
        return [Chart(title, panel, cost, axis, note, log=True) for (title, panel), axis in drawn]
    return []


def _plain(text: str) -> str:
    """Return the text without Markdown markup."""
    return re.sub(r"(?<!\\)[*`]", "", text).replace("\\*", "*")
