"""Brief: summary of a result as ten lines of text, and as HTML for notebooks."""

import textwrap
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from elasticnas.report.numbers import counted

__all__ = ["Brief", "Summarised"]

_WIDTH, _LINES, _FIRST = 80, 10, 20


@dataclass(frozen=True)
class Brief:
    """A title, a small table, and notes under it.

    Attributes:
        title: The title, one line.
        head: Names of the columns; the first column has the names of the rows.
        rows: Rows of cells, as text.
        notes: Pairs of label and text, the most important first.
    """

    title: str
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    notes: Sequence[tuple[str, str]] = ()

    def text(self) -> str:
        """Return at most ten lines of at most 80 columns; excess rows are left out, and long notes are shortened."""
        table = self._table(_LINES - 1 - len(self.notes))
        spare = _LINES - 1 - len(table) - len(self.notes)
        indent = max((len(label) for label, _ in self.notes), default=0) + 2
        lines = [_cut(self.title, _WIDTH), *table]
        for label, note in self.notes:
            first, *more = textwrap.wrap(note, _WIDTH - indent, max_lines=1 + spare, placeholder=" ...") or [""]
            spare -= len(more)
            lines += [f"{label:<{indent}}{first}", *(" " * indent + line for line in more)]
        return "\n".join(lines)

    def html(self) -> str:
        """Return the complete summary as escaped HTML."""
        head = "".join(f"<th>{escape(name)}</th>" for name in self.head)
        rows = "".join(
            f"<tr><th>{escape(name)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
            for name, *cells in self.rows
        )
        notes = "".join(f"<div><b>{escape(label)}</b> {escape(note)}</div>" for label, note in self.notes)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if self.rows else ""
        return f"<div><b>{escape(self.title)}</b></div>{table}{notes}"

    def _table(self, room: int) -> list[str]:
        """Return the lines of the table; the last one has the number of rows left out, if any."""
        if not self.rows:
            return []
        shown = self.rows if len(self.rows) < room else self.rows[: max(0, room - 2)]
        every = [self.head, *shown]
        first, *widths = (max(map(len, column)) for column in zip(*every, strict=True))
        if first + sum(width + 2 for width in widths) > _WIDTH:
            widest = (_WIDTH - _FIRST) // max(1, len(widths)) - 2
            widths = [min(widest, width) for width in widths]
            first = min(first, _WIDTH - sum(width + 2 for width in widths))
        lines = [_aligned(line, first, widths) for line in every]
        left_out = len(self.rows) - len(shown)
        return [*lines, f"and {counted(left_out, 'more row')}"] if left_out else lines


class Summarised(ABC):
    """Mixin of results: text, ``repr`` and notebooks show the summary; all fields would be thousands of lines."""

    @abstractmethod
    def _brief(self) -> Brief:
        """Return the summary."""

    def __str__(self) -> str:
        return self._brief().text()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self._brief().html()


def _aligned(cells: Sequence[str], first: int, widths: Sequence[int]) -> str:
    name, *rest = cells
    right = "".join(f"  {_cut(cell, width):>{width}}" for cell, width in zip(rest, widths, strict=True))
    return (f"{_cut(name, first):<{first}}" + right).rstrip()


def _cut(text: str, width: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 3] + "..."
