"""Markdown page of a run, made from its result alone."""

from typing import Any

from easrec.config import Config
from easrec.facts import run_facts
from easrec.figures import NETWORKS, comparison, still_improving
from easrec.result import RunResult
from easrec.sizes import sizes_legend
from elasticnas.report import bullets, table
from elasticnas.settings import differences

__all__ = ["page"]


def page(result: RunResult[Any]) -> str:
    """Return the page as Markdown: environment, data, networks, search, training, settings."""
    where, counts = result.environment, result.data.statistics
    head, sections = comparison(result)
    parts = [
        f"# EASRec, {counts.users:,} users, {counts.items:,} items",
        bullets(
            {
                "command": f"`{where['command']}`",
                "commit": where["commit"] or f"release {where['elasticnas']}",
                "seed": result.seed,
                "machine": f"{where['processor']}, {where['device']}, {where['threads']} threads",
                "versions": f"elasticnas {where['elasticnas']}, torch {where['torch']}, Python {where['python']}",
                "date": result.created,
            }
        ),
        "## Data",
        bullets(run_facts(result)),
        "## Networks",
        table(head, [row for section in sections for row in section]),
        "FLOPs are the encoder's for one sequence of full length; latency is the median of one sequence scored once."
        + (f" {legend}" if (legend := sizes_legend(result.config.model)) else ""),
        "## Search",
        bullets(_search(result)),
        "## Training",
        _training(result),
        "## Settings that differ from the defaults",
        bullets(_changed(result.config)) or "None.",
    ]
    return "\n\n".join(parts) + "\n"


def _search(result: RunResult[Any]) -> dict[str, Any]:
    if result.search is None:
        return {"strategy": "none: the largest network, from random weights"}
    search, peak, metric = result.search.result, result.search.peak_memory_bytes, result.config.early_stopping_metric
    best = max((candidate.metrics[metric] for candidate in search.random_tried), default=float("nan"))
    limit = search.limits.get("flops")
    items = {
        "strategy": search.strategy,
        "time": f"{search.seconds / 60:.1f} min, {search.steps:,} steps",
        **({"peak memory": f"{peak / 1e6:,.0f} MB"} if peak else {}),
        "budget": "none" if limit is None else f"{limit / 1e6:.2f} MFLOPs",
        f"found, with the supernet's weights, validation {metric}": f"{search.found.metrics[metric]:.4f}",
        f"random search, best of {len(search.random_tried)} architectures, validation {metric}": f"{best:.4f}",
    }
    for name, values in search.probabilities.items():
        items[f"final probabilities of {name}"] = ", ".join(f"{value:.3f}" for value in values)
    for number, line in enumerate(search.warnings, 1):
        items[f"warning {number}"] = line
    return items


def _training(result: RunResult[Any]) -> str:
    rows = []
    for name, label in NETWORKS.items():
        network = result.networks.get(name)
        if network is not None and (done := network.training) is not None:
            rows.append([label, str(done.epochs), str(done.best_epoch), f"{done.seconds / 60:.1f}"])
    shown = table(["network", "epochs", "best epoch", "minutes"], rows)
    line = still_improving(result)
    return f"{shown}\n\n{line}" if line else shown


def _changed(config: Config) -> dict[str, str]:
    return {f"`{name}`": f"{value} (default {default})" for name, (value, default) in differences(config).items()}
