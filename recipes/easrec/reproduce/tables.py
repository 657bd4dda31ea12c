"""Tables of a matrix, each as plain rows: made into Markdown, CSV and JSON by one writer."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easrec.reproduce.collect import Measured, best_of, differs, summary
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
    base = next((each for each in measured if each.method.name == "easrec"), None)
    rows, figures = [], []
    for each in measured:
        p = None if base is None or each is base else differs(each, base, keys[-1])
        cells = [*(_cell(each, key, stars[key]) for key in keys), _p(p)]
        rows.append([each.method.label, _most(each.sizes()), f"{each.mean('found/flops') / 1e6:.2f}", *cells])
        figures.append(_figures(each, [*keys, "found/flops", "found/params"], stars) | {"p_easrec": p})
        paper = published.get(each.method.paper or "")
        if paper:
            rows.append(["*paper*", "", "", *(f"*{value:.4f}*" for value in paper), ""])
            figures[-1]["paper"] = dict(zip(keys, paper, strict=True))
    head = ["method", "hidden, inner, layers", "MFLOPs"]
    head += [f"{stage} {_SHOWN[metric]}" for stage in ("valid", "test") for metric in _METRICS] + ["p against EASRec"]
    notes = [
        "Bold: the best mean. A star: if that is a form of EASRec, it differs from the best baseline, and if it is a "
        f"baseline, from the best form of EASRec, by a two-sided t-test (Welch) over the seeds, p < {_SIGNIFICANT}. "
        "The last column tests NDCG@10 on test against the first row. With one seed there is no test; none is "
        "corrected for how many there are.",
        "EASRec's gates have a low rank here (`model.gate_rank`); Table V has them at full width. RecNAS follows its "
        "abstract, as its paper is not public. SPOS and random search evaluate as many architectures as the space has.",
    ]
    notes += [line for each in measured for line in each.warnings()] if protocol == "pop100" else []
    return Sheet(f"table3-{protocol}", f"Table III, {protocol}", head, rows, figures, notes + _missing(measured))


def efficiency(
    measured: Sequence[Measured], taken: Mapping[str, Sequence[Mapping[str, float]]], dataset: "str | None", how: str
) -> Sheet:
    """Table IV, from what was taken of every seed's network."""
    published, rows, figures = EFFICIENCY.get(dataset or "", {}), [], []
    for each in measured:
        if each.method.name not in taken:
            continue
        own = taken[each.method.name]
        figure: dict[str, Any] = {"method": each.method.name, "label": each.method.label, "seeds": list(each.seeds)}
        for key in ("seconds", "memory_bytes", "weights_bytes"):
            figure[key] = summary([network[key] for network in own])
        paper = published.get(each.method.paper or "")
        seconds, memory, weights = (figure[key] for key in ("seconds", "memory_bytes", "weights_bytes"))
        rows.append(
            [
                each.method.label,
                _most(each.sizes()),
                f"{each.mean('found/flops') / 1e6:.2f}",
                _spread(seconds, 1.0, 2),
                _spread(memory, 1e6, 0),
                f"{weights['mean'] / 1e6:.1f}",
                *(["-", "-"] if paper is None else [f"{paper[0]:.1f}", f"{paper[1]:.2f}"]),
            ]
        )
        figures.append(figure | {"found/flops": summary(each.values("found/flops")), "paper": paper})
    head = ["method", "hidden, inner, layers", "MFLOPs", "inference, s", "memory, MB", "weights, MB"]
    head += ["paper, s", "paper, GB in all"]
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
        figures.append(_figures(each, [*keys, "found/flops", "largest/flops"], stars))
        if paper is not None:
            figures[-1]["paper"] = dict(zip(keys, paper, strict=True))
    head = ["gates", "hidden, inner, layers", "MFLOPs", "largest, MFLOPs"]
    head += [_SHOWN[metric] for metric in _METRICS] + [f"paper, {_SHOWN[metric]}" for metric in _METRICS]
    notes = [
        "Bold and star as in Table III, here against the second best row. The budget is half of each row's own largest "
        "network, so that rows with dearer gates may spend more: see MFLOPs."
    ]
    return Sheet("table5", "Table V (validation, pop100)", head, rows, figures, notes + _missing(measured))


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
                _p(p),
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
    """``<name>.csv``, a line for every figure, and ``<name>.json``; returns the Markdown."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", "figure", "source", "mean", "deviation", "seeds", "p", "compared with"])
    for row in sheet.figures:
        for key, value in row.items():
            if isinstance(value, dict) and "mean" in value:
                tested = [value.get("p"), value.get("compared_with")]
                line = [value["mean"], value["deviation"], len(value["values"]), *tested]
                writer.writerow([row["label"], key, "measured", *("" if cell is None else cell for cell in line)])
        for key, value in (row.get("paper") or {}).items():
            writer.writerow([row["label"], key, "paper", value, "", "", "", ""])
    write_text(folder / f"{sheet.name}.csv", text.getvalue())
    content = {"title": sheet.title, "notes": list(sheet.notes), "rows": list(sheet.figures)}
    write_text(folder / f"{sheet.name}.json", json.dumps(content, indent=2) + "\n")
    parts = [f"## {sheet.title}", table(sheet.head, sheet.rows), *sheet.notes]
    return "\n\n".join(parts) + "\n"


@dataclass(frozen=True)
class _Star:
    """The best method by a figure, and the test of whether its rival differs."""

    best: Measured
    rival: Measured
    p: "float | None"


def _star(measured: Sequence[Measured], key: str) -> "_Star | None":
    """The rival is the best of the baselines, or of EASRec's forms, whichever the best is not; else the second best."""
    best = best_of(measured, key)
    others = [each for each in measured if each is not best]
    if best is None or not others:
        return None
    across = [each for each in others if each.method.is_easrec is not best.method.is_easrec]
    rival = best_of(across or others, key)
    assert rival is not None
    return _Star(best, rival, differs(best, rival, key))


