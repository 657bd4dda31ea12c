"""The figures of a run: flat keys such as ``found/test/pop100/ndcg@10``, and the tables made from them."""

from typing import Any

from rich.table import Table

__all__ = ["NETWORKS", "comparison", "flat_metrics", "summary_table"]

NETWORKS = {"largest": "largest", "found": "found by search", "random": "random search"}


def flat_metrics(network: str, stage: str, report: dict[str, dict[str, float]]) -> dict[str, float]:
    """``{"found/test/pop100/ndcg@10": ...}``."""
    return {f"{network}/{stage}/{p}/{m}": value for p, values in report.items() for m, value in values.items()}


def comparison(result: dict[str, Any]) -> tuple[list[str], list[list[list[str]]]]:
    """Largest, found and random-search network side by side: the head, and sections of rows of cells."""
    names = [name for name in NETWORKS if f"{name}/latency_ms" in result]
    best = any(key.startswith("best/") for key in result)

    def row(label: str, key: str, shape: str) -> list[str]:
        cells = [format(result[f"{n}/{key}"], shape) if f"{n}/{key}" in result else "-" for n in names]
        reachable = result.get(f"best/{key}")
        return [label, *cells, *(["" if reachable is None else format(reachable, shape)] if best else [])]

    end = [""] if best else []
    largest = result["largest/flops"]
    k = 10 if 10 in result["config"]["ks"] else max(result["config"]["ks"])
    sizes = [
        [_sizes_head(result), *(_sizes(result[f"{name}/architecture"]) for name in names), *end],
        [
            "encoder MFLOPs",
            *(f"{result[f'{n}/flops'] / 1e6:.2f} ({result[f'{n}/flops'] / largest:.0%})" for n in names),
            *end,
        ],
        row("parameters", "params", ","),
        row("latency, ms", "latency_ms", ".2f"),
    ]
    metrics = [
        [
            row(f"{stage} {protocol} {metric}@{k}", f"{stage}/{protocol}/{metric}@{k}", ".4f")
            for protocol in ("full", "unseen", "pop100")
            for metric in ("recall", "mrr", "ndcg")
        ]
        for stage in ("validation", "test")
    ]
    return ["", *(NETWORKS[name] for name in names), *(["best reachable"] if best else [])], [sizes, *metrics]


def summary_table(result: dict[str, Any], title: str = "EASRec") -> Table:
    """The comparison for the terminal."""
    head, sections = comparison(result)
    table = Table(title=title)
    for position, name in enumerate(head):
        table.add_column(name, justify="right" if position else "left")
    for section in sections:
        for cells in section:
            table.add_row(*cells)
        table.add_section()
    return table


def _sizes_head(result: dict[str, Any]) -> str:
    choice = result["config"]["model"].get("attention_choices") is not None
    return "hidden, inner, layers, attention" if choice else "hidden, inner, layers"


def _sizes(architecture: dict[str, Any]) -> str:
    shown = [name for name in ("hidden", "inner", "depth", "attention") if name in architecture]
    return ", ".join(str(architecture[name]) for name in shown)
