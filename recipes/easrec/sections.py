"""The report of a run of EASRec: networks, search, training, data."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easrec.facts import run_facts
from easrec.figures import NETWORKS, PLOTTED, still_improving
from easrec.intervals import half_width, interval
from easrec.sizes import sizes_head, sizes_legend
from elasticnas.report import Report, Series
from elasticnas.report.html import Chart, Facts, Grid, Part, Section, Text, curves, read_metrics, thinned
from elasticnas.search.report import drawing, search_sections
from elasticnas.settings import differences

if TYPE_CHECKING:
    from easrec.result import Network, RunResult, Stage

__all__ = ["run_report"]

_STAGES: "tuple[Stage, ...]" = ("validation", "test")
_CHOSEN: "tuple[Stage, ...]" = ("test",)


def run_report(result: "RunResult[Any]", folder: Path | None = None) -> Report:
    """Return the report of a run.

    Args:
        result: Result of the run.
        folder: Folder of the run, to show the losses of every step.
    """
    counts = result.data.statistics
    sections = [
        Section("Networks", [_accuracy(result), _networks(result, _CHOSEN), Text(_meaning(result))]),
        *_search(result, folder),
        Section("Training", _training(result, folder)),
        Section("Data", [Facts(_data(result))]),
        Section("Every metric", [_networks(result, ())], folded=True),
        Section("How it was made", [Facts(_record(result))], folded=True),
    ]
    return Report(f"EASRec, {counts.users:,} users, {counts.items:,} items", sections)


def _accuracy(result: "RunResult[Any]") -> Chart:
    protocol, _, metric = result.config.early_stopping_metric.partition("/")
    series = []
    for name in PLOTTED:
        label, network = NETWORKS[name], result.networks.get(name)
        if network is not None and network.training is not None:
            point = network.flops / 1e6, network.metrics["test"][protocol][metric]
            series.append(Series(label, [point], intervals=[interval(network, "test", protocol, metric)]))
    best = (result.best_reachable or {}).get("test", {}).get(protocol, {}).get(metric)
    return Chart(
        f"Test {result.config.early_stopping_metric} against FLOPs",
        series,
        "encoder MFLOPs",
        f"test {result.config.early_stopping_metric}",
        _bars(result),
        horizontal={} if best is None else {"best reachable": best},
        wide=True,
    )


def _bars(result: "RunResult[Any]") -> str:
    if not any(network.standard_errors for network in result.networks.values()):
        return "No error bars: this run kept no standard errors."
    users = result.evaluated_users.get("test", 0)
    return f"Error bars: 95% intervals of the mean over {users:,} users, normal approximation, of one training each."


def _networks(result: "RunResult[Any]", stages: "Sequence[Stage]") -> Grid:
    """Return the table of networks: metrics of some stages under the early-stopping protocol; if none, all metrics."""
    names = [name for name in NETWORKS if name in result.networks]
    networks, largest = [result.networks[name] for name in names], result.networks["largest"].flops
    rows = [
        [sizes_head(result.config.model).removesuffix(", attention"), *(network.sizes for network in networks)],
        ["encoder MFLOPs", *(f"{each.flops / 1e6:.2f} ({each.flops / largest:.0%})" for each in networks)],
        ["parameters", *(f"{each.params:,}" for each in networks)],
        ["latency, ms", *(f"{each.latency_ms:.2f}" for each in networks)],
    ]
    chosen = result.config.early_stopping_metric.partition("/")[0]
    for stage in stages or _STAGES:
        for protocol, found in result.networks["found"].metrics.get(stage, {}).items():
            for metric in found if protocol == chosen or not stages else ():
                values = [_cell(each, stage, protocol, metric) for each in networks]
                values += [f"{each[stage][protocol][metric]:.4f}" for each in result.baselines.values()]
                rows.append([f"{stage} {protocol} {metric}", *values])
    rows = [row + [""] * (len(names) + len(result.baselines) + 1 - len(row)) for row in rows]
    return Grid(["", *(NETWORKS[name] for name in names), *result.baselines], rows)


def _cell(network: "Network[Any]", stage: "Stage", protocol: str, metric: str) -> str:
    value = network.metrics.get(stage, {}).get(protocol, {}).get(metric)
    if value is None:
        return "-"
    half = half_width(network, stage, protocol, metric)
    return f"{value:.4f}" if half is None else f"{value:.4f} ± {half:.4f}"


def _meaning(result: "RunResult[Any]") -> str:
    text = "FLOPs are the encoder's for one sequence of full length; latency is the median of one sequence scored once."
    text += f" {legend}" if (legend := sizes_legend(result.config.model)) else ""
    if any(network.standard_errors for network in result.networks.values()):
        text += (
            " After ± is half the width of the 95% interval over users, for each network alone. All networks are "
            "evaluated on the same users, so differences are more certain than these intervals suggest."
        )
    return text


def _search(result: "RunResult[Any]", folder: Path | None) -> list[Section]:
    if result.search is None:
        found = drawing("Largest network, as nothing was searched", result.networks["found"].architecture)
        return [Section("Architecture", [found])]
    return search_sections(result.search.result, None if folder is None else folder / "search", "validation")


def _training(result: "RunResult[Any]", folder: Path | None) -> list[Part]:
    metric = f"validation {result.config.early_stopping_metric}"
    trained = {
        label: network.training
        for name, label in NETWORKS.items()
        if (network := result.networks.get(name)) is not None and network.training is not None
    }
    parts: list[Part] = []
    for title, key, axis in (("Training loss", "loss", "loss"), ("Validation metric", "metric", metric)):
        lines = [line for label, done in trained.items() for line in curves(done.history, {key: label}, "epoch")]
        parts += [Chart(title, lines, "epoch", axis)] if lines else []
    steps = sorted(folder.glob("train-*/metrics.jsonl")) if folder is not None else []
    for path in steps:
        records, note = thinned(read_metrics(path))
        name = path.parent.name.removeprefix("train-")
        parts += [Chart(f"Loss of {name}", curves(records, {"loss": "training loss"}), "step", "loss", note)]
    rows = [[label, f"{d.epochs}", f"{d.best_epoch}", f"{d.seconds / 60:.1f}"] for label, d in trained.items()]
    line = still_improving(result)
    notes = [Text(line)] if line else []
    return [*parts, Grid(["network", "epochs", "best epoch", "minutes"], rows), *notes]


def _data(result: "RunResult[Any]") -> dict[str, str]:
    counts = result.data.statistics
    sizes = {
        "users": f"{counts.users:,}",
        "items": f"{counts.items:,}",
        "interactions per user": f"{counts.actions_per_user:.1f}",
        "interactions per item": f"{counts.actions_per_item:.1f}",
        "density": f"{counts.interactions / (counts.users * counts.items):.2%}",
    }
    return sizes | run_facts(result)


def _record(result: "RunResult[Any]") -> dict[str, str]:
    where = result.environment
    facts = {
        "command": where["command"],
        "commit": where["commit"] or f"release {where['elasticnas']}",
        "seed": f"{result.seed}",
        "machine": f"{where['processor']}, {where['device']}, {where['threads']} threads",
        "versions": f"elasticnas {where['elasticnas']}, torch {where['torch']}, Python {where['python']}",
        "date": result.created,
    }
    return facts | {name: f"{value} (default {usual})" for name, (value, usual) in differences(result.config).items()}
