"""Tables of a matrix, each as plain rows: made into Markdown, CSV and JSON by one writer."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easrec.reproduce.collect import Measured, best_of, differs
from easrec.reproduce.published import EFFICIENCY, GATES, OVERALL
from elasticnas.extraction import write_text
from elasticnas.report import table

__all__ = ["Sheet", "differences", "efficiency", "gates", "lambdas", "overall", "write"]

_METRICS = ("recall@10", "mrr@10", "ndcg@10")
_SHOWN = {"recall@10": "Recall@10", "mrr@10": "MRR@10", "ndcg@10": "NDCG@10"}
_SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        name: Of its files.
        title: Above it.
        head: Column names.
        rows: Cells as text, for people.
        figures: The same rows as plain data, for programs.
        notes: What a reader must know.
    """

    name: str
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    figures: Sequence[Mapping[str, Any]]
    notes: Sequence[str] = ()


def overall(measured: Sequence[Measured], dataset: "str | None", protocol: str) -> Sheet:
    """Table III under one protocol; the paper's figures (pop100) below ours where the dataset is one of the paper's."""
    keys = [f"found/{stage}/{protocol}/{metric}" for stage in ("validation", "test") for metric in _METRICS]
    published = OVERALL.get(dataset or "", {}) if protocol == "pop100" else {}
    stars = {key: _star(measured, key) for key in keys}
    rows, figures = [], []
    for each in measured:
        cells = [_cell(each, key, stars[key]) for key in keys]
        rows.append([each.method.label, _most(each.sizes()), f"{each.mean('found/flops') / 1e6:.2f}", *cells])
        figures.append(_figures(each, [*keys, "found/flops", "found/params"]))
        paper = published.get(each.method.paper or "")
        if paper:
            rows.append(["*paper*", "", "", *(f"*{value:.4f}*" for value in paper)])
            figures[-1]["paper"] = dict(zip(keys, paper, strict=True))
    head = ["method", "hidden, inner, layers", "MFLOPs"]
    head += [f"{stage} {_SHOWN[metric]}" for stage in ("valid", "test") for metric in _METRICS]
    notes = [
        "Bold: the best mean. A star: it differs from the second best by a two-sided t-test (Welch) over the seeds, "
        f"p < {_SIGNIFICANT}; with one seed there is no test."
    ]
    return Sheet(f"table3-{protocol}", f"Table III, {protocol}", head, rows, figures, notes + _missing(measured))


def efficiency(
    measured: Sequence[Measured], taken: Mapping[str, Mapping[str, float]], dataset: "str | None", how: str
) -> Sheet:
    """Table IV."""
    published, rows, figures = EFFICIENCY.get(dataset or "", {}), [], []
    for each in measured:
        if each.method.name not in taken:
            continue
        own = taken[each.method.name]
        spread = f"{own['seconds']:.2f} ({own['seconds_low']:.2f} to {own['seconds_high']:.2f})"
        paper = published.get(each.method.paper or "")
        cells = ["-", "-"] if paper is None else [f"{paper[0]:.1f}", f"{paper[1]:.2f}"]
        flops = each.values("found/flops")[0] / 1e6
        rows.append(
            [each.method.label, each.sizes()[0], f"{flops:.2f}", spread, f"{own['memory_bytes'] / 1e6:.0f}", *cells]
        )
        figures.append({"method": each.method.name, "seed": each.seeds[0], **own, "flops": flops * 1e6, "paper": paper})
    head = ["method", "hidden, inner, layers", "MFLOPs", "inference, s", "memory, MB", "paper, s", "paper, GB"]
    return Sheet("table4", "Table IV", head, rows, figures, [how])


def gates(measured: Sequence[Measured], dataset: "str | None") -> Sheet:
    """Table V: validation, pop100, with the FLOPs that gates cost."""
    keys = [f"found/validation/pop100/{metric}" for metric in _METRICS]
    stars = {key: _star(measured, key) for key in keys}
    layers = {"easrec": "2 layers, low rank", "gates-2": "2 layers", "gates-1": "1 layer", "gates-0": "no gates"}
    rows, figures = [], []
    for each in measured:
        cells = [_cell(each, key, stars[key]) for key in keys]
        paper = GATES.get(each.method.paper or "") if dataset == "ml-1m" and each.method.name != "easrec" else None
        cells += ["-"] * 3 if paper is None else [f"{value:.4f}" for value in paper]
        label = layers[each.method.name]
        largest = each.mean("largest/flops") / 1e6
        rows.append([label, _most(each.sizes()), f"{each.mean('found/flops') / 1e6:.2f}", f"{largest:.2f}", *cells])
        figures.append(_figures(each, [*keys, "found/flops", "largest/flops"]) | {"paper": paper})
    head = ["gates", "hidden, inner, layers", "MFLOPs", "largest, MFLOPs"]
    head += [_SHOWN[metric] for metric in _METRICS] + [f"paper, {_SHOWN[metric]}" for metric in _METRICS]
    return Sheet("table5", "Table V (validation, pop100)", head, rows, figures, _missing(measured))


