"""Parts of a section of a report: text, facts, tables."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Protocol

__all__ = ["Facts", "Grid", "Lines", "Part", "Text"]

_LONG = 24  # characters; cells with more get a minimum width


class Part(Protocol):
    """A part of a section."""

    def html(self, name: str) -> str:
        """Return HTML with all texts escaped.

        Args:
            name: Unique name of the part in its page, for ids.
        """


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str

    def html(self, name: str) -> str:
        """See :meth:`Part.html`."""
        return f"<p>{escape(self.text)}</p>"


@dataclass(frozen=True)
class Lines:
    """A list of sentences."""

    lines: Sequence[str]

    def html(self, name: str) -> str:
        """See :meth:`Part.html`."""
        return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in self.lines)}</ul>"


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    facts: Mapping[str, Any]

    def html(self, name: str) -> str:
        """See :meth:`Part.html`."""
        rows = (f"<dt>{escape(key)}</dt><dd>{escape(str(value))}</dd>" for key, value in self.facts.items())
        return f"<dl>{''.join(rows)}</dl>"


@dataclass(frozen=True)
class Grid:
    """A table; numbers are right-aligned.

    Attributes:
        head: Names of the columns.
        rows: Rows of cells.
        caption: Caption above the table.
        bold: Row and column, from 0, of the cells in bold.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    bold: Collection[tuple[int, int]] = ()

    def html(self, name: str) -> str:
        """See :meth:`Part.html`."""
        columns = [[row[place] for row in self.rows] for place in range(len(self.head))]
        kinds = [' class="number"' if cells and all(map(_is_number, cells)) else "" for cells in columns]
        head = "".join(f"<th{kind}>{escape(cell)}</th>" for kind, cell in zip(kinds, self.head, strict=True))
        rows = "".join(f"<tr>{self._row(number)}</tr>" for number in range(len(self.rows)))
        above = f"<caption>{escape(self.caption)}</caption>" if self.caption else ""
        return f'<div class="scroll"><table>{above}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'

    def _row(self, number: int) -> str:
        cells = enumerate(self.rows[number])
        return "".join(_cell(text, (number, column) in self.bold) for column, text in cells)


def _cell(text: str, bold: bool) -> str:
    kind = ' class="number"' if _is_number(text) else ' class="long"' if len(text) > _LONG else ""
    return f"<td{kind}><b>{escape(text)}</b></td>" if bold else f"<td{kind}>{escape(text)}</td>"


def _is_number(text: str) -> bool:
    return text[:1].isdigit() or text[:1] in ("", "+", "-")
