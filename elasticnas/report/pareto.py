"""pareto_plot: plot metrics against costs, as a PNG file."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from elasticnas.files import write_bytes
from elasticnas.packages import require_package
from elasticnas.report.axis import axis_label, axis_range
from elasticnas.report.series import Series, colours_of

__all__ = ["Series", "pareto_plot", "require_matplotlib"]

_MARKERS = ("o", "s", "^", "D", "v")
_COLUMNS = 3  # of a shared legend
_DISTANCE = 5.0  # typographic points between error bars of networks with about equal cost
_NEAR = 0.01  # difference of costs that is about equal, as a fraction of the largest cost
_SMALL, _TEXT = 10, 11  # font sizes that are readable at half the size of the picture


def require_matplotlib() -> None:
    """Require matplotlib, to be called before a long run.

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
    """Plot panels side by side with a common scale of costs, and write the file atomically.

    Axes start at 0 if the differences are visible then; otherwise the label says where the axis starts. Error bars at
    about equal costs are shifted horizontally by a few points.

    Args:
        panels: Series by title of their panel.
        path: The PNG file.
        cost: Label of the horizontal axes, with its unit.
        metrics: Label of each panel's vertical axis.
        title: Title of the figure.
        log: Whether costs have a logarithmic scale.

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
    figure = Figure(figsize=(5.6 * len(panels), 4.2 + 0.22 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(panels), sharex=True, squeeze=False)[0]
    for ax, (name, several), metric in zip(axes, panels.items(), metrics, strict=True):
        _panel(ax, several)
        ax.set_title(name, fontsize=_TEXT + 1)
        ends = axis_range([height for series in several for height in series.heights()])
        ax.set_ylim(*ends)
        _costs(ax, [x for several in panels.values() for series in several for x, _ in series.points], log)
        ax.set_xlabel(cost, fontsize=_TEXT)
        ax.set_ylabel(axis_label(metric, ends).replace(" (", "\n("), fontsize=_TEXT)
        if not shared:
            ax.legend(frameon=False, fontsize=_SMALL, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=1)
    if shared:  # one legend for all panels
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=_COLUMNS, frameon=False, fontsize=_SMALL)
    if title:
        figure.suptitle(title, fontsize=13, fontweight="bold")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    write_bytes(Path(path), buffer.getvalue())


def _costs(ax: Any, costs: Sequence[float], log: bool) -> None:
    if log:
        ax.set_xscale("log")
    elif costs:
        low, high = axis_range(costs)
        ax.set_xlim(min(0.0, low), high)


def _panel(ax: Any, several: Sequence[Series]) -> None:
    for number, (series, colour) in enumerate(zip(several, colours_of(several), strict=True)):
        _draw(ax, series, number, colour, _DISTANCE * _position(series, several))
    ax.grid(color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=_SMALL)
    ax.spines[["top", "right"]].set_visible(False)


def _position(series: Series, several: Sequence[Series]) -> float:
    """Return the position of a series, centred at 0, among those with error bars at about equal costs."""
    near = _NEAR * max((x for each in several for x, _ in each.points), default=0.0)

    def overlaps(other: Series) -> bool:
        return any(abs(x - y) <= near for x, _ in series.points for y, _ in other.points)

    group = [each for each in several if any(each.intervals) and overlaps(each)]
    return group.index(series) - (len(group) - 1) / 2 if series in group else 0.0


def _draw(ax: Any, series: Series, number: int, colour: str, moved: float = 0.0) -> None:
    rows = series.ordered()
    x, y = [cost for cost, _, _ in rows], [metric for _, metric, _ in rows]
    if series.form == "dots":
        ax.scatter(x, y, s=18, color=colour, alpha=0.4, linewidths=0, label=series.label)
    elif series.form == "steps":
        style = {"drawstyle": "steps-post", "linewidth": 1.8, "marker": "o", "markersize": 4, "zorder": 1}
        ax.plot(x, y, color=colour, label=series.label, **style)
    else:
        # six colours and five markers: thirty series before a combination repeats
        marker, line = _MARKERS[number % len(_MARKERS)], "-" if len(rows) > 1 else ""
        style = {"linewidth": 1.6, "marker": marker, "markersize": 7, "capsize": 3, "elinewidth": 1.2}
        ax.errorbar(
            x, y, _bars(rows), fmt=line, color=colour, label=series.label, transform=_shifted(ax, moved), **style
        )


def _bars(rows: Sequence[Any]) -> Any:
    """Return the lengths of error bars below and above each point; None if no point has an interval."""
    if not any(interval for _, _, interval in rows):
        return None
    return [
        [y - (interval[0] if interval else y) for _, y, interval in rows],
        [(interval[1] if interval else y) - y for _, y, interval in rows],
    ]


def _shifted(ax: Any, points: float) -> Any:
    """Return data coordinates shifted to the right by typographic points."""
    from matplotlib.transforms import ScaledTranslation

    return ax.transData + ScaledTranslation(points / 72, 0, ax.figure.dpi_scale_trans)
