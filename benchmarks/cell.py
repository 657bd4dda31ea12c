"""A cell of a table that takes minutes: measured once, and kept as a file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from elasticnas.files import write_text

__all__ = ["kept_cell"]


def kept_cell(path: Path, identity: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return a cell from its file, or measure it and write the file.

    Args:
        path: The file; its folder is made.
        identity: Data and settings of the cell, as plain data.
        measure: Returns the cell.

    Raises:
        SystemExit: The file is of other data or settings.
    """
    if path.exists():
        found: dict[str, Any] = json.loads(path.read_text())
        if found["identity"] != identity:
            raise SystemExit(f"{path}: is of other data or settings; give another --cells")
    else:
        found = {"identity": identity, **measure()}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(found, indent=2) + "\n")
    return {key: value for key, value in found.items() if key != "identity"}
