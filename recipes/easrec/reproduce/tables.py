"""Tables of the matrix of runs as plain rows, and a writer of Markdown, CSV and JSON."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easrec.reproduce.baselines import NOTE, baseline_rows
from easrec.reproduce.collect import Measured, best_of, differs, summary, welch
from easrec.reproduce.figure import FLOPS, LARGEST_FLOPS, PARAMS, SEARCH_SECONDS, Figure, metric
from easrec.reproduce.published import ANCHORS, EFFICIENCY, GATES, OVERALL
from easrec.result import Stage
from elasticnas.files import write_text
from elasticnas.report import table

__all__ = ["Sheet", "differences", "efficiency", "gates", "lambdas", "network_of", "overall", "write"]

_METRICS = ("recall@10", "mrr@10", "ndcg@10")
_SHOWN = {"recall@10": "Recall@10", "mrr@10": "MRR@10", "ndcg@10": "NDCG@10"}
_STAGES: tuple[Stage, ...] = ("validation", "test")
_SIGNIFICANT = 0.05
_MEASURES = ("mean", "deviation", "against", "p_against", "compared_with", "p")
_COLUMNS = ("method", "sizes", "figure", "source", "seeds", *_MEASURES)


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        name: Name of its files.
        title: Shown above the table.
        head: Column names.
        rows: Cells as text, for Markdown.
        figures: The same rows as plain data, for CSV and JSON.
        notes: Text below the table.
    """

    name: str
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    figures: Sequence[Mapping[str, Any]]
    notes: Sequence[str] = ()


def overall(measured: Sequence[Measured], dataset: "str | None", protocol: str) -> Sheet:
    """Return Table III under one protocol, with published rows if the dataset is one of the paper's."""
    keys = [metric(stage, protocol, name) for stage in _STAGES for name in _METRICS]
    published = OVERALL.get(dataset or "", {}) if protocol == "pop100" else {}
    stars = {key: _star(measured, key) for key in keys}
    base = _named(measured, "easrec")
    rows, figures = [], []
    for each in measured:
        figures.append(_figures(each, [*keys, FLOPS, PARAMS], stars, base, keys[-1:]))
        cells = [*(_cell(each, key, stars[key]) for key in keys), _p(figures[-1][keys[-1].name].get("p_against"))]
        rows.append([each.method.label, _most(each.sizes()), f"{each.mean(FLOPS) / 1e6:.2f}", *cells])
        paper = published.get(each.method.paper or "")
        if paper:
            rows.append(["*paper*", "", "", *(f"*{value:.4f}*" for value in paper), ""])
            figures[-1]["paper"] = dict(zip((key.name for key in keys), paper, strict=True))
    head = ["method", "hidden, inner, layers", "MFLOPs"]
    head += [f"{stage} {_SHOWN[name]}" for stage in ("valid", "test") for name in _METRICS] + ["p against EASRec"]
    untrained = _add_baselines(measured, keys, 3, head, rows, figures)
    anchors = ANCHORS.get(dataset or "", {}) if protocol == "unseen" else {}
    for name, (recall, ndcg) in anchors.items():
        rows.append([f"*{name}, published*", "", "", "", "", "", f"*{recall:.4f}*", "", f"*{ndcg:.4f}*", ""])
    notes = [
        "Bold: the best mean. Star: it differs from the best baseline (if it is a variant of EASRec) or from the best "
        f"variant of EASRec (if it is a baseline) by a two-sided t-test (Welch) over the seeds, p < {_SIGNIFICANT}. "
        "The last column tests NDCG@10 on test against the row EASRec. With one seed there is no test. The tests are "
        "not corrected for their number.",
        "No method is tuned: all have the same settings. EASRec's gates have a low rank here (`model.gate_rank`); "
        "Table V has them at full width. FDSA sums an item's features, while its paper weighs them by attention. "
        "RecNAS follows its abstract, because its paper is not public. DARTS, RecNAS and ProxylessNAS search widths by "
        "soft masks. SPOS and random search evaluate up to 12 architectures; if the budget leaves no more than that, "
        "both find the best of all.",
    ]
    notes += untrained
    if published:
        notes.append("The paper's networks have other sizes and training than these runs may have.")
    if anchors:
        notes.append("Published: HSTU's public experiments (arXiv:2402.17152), trained far longer, at other sizes.")
    notes += _warned(measured) if protocol == "pop100" else []
    return Sheet(f"table3-{protocol}", f"Table III, {protocol}", head, rows, figures, notes + _missing(measured))


