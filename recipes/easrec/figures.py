"""The figures of a run: flat keys such as ``found/test/pop100/ndcg@10``, and the table made from them."""

from typing import Any

from rich.table import Table

__all__ = ["NETWORKS", "flat_metrics", "summary_table"]

NETWORKS = ("largest", "found", "random")


def flat_metrics(network: str, stage: str, report: dict[str, dict[str, float]]) -> dict[str, float]:
    """``{"found/test/pop100/ndcg@10": ...}``."""
    return {f"{network}/{stage}/{p}/{m}": value for p, values in report.items() for m, value in values.items()}


def summary_table(result: dict[str, Any], title: str = "EASRec") -> Table:
    """Largest, found and random-search network side by side."""
    table = Table(title=title)
    table.add_column("")
    names = [name for name in NETWORKS if f"{name}/flops" in result]
    labels = {"largest": "largest", "found": "found by search", "random": "random search"}
    best = any(key.startswith("best/") for key in result)
    for name in names:
        table.add_column(labels[name], justify="right")
    if best:
        table.add_column("best reachable", justify="right")

    def row(label: str, key: str, shape: str) -> None:
        cells = [format(result[f"{n}/{key}"], shape) if f"{n}/{key}" in result else "-" for n in names]
        reachable = result.get(f"best/{key}")
        table.add_row(label, *cells, *(["" if reachable is None else format(reachable, shape)] if best else []))

    table.add_row("hidden, inner, layers", *(_sizes(result[f"{name}/architecture"]) for name in names))
    largest = result["largest/flops"]
    table.add_row(
        "encoder MFLOPs", *(f"{result[f'{n}/flops'] / 1e6:.2f} ({result[f'{n}/flops'] / largest:.0%})" for n in names)
    )
    row("parameters", "params", ",")
    row("latency, ms", "latency_ms", ".2f")
    table.add_section()
    k = 10 if any(key.endswith("ndcg@10") for key in result) else max(result["config"]["ks"])
    for stage in ("validation", "test"):
        for protocol in ("full", "unseen", "pop100"):
            for metric in ("recall", "mrr", "ndcg"):
                row(f"{stage} {protocol} {metric}@{k}", f"{stage}/{protocol}/{metric}@{k}", ".4f")
        table.add_section()
    return table


def _sizes(architecture: dict[str, Any]) -> str:
    return f"{architecture['hidden']}, {architecture['inner']}, {architecture['depth']}"
