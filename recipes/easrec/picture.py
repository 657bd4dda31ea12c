"""Plot of a run: the metric of its networks over their FLOPs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from easrec.figures import NETWORKS, PLOTTED
from easrec.intervals import interval
from elasticnas.errors import PluginError
from elasticnas.report import Series, pareto_plot
from elasticnas.search.fronts import front_series

if TYPE_CHECKING:
    from easrec.result import RunResult

__all__ = ["draw", "draw_in_folder", "panels"]


def draw(result: "RunResult[Any]", path: "str | Path") -> None:
    """Write the plot as a PNG file.

    Raises:
        PluginError: matplotlib is not installed.
        ElasticNASError: The file cannot be written.
    """
    drawn, metric = panels(result), result.config.early_stopping_metric
    bars = " with 95% intervals" if any(network.standard_errors for network in result.networks.values()) else ""
    labels = [f"validation {metric}" if name.startswith("Search") else f"test {metric}{bars}" for name in drawn]
    title = f"EASRec, {result.data.statistics.users:,} users: {metric} (higher is better) against FLOPs"
    pareto_plot(drawn, path, cost="encoder MFLOPs of one sequence", metrics=labels, title=title)


def draw_in_folder(result: "RunResult[Any]", folder: Path, console: Console) -> Path | None:
    """Write ``pareto.png`` into the folder of a run; without matplotlib, print which package to install.

    Returns:
        The file, or None without matplotlib.
    """
    path = folder / "pareto.png"
    try:
        draw(result, path)
    except PluginError as error:
        console.print(f"no plot: {error}", highlight=False, markup=False, soft_wrap=True)
        return None
    return path


def panels(result: "RunResult[Any]") -> dict[str, list[Series]]:
    """Return the panels: the search on validation data, if there was one, and the trained networks on test data."""
    protocol, _, metric = result.config.early_stopping_metric.partition("/")
    networks = {name: result.networks[name] for name in PLOTTED if name in result.networks}
    trained = {name: network for name, network in networks.items() if network.training is not None}
    costs = [network.flops / 1e6 for network in trained.values()]
    series = [
        Series(
            NETWORKS[name],
            [(network.flops / 1e6, result.figure(name, "test", protocol, metric))],
            intervals=[interval(network, "test", protocol, metric)],
        )
        for name, network in trained.items()
    ]
    best = (result.best_reachable or {}).get("test", {}).get(protocol, {}).get(metric)
    if best is not None:
        series.append(Series("best reachable", [(min(costs), best), (max(costs), best)], "steps"))
    searched = [] if result.search is None else front_series(result.search.result, "flops", "search", 1e-6)
    panels = {"Search: validation, the supernet's weights": searched, "Trained networks: test": series}
    return {title: drawn for title, drawn in panels.items() if drawn}
