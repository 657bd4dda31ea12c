"""Write the two files of a benchmark: its figures as JSON, and a page."""

import json
from pathlib import Path
from typing import Any

__all__ = ["heading", "write"]


def heading(title: str, environment: dict[str, Any]) -> list[str]:
    """Return the first lines of a page: title, command, commit and machine."""
    where = environment
    return [
        f"# {title}",
        "",
        f"`{where['command']}`, commit {where['commit']}, {where['processor']}, "
        f"{where['threads']} thread{'s' * (where['threads'] != 1)}, torch {where['torch']}.",
        "",
    ]


def write(out: Path, name: str, record: dict[str, Any], page: str) -> None:
    """Write ``name.json`` and ``name.md`` into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")
    (out / f"{name}.md").write_text(page)
