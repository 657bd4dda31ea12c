"""Markdown lists and tables."""

from collections.abc import Mapping, Sequence

__all__ = ["bullets", "table"]


def bullets(items: Mapping[str, object]) -> str:
    """Return ``* name: value`` lines."""
    return "\n".join(f"* {name}: {value}" for name, value in items.items())


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; all columns but the first are right-aligned."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