def _cell(each: Measured, key: str, star: "_Star | None") -> str:
    deviation = each.deviation(key)
    text = f"{each.mean(key):.4f}" + ("" if deviation is None else f" ± {deviation:.4f}")
    if star is None or star.best is not each:
        return text
    return f"**{text}**" + ("\\*" if star.p is not None and star.p < _SIGNIFICANT else "")


def _p(p: "float | None") -> str:
    return "-" if p is None else f"{p:.3f}"


def _spread(figure: Mapping[str, Any], unit: float, digits: int) -> str:
    deviation = figure["deviation"]
    mean = f"{figure['mean'] / unit:.{digits}f}"
    return mean if deviation is None else f"{mean} ± {deviation / unit:.{digits}f}"


def _figures(each: Measured, keys: Sequence[str], stars: "Mapping[str, _Star | None] | None" = None) -> dict[str, Any]:
    values: dict[str, Any] = {key: summary(each.values(key)) for key in keys}
    for key, star in (stars or {}).items():
        if star is not None and star.best is each:
            values[key] |= {"p": star.p, "compared_with": star.rival.method.label}
    return {
        "method": each.method.name,
        "label": each.method.label,
        "seeds": list(each.seeds),
        "missing": list(each.missing),
        "sizes": each.sizes(),
        "warnings": each.warnings(),
        **values,
    }


def _most(sizes: Sequence[str]) -> str:
    """The architecture of more than half of the seeds, with how many; all of them where there is none."""
    counts = {size: sizes.count(size) for size in sizes}
    most = max(counts, key=lambda size: counts[size])
    if len(counts) == 1:
        return most
    if 2 * counts[most] > len(sizes):
        return f"{most} ({counts[most]} of {len(sizes)})"
    return "; ".join(f"{size} ({count})" for size, count in counts.items())


def _missing(measured: Sequence[Measured]) -> list[str]:
    return [
        f"{each.method.label}: seeds {', '.join(map(str, each.missing))} are missing."
        for each in measured
        if each.missing
    ]
