"""Page of ``bench.py``, generated from its JSON."""

from typing import Any

from record import heading

__all__ = ["page"]

_USES_THE_FILE = ("supernet-step", "machine-share")
_UNITS = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def page(record: dict[str, Any]) -> str:
    """Return Markdown: the number of targets met, then every part with its figures."""
    parts = record["parts"]
    rows = [row for part in parts.values() for row in part["rows"] if row["target"] is not None]
    lines = [
        "# Speed and memory",
        "",
        f"{sum(row['met'] for row in rows)} of {len(rows)} targets are met. Figures are ratios within one run: the "
        "compared forms were timed alternately, and the interval (95 %) is a bootstrap over the rounds of the ratio of "
        "medians. A target is met if the interval reaches it. Figures that are counted or measured once have no "
        "interval.",
    ]
    for name, part in parts.items():
        lines += ["", *_part(part, name in _USES_THE_FILE)]
    return "\n".join(lines) + "\n"


def _part(part: dict[str, Any], uses_the_file: bool) -> list[str]:
    lines = [f"#{line}" if line.startswith("# ") else line for line in heading(part["title"], part["environment"])]
    data = "real interactions" if uses_the_file and part["sizes"]["data"] is not None else "random items"
    names = {"hidden": "d", "inner": "D", "length": "N", "layers": "L", "items": "V"}
    sizes = ", ".join(f"{letter} = {part['sizes'][name]:,}" for name, letter in names.items())
    lines += [part["text"], "", f"Sizes, unless stated otherwise: {sizes}, {part['sizes']['heads']} heads; {data}.", ""]
    lines += _rows(part["rows"])
    if "before_commit" in part:
        lines += ["", f"*Before*: the same benchmark with the library of commit {part['before_commit']}."]
    if part["figures"]:
        lines += ["", *_figures(part["figures"])]
    return lines + (["", *(f"* {remark}" for remark in part["remarks"])] if part["remarks"] else [])


def _rows(rows: list[dict[str, Any]]) -> list[str]:
    bounds = any(row["bound"] is not None for row in rows)
    compared = any(row.get("before") is not None for row in rows)
    lines = [
        f"| measurement | figure | interval | target | met |{' FLOPs |' if bounds else ''}"
        f"{' before |' if compared else ''}",
        f"|---|---:|---:|---:|---|{'---:|' if bounds else ''}{'---:|' if compared else ''}",
    ]
    for row in rows:
        interval = f"{_shown(row['low'], row)} to {_shown(row['high'], row)}" if row["rounds"] else ""
        least = "at least" if row["at_least"] else "at most"
        target = "" if row["target"] is None else f"{least} {_shown(row['target'], row)}"
        bound = f" {'' if row['bound'] is None else format(row['bound'], '.2f')} |" if bounds else ""
        before = f" {'' if row.get('before') is None else _shown(row['before'], row)} |" if compared else ""
        lines.append(
            f"| {row['name']} | {_shown(row['value'], row)} | {interval} | {target} | {_met(row)} |{bound}{before}"
        )
    return lines


def _met(row: dict[str, Any]) -> str:
    """Return whether the target is met, by the figure itself or only within its interval."""
    if row["met"] is None:
        return ""
    figure_meets = row["value"] >= row["target"] if row["at_least"] else row["value"] <= row["target"]
    return "yes" if figure_meets else "within the interval" if row["met"] else "**no**"


def _shown(value: float, row: dict[str, Any]) -> str:
    if row["unit"] == "bytes":
        name, size = next((each for each in _UNITS if value >= each[1] / 2), _UNITS[-1])
        return f"{value / size:.2f} {name}"
    if row["unit"] == "s":
        return f"{value:.2f} s"
    return f"{value:g}" if row["unit"] else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _figures(figures: list[dict[str, Any]]) -> list[str]:
    titles = {
        "form": "form",
        "ms": "median, ms",
        "rounds": "rounds",
        "memory_mib": "memory, MiB",
        "gflop": "GFLOP",
        "gflop_per_s": "GFLOP/s",
        "share_of_step": "share of the step",
    }
    used = [name for name in titles if any(name in figure for figure in figures)]
    lines = [
        "| " + " | ".join(titles[name] for name in used) + " |",
        "|---|" + "---:|" * (len(used) - 1),
    ]
    for figure in figures:
        lines.append("| " + " | ".join(_cell(figure.get(name)) for name in used) + " |")
    return lines


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return (
        f"{value:,.1f}"
        if isinstance(value, float) and value >= 100
        else f"{value:.3g}"
        if isinstance(value, float)
        else str(value)
    )
