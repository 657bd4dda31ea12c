"""Console and tables of commands: as wide as the terminal, or 80 columns."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

__all__ = ["WIDTH", "figures_table", "open_console"]

WIDTH = 80


def open_console() -> Console:
    """Return a console on standard output: as wide as the terminal; 80 columns in a file or a pipe."""
    return Console(width=None if Console().is_terminal else WIDTH)


def figures_table(head: list[str], title: str = "", labels: int = 1) -> Table:
    """Make a table of figures that is readable at 60 columns: labels wrap, figures do not, nothing is truncated.

    Args:
        head: Names of the columns; they may have line breaks.
        title: Title above the table.
        labels: Number of columns, from the left, with text that may wrap; the others have figures.
    """
    table = Table(title=escape(title) or None, title_justify="left", box=SIMPLE_HEAD, show_edge=False)
    table.padding, table.pad_edge = (0, 1, 0, 0), False  # narrow, for 60 columns
    for position, name in enumerate(head):
        if position < labels:
            table.add_column(escape(name), overflow="fold")
        else:
            table.add_column(escape(name), justify="right", no_wrap=True)
    return table
