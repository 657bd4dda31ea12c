"""The page of the GPU benchmark, made from the files of its parts."""

import json
from pathlib import Path
from typing import Any

from record import heading

__all__ = ["page"]


def page(out: Path) -> str:
    """Return the page of the results in a folder."""
    import gpu_parts

    summary = json.loads((out / "gpu.json").read_text())
    where = summary["environment"]
    lines = heading(f"On a GPU: {where['device']}", where)
    if summary["tiny"]:
        lines += ["A rehearsal with tiny sizes: the figures say nothing.", ""]
    how = "Medians of alternating rounds, with a wait for the device around each; ratios with their 95 % interval."
    lines += [how, ""]
    for name, state in summary["parts"].items():
        lines += [f"## {gpu_parts.PARTS[name].TITLE}", "", f"{state}.", ""]
        path = out / f"{name}.json"
        if path.exists():
            figures = json.loads(path.read_text())
            part = gpu_parts.PARTS[name]
            lines += part.lines(figures) if hasattr(part, "lines") else _part(figures)
    return "\n".join(lines).rstrip() + "\n"


def _part(figures: dict[str, Any]) -> list[str]:
    tables = {name: each for name, each in figures.items() if _is_table(each)}
    rows = []
    for name, forms in tables.items():
        for form, each in forms.items():
            interval = f"{each['low']:.2f} to {each['high']:.2f}"
            rows.append(f"| {name} | {form} | {each['ms']:.3f} | {each['ratio']:.2f} | {interval} |")
    head = ["| | form | ms | ratio | interval |", "|---|---|---:|---:|---|"] if rows else []
    others = [f"* {name}: {_shown(each)}" for name, each in figures.items() if name not in tables]
    return [*head, *rows, *([""] if rows else []), *others, ""]


def _is_table(each: Any) -> bool:
    return isinstance(each, dict) and bool(each) and all(isinstance(v, dict) and "ratio" in v for v in each.values())


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) else f"`{json.dumps(value)[:1500]}`"
