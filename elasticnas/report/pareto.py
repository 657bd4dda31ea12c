"""pareto_plot: cost against metric, as a PNG."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from elasticnas.files import write_bytes
from elasticnas.packages import require_package

__all__ = ["Series", "pareto_plot", "require_matplotlib"]

# Okabe and Ito's colours, told apart by colour-blind readers too
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_MARKERS = ("o", "s", "^", "D", "v")
_COLUMNS = 3  # of a legend that panels share


@dataclass(frozen=True)
class Series:
    """Points of one kind.

    Attributes:
        name: In the legend.
        points: ``(cost, metric)`` pairs.
        form: ``dots`` for a cloud, ``steps`` for a front (the best metric that a cost buys), ``line`` for networks
            one by one.
        note: Behind the name in the legend, such as how many.
    """

    name: str
    points: Sequence[tuple[float, float]]
    form: Literal["dots", "steps", "line"] = "line"
    note: str = ""


def require_matplotlib() -> None:
    """Say what is missing before a long run, not after it.

    Raises:
        PluginError: matplotlib is not installed.
    """
    require_package("matplotlib", "plot")


def pareto_plot(
    panels: Mapping[str, Sequence[Series]],
    path: str | Path,
    *,
    cost: str,
    metrics: Sequence[str],
    title: str = "",
    log: bool = False,
) -> None:
    """Draw panels side by side with one scale of costs, and write the file whole or not at all.

    Args:
        panels: Series by title of their panel.
        path: The PNG file.
        cost: Label of the horizontal axes, with its unit.
        metrics: Label of each panel's vertical axis.
        title: Above all.
        log: Whether costs stand on a logarithmic scale.

    Raises:
        PluginError: matplotlib is not installed.
        ElasticNASError: The file cannot be written.
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [[series.name for series in several] for several in panels.values()]
    shared = len(panels) > 1 and all(other == names[0] for other in names)
    lines = -(-len(names[0]) // _COLUMNS) if shared else max(map(len, names), default=0)
    figure = Figure(figsize=(5.6 * len(panels), 4.0 + 0.2 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(panels), sharex=True, squeeze=False)[0]
    for ax, (name, several), metric in zip(axes, panels.items(), metrics, strict=True):
        for number, series in enumerate(several):
            _draw(ax, series, number)
        ax.set_title(name, fontsize=11)
        if log:
            ax.set_xscale("log")
        ax.set_xlabel(cost)
        ax.set_ylabel(metric)
        ax.grid(color="#dddddd", linewidth=0.6)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
        if not shared:
            ax.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=1)
    if shared:  # one legend for all
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=_COLUMNS, frameon=False, fontsize=9)
    if title:
        figure.suptitle(title, fontsize=12, fontweight="bold")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    write_bytes(Path(path), buffer.getvalue())


def _draw(ax: Any, series: Series, number: int) -> None:
    colour, points = _COLOURS[number % len(_COLOURS)], sorted(series.points)
    x, y = [cost for cost, _ in points], [metric for _, metric in points]
    label = f"{series.name} ({series.note})" if series.note else series.name
    if series.form == "dots":
        ax.scatter(x, y, s=16, color=colour, alpha=0.35, linewidths=0, label=label)
    elif series.form == "steps":
        ax.plot(
            x, y, drawstyle="steps-post", color=colour, linewidth=1.8, marker="o", markersize=3, label=label, zorder=1
        )
    else:
        # as many colours as markers have no common divisor: thirty series before a pair comes again
        marker, line = _MARKERS[number % len(_MARKERS)], "-" if len(points) > 1 else ""
        ax.plot(x, y, line, color=colour, linewidth=1.6, marker=marker, markersize=7, label=label)
