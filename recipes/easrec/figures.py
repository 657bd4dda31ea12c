"""The networks of a run side by side, for the terminal and for pages."""

from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from easrec.result import Metrics, NetworkName, RunResult, Stage

__all__ = ["NETWORKS", "comparison", "summary_table"]

NETWORKS: "dict[NetworkName, str]" = {"largest": "largest", "found": "found by search", "random": "random search"}


def comparison(result: "RunResult[Any]") -> tuple[list[str], list[list[list[str]]]]:
    """Largest, found and random-search network side by side: the head, and sections of rows of cells."""
    names = [name for name in NETWORKS if name in result.networks]
    networks, best = [result.networks[name] for name in names], result.best_reachable
    end = [] if best is None else [""]
    largest = result.networks["largest"].flops
    sizes = "hidden, inner, layers" + (", attention" if result.config.model.attention_choices else "")
    costs = [
        [sizes, *(network.sizes for network in networks), *end],
        ["encoder MFLOPs", *(f"{each.flops / 1e6:.2f} ({each.flops / largest:.0%})" for each in networks), *end],
        ["parameters", *(f"{network.params:,}" for network in networks), *end],
        ["latency, ms", *(f"{network.latency_ms:.2f}" for network in networks), *end],
    ]
    k = 10 if 10 in result.config.cutoffs else max(result.config.cutoffs)
    stages: tuple[Stage, ...] = ("validation", "test")
    metrics = [
        [
            [
                f"{stage} {protocol} {name}",
                *(_shown(network.metrics, stage, protocol, name, "-") for network in networks),
                *([] if best is None else [_shown(best, stage, protocol, name, "")]),
            ]
            for protocol in ("full", "unseen", "pop100")
            for name in (f"recall@{k}", f"mrr@{k}", f"ndcg@{k}")
        ]
        for stage in stages
    ]
    head = ["", *(NETWORKS[name] for name in names), *([] if best is None else ["best reachable"])]
    return head, [costs, *metrics]


def summary_table(result: "RunResult[Any]", title: str) -> Table:
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


def _shown(metrics: "Metrics", stage: "Stage", protocol: str, name: str, missing: str) -> str:
    value = metrics.get(stage, {}).get(protocol, {}).get(name)
    return missing if value is None else f"{value:.4f}"
