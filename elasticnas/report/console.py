"""Where commands print: as wide as the terminal, and 80 columns where there is none."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

__all__ = ["WIDTH", "figures_table", "open_console"]

WIDTH = 80


def open_console() -> Console:
    """A console on the standard output: as wide as the terminal; 80 columns in a file or a pipe."""
    return Console(width=None if Console().is_terminal else WIDTH)


def figures_table(head: list[str], title: str = "", labels: int = 1) -> Table:
    """A table of figures that is readable at 60 columns: labels wrap, figures stay whole, nothing is cut.

    Args:
        head: Names of the columns; a line break in a name breaks it there.
        title: Above the table.
        labels: How many columns, from the left, hold text that may wrap; the others hold figures.
    """
    table = Table(title=escape(title) or None, title_justify="left", box=SIMPLE_HEAD, show_edge=False)
    table.padding, table.pad_edge = (0, 1, 0, 0), False  # narrow: every column counts at 60
    for position, name in enumerate(head):
        if position < labels:
            table.add_column(escape(name), overflow="fold")
        else:
            table.add_column(escape(name), justify="right", no_wrap=True)
    return table
