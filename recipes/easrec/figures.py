"""Tables of the networks of a run, for the terminal and for pages."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table

from easrec.evaluation import METRICS, PROTOCOLS
from easrec.sizes import is_wide, sizes_head
from elasticnas.report import figures_table

if TYPE_CHECKING:
    from easrec.config import Config
    from easrec.result import Metrics, Network, NetworkName, RunResult, Stage

__all__ = [
    "NETWORKS",
    "PLOTTED",
    "comparison",
    "metrics_table",
    "still_improving",
    "summary_table",
]

NETWORKS: "dict[NetworkName, str]" = {"largest": "largest", "found": "found by search", "random": "random search"}
PLOTTED: "tuple[NetworkName, ...]" = ("found", "random", "largest")
"""Order of the networks in plots, so that each has the same colour as its search."""


def comparison(result: "RunResult[Any]") -> tuple[list[str], list[list[list[str]]]]:
    """Return the table of the networks side by side: the head, and sections of rows of cells."""
    names = [name for name in NETWORKS if name in result.networks]
    networks, best = [result.networks[name] for name in names], result.best_reachable
    baselines = list(result.baselines.values())
    end = [""] * (len(baselines) + (best is not None))
    largest = result.networks["largest"].flops
    costs = [
        [sizes_head(result.config.model), *(network.sizes for network in networks), *end],
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
                *(_shown(each, stage, protocol, name, "-") for each in baselines),
                *([] if best is None else [_shown(best, stage, protocol, name, "")]),
            ]
            for protocol in result.protocols
            for name in (f"recall@{k}", f"mrr@{k}", f"ndcg@{k}")
        ]
        for stage in stages
    ]
    head = ["", *(NETWORKS[name] for name in names), *result.baselines, *([] if best is None else ["best reachable"])]
    return head, [costs, *metrics]


def summary_table(result: "RunResult[Any]", title: str = "", every: bool = False) -> Table:
    """Return a table of sizes, costs and metrics for the terminal, with one column per network.

    Args:
        result: Result of a run.
        title: Shown above the table.
        every: Whether to show validation and test under all protocols; otherwise test under the protocol of the
            early-stopping metric.
    """
    names = [name for name in NETWORKS if name in result.networks]
    networks, best = [result.networks[name] for name in names], result.best_reachable
    heads = [NETWORKS[name].replace("by search", "by\nsearch").replace("m s", "m\ns") for name in names]
    heads += [name.replace(" ", "\n") for name in result.baselines]
    table = figures_table(["", *heads, *([] if best is None else ["best\nreachable"])], title)
    for label, cells in _costs(networks).items():
        table.add_row(label, *cells)
    own, _, metric = result.config.early_stopping_metric.partition("/")
    stages: tuple[Stage, ...] = ("validation", "test") if every else ("test",)
    for stage in stages:
        for protocol in result.protocols if every else (own,):
            table.add_section()
            table.add_row(f"{stage}, {protocol}")
            for name in (f"{each}@{metric.partition('@')[2]}" for each in METRICS):
                measured = [*(network.metrics for network in networks), *result.baselines.values()]
                cells = [_shown(metrics, stage, protocol, name, "-") for metrics in measured]
                table.add_row(name, *cells, *([] if best is None else [_shown(best, stage, protocol, name, "")]))
    return table


def metrics_table(
    reports: "Mapping[Stage, Mapping[str, Mapping[str, float]]]",
    config: "Config",
    every: bool,
    baselines: "Mapping[str, Metrics] | None" = None,
) -> Table:
    """Return a table of the metrics of one network at every cut-off, with one column per protocol.

    Args:
        reports: Metrics by stage, protocol and name.
        config: Settings of the run.
        every: Whether to show all protocols; otherwise that of the early-stopping metric.
        baselines: Metrics of the baselines by name, shown at the cut-off of the early-stopping metric.
    """
    own, _, metric = config.early_stopping_metric.partition("/")
    reported = [name for name in PROTOCOLS if all(name in report for report in reports.values())]
    protocols = reported if every else [own]
    table = figures_table(["", *protocols])
    for stage, report in reports.items():
        for name in (f"{metric}@{k}" for k in config.cutoffs for metric in METRICS):
            table.add_row(f"{stage} {name}", *(f"{report[protocol][name]:.4f}" for protocol in protocols))
        table.add_section()
        for label, found in (baselines or {}).items():
            for name in (f"{each}@{metric.partition('@')[2]}" for each in METRICS):
                cells = [_shown(found, stage, protocol, name, "-") for protocol in protocols]
                table.add_row(f"{stage} {name}, {label}", *cells)
        if baselines:
            table.add_section()
    return table


def still_improving(result: "RunResult[Any]") -> str:
    """Return a line that names the networks whose last epoch was the best; empty if there are none."""
    names = [
        label
        for name, label in NETWORKS.items()
        if (network := result.networks.get(name)) and network.training and network.training.still_improving
    ]
    if not names:
        return ""
    return f"still improving in the last epoch: {', '.join(names)}; raise train.epochs for better figures"


def _costs(networks: "list[Network[Any]]") -> dict[str, list[str]]:
    """Return the cells of each row by its label; ``networks[0]`` must be the largest."""
    rows = {
        "hidden": [str(each.hidden) for each in networks],
        "inner": [str(each.inner) for each in networks],
        "layers": [str(each.architecture.depth) for each in networks],
        "encoder MFLOPs": [f"{each.flops / 1e6:.2f}" for each in networks],
        "of the largest": [f"{each.flops / networks[0].flops:.0%}" for each in networks],
        "parameters": [f"{each.params:,}" for each in networks],
        "latency, ms": [f"{each.latency_ms:.2f}" for each in networks],
    }
    if is_wide(networks[0].architecture):  # columns are too narrow for the sizes of every layer
        del rows["inner"]
        for name in ("scores", "time_bias"):
            if hasattr(networks[0].architecture, name):
                rows[name] = [str(getattr(each.architecture, name)).lower() for each in networks]
    elif hasattr(networks[0].architecture, "attention"):
        rows = {"attention": [each.architecture.attention for each in networks]} | rows
    return rows


def _shown(metrics: "Metrics", stage: "Stage", protocol: str, name: str, missing: str) -> str:
    value = metrics.get(stage, {}).get(protocol, {}).get(name)
    return missing if value is None else f"{value:.4f}"