def efficiency(
    measured: Sequence[Measured],
    taken: Mapping[str, Mapping[str, Sequence[float]]],
    broken: Mapping[str, str],
    dataset: "str | None",
    how: str,
) -> Sheet:
    """Return Table IV, with a row for every architecture that a seed of a method found.

    Args:
        measured: The methods.
        taken: Measurements of each network, by the name from :func:`network_of`.
        broken: Networks that could not be loaded, with the reason.
        dataset: Name of the dataset if it is one of the paper's.
        how: How it was measured, for the notes.
    """
    published, rows, figures = EFFICIENCY.get(dataset or "", {}), [], []
    easrec = _named(measured, "easrec")
    base = None if easrec is None else taken.get(network_of(easrec, max(easrec.sizes(), key=easrec.sizes().count)))
    for each in measured:
        for size in dict.fromkeys(each.sizes()):
            own = taken.get(network_of(each, size))
            if own is None:
                continue
            places = [place for place, found in enumerate(each.sizes()) if found == size]
            flops = each.values(FLOPS)[places[0]]  # the same for all of them
            figure: dict[str, Any] = {"method": each.method.name, "label": each.method.label, "sizes": size}
            figure |= {"seeds": [each.seeds[place] for place in places], FLOPS.name: summary([flops])}
            figure |= {key: summary(values) for key, values in own.items()}
            p = None if base is None or own is base else welch(own["seconds"], base["seconds"])
            if p is not None:
                figure["seconds"] |= {"against": "EASRec", "p_against": p}
            paper = published.get(each.method.paper or "")
            if paper is not None:
                figure["paper"] = {"seconds": paper[0], "gigabytes in all": paper[1]}
            rows.append(
                [
                    each.method.label,
                    size if len(places) == len(each.seeds) else f"{size} ({len(places)} of {len(each.seeds)})",
                    f"{flops / 1e6:.2f}",
                    _spread(figure["seconds"], 1.0, 3),
                    _p(p),
                    _spread(figure["memory_bytes"], 1e6, 1),
                    f"{figure['weights_bytes']['mean'] / 1e6:.1f}",
                    *(["-", "-"] if paper is None else [f"{paper[0]:.1f}", f"{paper[1]:.2f}"]),
                ]
            )
            figures.append(figure)
    head = ["method", "hidden, inner, layers", "MFLOPs", "inference, s", "p against EASRec", "memory, MB"]
    head += ["weights, MB", "paper, s", "paper, GB in all"]
    notes = [how, *(f"{name}: its network cannot be read ({reason})" for name, reason in broken.items())]
    return Sheet("table4", "Table IV", head, rows, figures, notes + _missing(measured))


def network_of(method: Measured, size: str) -> str:
    """Return the name of a network with these sizes that a method found."""
    return f"{method.method.name} {size}"


def gates(measured: Sequence[Measured], dataset: "str | None") -> Sheet:
    """Return Table V: validation metrics under pop100, and the FLOPs of the gates."""
    keys = [metric("validation", "pop100", name) for name in _METRICS]
    stars = {key: _star(measured, key) for key in keys}
    layers = {"easrec": "2 layers, low rank", "gates-2": "2 layers", "gates-1": "1 layer", "gates-0": "no gates"}
    base = _named(measured, "gates-2")
    rows, figures = [], []
    for each in measured:
        figures.append(_figures(each, [*keys, FLOPS, LARGEST_FLOPS], stars, base, keys[-1:]))
        cells = [*(_cell(each, key, stars[key]) for key in keys), _p(figures[-1][keys[-1].name].get("p_against"))]
        paper = GATES.get(each.method.paper or "") if dataset == "ml-1m" and each.method.name != "easrec" else None
        cells += ["-"] * 3 if paper is None else [f"{value:.4f}" for value in paper]
        label = layers[each.method.name]
        largest = each.mean(LARGEST_FLOPS) / 1e6
        rows.append([label, _most(each.sizes()), f"{each.mean(FLOPS) / 1e6:.2f}", f"{largest:.2f}", *cells])
        if paper is not None:
            figures[-1]["paper"] = dict(zip((key.name for key in keys), paper, strict=True))
    head = ["gates", "hidden, inner, layers", "MFLOPs", "largest, MFLOPs", *(_SHOWN[name] for name in _METRICS)]
    head += ["p against 2 layers", *(f"paper, {_SHOWN[name]}" for name in _METRICS)]
    notes = [
        "Bold and star as in Table III, here against the second best row; p tests NDCG@10 against gates of 2 layers of "
        "full width. Each row is a separate search, so its network may have other sizes. The budget is half of the "
        "FLOPs of each row's largest network, so rows with more expensive gates have a larger budget: see MFLOPs."
    ]
    notes += _add_baselines(measured, keys, 4, head, rows, figures) + _warned(measured) + _missing(measured)
    return Sheet("table5", "Table V (validation, pop100)", head, rows, figures, notes)