def lambdas(measured: Sequence[Measured]) -> Sheet:
    """The figures behind Fig. 4: lambda, without a budget, against metrics and FLOPs."""
    keys = [f"found/test/{protocol}/ndcg@10" for protocol in ("pop100", "unseen", "full")]
    rows, figures = [], []
    for each in measured:
        weight = each.results[0]["config"]["search"]["penalty_weight"]
        share = each.mean("found/flops") / each.mean("largest/flops")
        cells = [_cell(each, key, None) for key in keys]
        rows.append(
            [f"{weight:g}", _most(each.sizes()), f"{each.mean('found/flops') / 1e6:.2f}", f"{share:.0%}", *cells]
        )
        figures.append(_figures(each, [*keys, "found/flops", "largest/flops"]) | {"lambda": weight})
    head = [
        "lambda",
        "hidden, inner, layers",
        "MFLOPs",
        "of the largest",
        *(f"test {p} NDCG@10" for p in ("pop100", "unseen", "full")),
    ]
    return Sheet("fig4", "Fig. 4", head, rows, figures, _missing(measured))


def differences(measured: Sequence[Measured]) -> Sheet:
    """What the paper leaves open, each answer against the one that EASRec has here."""
    keys = [f"found/test/{protocol}/ndcg@10" for protocol in ("pop100", "unseen", "full")]
    base = next((each for each in measured if each.method.name == "easrec"), None)
    rows, figures = [], []
    for each in measured:
        p = None if base is None or each is base else differs(each, base, keys[1])
        cells = [_cell(each, key, None) for key in keys]
        minutes = each.mean("search/seconds") / 60
        rows.append(
            [
                each.method.label,
                _most(each.sizes()),
                f"{each.mean('found/flops') / 1e6:.2f}",
                *cells,
                "-" if p is None else f"{p:.2f}",
                f"{minutes:.1f}",
            ]
        )
        figures.append(_figures(each, [*keys, "found/flops", "search/seconds"]) | {"p_unseen": p})
    head = [
        "EASRec, but",
        "hidden, inner, layers",
        "MFLOPs",
        *(f"test {p} NDCG@10" for p in ("pop100", "unseen", "full")),
        "p (unseen)",
        "search, min",
    ]
    notes = ["p: two-sided t-test (Welch) of unseen NDCG@10 against the first row, over the seeds."]
    return Sheet("differences", "What the paper leaves open", head, rows, figures, notes + _missing(measured))


def write(sheet: Sheet, folder: Path) -> str:
    """``<name>.csv`` and ``<name>.json``; returns the Markdown."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(sheet.head)
    writer.writerows([cell.replace("\\*", "").replace("*", "") for cell in row] for row in sheet.rows)
    write_text(folder / f"{sheet.name}.csv", text.getvalue())
    content = {"title": sheet.title, "notes": list(sheet.notes), "rows": list(sheet.figures)}
    write_text(folder / f"{sheet.name}.json", json.dumps(content, indent=2) + "\n")
    parts = [f"## {sheet.title}", table(sheet.head, sheet.rows), *sheet.notes]
    return "\n\n".join(parts) + "\n"


def _star(measured: Sequence[Measured], key: str) -> "tuple[Measured, bool] | None":
    """The best method by a figure, and whether the second best differs from it."""
    best = best_of(measured, key)
    second = best_of([each for each in measured if each is not best], key)
    if best is None or second is None:
        return None
    p = differs(best, second, key)
    return best, p is not None and p < _SIGNIFICANT


def _cell(each: Measured, key: str, star: "tuple[Measured, bool] | None") -> str:
    deviation = each.deviation(key)
    text = f"{each.mean(key):.4f}" + ("" if deviation is None else f" ± {deviation:.4f}")
    if star is None or star[0] is not each:
        return text
    return f"**{text}**" + ("\\*" if star[1] else "")


def _figures(each: Measured, keys: Sequence[str]) -> dict[str, Any]:
    values = {
        key: {"mean": each.mean(key), "deviation": each.deviation(key), "values": each.values(key)} for key in keys
    }
    return {
        "method": each.method.name,
        "label": each.method.label,
        "seeds": list(each.seeds),
        "missing": list(each.missing),
        "sizes": each.sizes(),
        **values,
    }


def _most(sizes: Sequence[str]) -> str:
    """The architecture of most seeds, with how many where they differ."""
    counts = {size: sizes.count(size) for size in sizes}
    most = max(counts, key=lambda size: counts[size])
    return most if len(counts) == 1 else f"{most} ({counts[most]} of {len(sizes)})"


def _missing(measured: Sequence[Measured]) -> list[str]:
    return [
        f"{each.method.label}: seeds {', '.join(map(str, each.missing))} are missing."
        for each in measured
        if each.missing
    ]
