"""Rows of tables as plain dictionaries, for pandas, polars and csv."""

from collections.abc import Mapping
from typing import Any

__all__ = ["Row", "flat", "row", "sizes_text"]

Row = dict[str, Any]


def flat(data: Mapping[str, Any]) -> Row:
    """Flatten nested mappings to dotted names; lists are not flattened."""
    found: Row = {}
    for name, value in data.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{below}": item for below, item in flat(value).items()}
        else:
            found[name] = value
    return found


def row(**parts: Mapping[str, Any]) -> Row:
    """Join the columns of several parts; a duplicate name is prefixed with its part: ``cost hidden``."""
    found: Row = {}
    for kind, columns in parts.items():
        taken = set(found)
        found |= {f"{kind} {name}" if name in taken else name: value for name, value in columns.items()}
    return found


def sizes_text(sizes: Mapping[str, Any]) -> str:
    """Return the sizes of a network on one line; those per layer are joined: ``hidden 8, inner 16-32``."""
    return ", ".join(
        f"{name} {'-'.join(map(str, value)) if isinstance(value, (list, tuple)) else value}"
        for name, value in sizes.items()
    )