def lambdas(measured: Sequence[Measured]) -> Sheet:
    """Return the figures of Fig. 4: metrics and FLOPs over lambda, without a budget."""
    keys = [metric("test", protocol, name) for protocol in ("pop100", "unseen") for name in _METRICS]
    rows, figures = [], []
    for each in measured:
        weight = each.results[0].config.search.penalty_weight
        share = each.mean(FLOPS) / each.mean(LARGEST_FLOPS)
        cells = [_cell(each, key, None) for key in keys]
        rows.append([f"{weight:g}", _most(each.sizes()), f"{each.mean(FLOPS) / 1e6:.2f}", f"{share:.0%}", *cells])
        figures.append(_figures(each, [*keys, FLOPS, LARGEST_FLOPS]) | {"lambda": weight})
    head = ["lambda", "hidden, inner, layers", "MFLOPs", "of the largest"]
    head += [f"test {protocol} {_SHOWN[name]}" for protocol in ("pop100", "unseen") for name in _METRICS]
    notes = ["Lambda weighs expected FLOPs divided by those of the largest network."]
    notes += _add_baselines(measured, keys, 4, head, rows, figures)
    return Sheet("fig4", "Fig. 4", head, rows, figures, notes + _warned(measured) + _missing(measured))


def differences(measured: Sequence[Measured]) -> Sheet:
    """Return the table of choices that the paper leaves open, each compared with the choice of EASRec here."""
    keys = [metric("test", protocol, "ndcg@10") for protocol in ("pop100", "unseen", "full")]
    rows, figures = [], []
    for each in measured:
        base = _named(measured, each.method.against)
        figures.append(_figures(each, [*keys, FLOPS, SEARCH_SECONDS], None, base, keys))
        ps = [_p(figures[-1][key.name].get("p_against")) for key in keys[:2]]
        rows.append(
            [
                each.method.label,
                _most(each.sizes()),
                f"{each.mean(FLOPS) / 1e6:.2f}",
                *(_cell(each, key, None) for key in keys),
                "-" if base is None or base is each else base.method.label,
                *ps,
                f"{each.mean(SEARCH_SECONDS) / 60:.1f}",
            ]
        )
    head = ["EASRec, but", "hidden, inner, layers", "MFLOPs"]
    head += [*(f"test {p} NDCG@10" for p in ("pop100", "unseen", "full")), "compared with", "p (pop100)", "p (unseen)"]
    head.append("search, min")
    notes = ["p: two-sided t-test (Welch) of NDCG@10 against the row named, over the seeds."]
    notes += _add_baselines(measured, keys, 3, head, rows, figures)
    notes += _units(measured) + _warned(measured) + _missing(measured)
    return Sheet("differences", "What the paper leaves open", head, rows, figures, notes)


def _add_baselines(
    measured: Sequence[Measured],
    keys: Sequence[Figure],
    before: int,
    head: Sequence[str],
    rows: list[list[str]],
    figures: list[dict[str, Any]],
) -> list[str]:
    """Append popularity and last item to a table, whose metrics begin after some columns; return a note."""
    found = baseline_rows(measured, keys)
    for label, cells, figure in found:
        row = [label, *[""] * (before - 1), *cells]
        rows.append(row + [""] * (len(head) - len(row)))
        figures.append(figure)
    return [NOTE] if found else []


