"""What a table shows at a width, and whether all of it is there."""

import io
import re

from rich.console import Console

WIDTHS = (60, 80, 120)


def rendered(table, width):
    """The text of a table, which must not be cut and must keep to the width."""
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    text = console.file.getvalue()
    assert "…" not in text and "..." not in text
    assert max(map(len, text.splitlines())) <= width
    return text


def cells(text):
    """Rows of cells: what stands apart by two blanks or more."""
    return [re.split(r" {2,}", line.strip()) for line in text.splitlines() if line.strip() and "─" not in line]