def _units(measured: Sequence[Measured]) -> list[str]:
    """Return the note that converts lambda between the units of expected FLOPs."""
    literal = _named(measured, "lambda-flops")
    if literal is None:
        return []
    result = literal.results[0]
    largest, weight = result.networks["largest"].flops, result.config.search.penalty_weight
    return [
        f"Lambda weighs expected FLOPs divided by a unit: the largest network's ({largest / 1e6:.2f} M), their range, "
        f"or one FLOP. A lambda of {weight:g} for one FLOP equals {weight * largest:.1e} for the largest network's "
        "FLOPs; a lambda for their range is multiplied by largest / (largest - smallest)."
    ]


def write(sheet: Sheet, folder: Path) -> str:
    """Write ``<name>.csv``, with a line for every figure, and ``<name>.json``; return the table as Markdown."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for row in sheet.figures:
        about = {
            "method": row["label"],
            "sizes": row["sizes"] if isinstance(row["sizes"], str) else _most(row["sizes"]),
        }
        for key, value in row.items():
            if isinstance(value, dict) and "mean" in value:
                line = {name: value[name] for name in _MEASURES if value.get(name) is not None}
                writer.writerow(about | {"figure": key, "source": "measured", "seeds": len(row["seeds"])} | line)
        for key, value in row.get("paper", {}).items():
            writer.writerow(about | {"figure": key, "source": "paper", "mean": value})
    write_text(folder / f"{sheet.name}.csv", text.getvalue())
    content = {"title": sheet.title, "notes": list(sheet.notes), "rows": list(sheet.figures)}
    write_text(folder / f"{sheet.name}.json", json.dumps(content, indent=2) + "\n")
    parts = [f"## {sheet.title}", table(sheet.head, sheet.rows), *sheet.notes]
    return "\n\n".join(parts) + "\n"


@dataclass(frozen=True)
class _Star:
    """The best method by a figure, and the p-value of its difference from a rival."""

    best: Measured
    rival: Measured
    p: "float | None"


def _star(measured: Sequence[Measured], key: Figure) -> "_Star | None":
    """Compare the best method with the best of the other kind (baseline or EASRec), or else with the second best."""
    best = best_of(measured, key)
    others = [each for each in measured if each is not best]
    if best is None or not others:
        return None
    across = [each for each in others if each.method.is_easrec is not best.method.is_easrec]
    rival = best_of(across or others, key)
    assert rival is not None
    return _Star(best, rival, differs(best, rival, key))


def _cell(each: Measured, key: Figure, star: "_Star | None") -> str:
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


def _figures(
    each: Measured,
    keys: Sequence[Figure],
    stars: "Mapping[Figure, _Star | None] | None" = None,
    base: "Measured | None" = None,
    tested: Sequence[Figure] = (),
) -> dict[str, Any]:
    """Return a row as plain data; figures in ``tested`` are compared with those of ``base``."""
    values: dict[str, Any] = {key.name: summary(each.values(key)) for key in keys}
    for key, star in (stars or {}).items():
        if star is not None and star.best is each:
            values[key.name] |= {"p": star.p, "compared_with": star.rival.method.label}
    if base is not None and base is not each:
        for key in tested:
            values[key.name] |= {"p_against": differs(each, base, key), "against": base.method.label}
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
    """Return the architecture that more than half of the seeds found, or else all of them, with counts."""
    counts = {size: sizes.count(size) for size in sizes}
    most = max(counts, key=lambda size: counts[size])
    if len(counts) == 1:
        return most
    if 2 * counts[most] > len(sizes):
        return f"{most} ({counts[most]} of {len(sizes)})"
    return "; ".join(f"{size} ({count})" for size, count in counts.items())


def _named(measured: Sequence[Measured], name: str) -> "Measured | None":
    return next((each for each in measured if each.method.name == name), None)


def _warned(measured: Sequence[Measured]) -> list[str]:
    return [line for each in measured for line in each.warnings()]


def _missing(measured: Sequence[Measured]) -> list[str]:
    return [
        f"{each.method.label}: seeds {', '.join(map(str, each.missing))} are missing."
        for each in measured
        if each.missing
    ]
