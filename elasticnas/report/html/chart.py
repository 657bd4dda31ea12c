"""Chart: series over one pair of axes, drawn by plotly in the browser."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import cycle, islice
from typing import Any

from elasticnas.packages import require_package
from elasticnas.report.axis import axis_label, axis_range
from elasticnas.report.series import Series, colours_of

__all__ = ["Chart"]

_FORMS: dict[str, dict[str, Any]] = {
    "dots": {"mode": "markers", "marker": {"size": 6, "opacity": 0.4}},
    "steps": {"mode": "lines+markers", "line": {"shape": "hv", "width": 2}, "marker": {"size": 4}},
    "line": {"mode": "lines+markers", "line": {"width": 2}, "marker": {"size": 9}, "cliponaxis": False},
    "area": {"mode": "lines", "line": {"width": 0.5}, "stackgroup": "shares"},
}
_CURVE: dict[str, Any] = {"mode": "lines", "line": {"width": 1.5}}
_MANY = 30  # most points of a line with markers
# six colours and five symbols: thirty series before a combination repeats
_SYMBOLS = {"circle": "●", "square": "■", "triangle-up": "▲", "diamond": "◆", "triangle-down": "▼"}
_CONFIG = {"responsive": True, "displayModeBar": False, "displaylogo": False}
_MARK: dict[str, Any] = {"line": {"dash": "dash", "color": "#555", "width": 1}}
_AXIS = {
    "gridcolor": "#e5e5e5",
    "linecolor": "#888",
    "zeroline": False,
    "automargin": True,
    "ticks": "outside",
    "nticks": 7,
}
_LAYOUT: dict[str, Any] = {
    "template": "none",
    "showlegend": False,
    "margin": {"l": 10, "r": 20, "t": 20, "b": 10},
    "hovermode": "closest",
    "font": {"family": "system-ui, sans-serif", "size": 12, "color": "#222"},
}


@dataclass(frozen=True)
class Chart:
    """Series over one pair of axes.

    Attributes:
        title: Title above the chart.
        series: The series.
        x: Label of the horizontal axis, with its unit.
        y: Label of the vertical axis.
        note: Note below the chart, such as the meaning of error bars.
        vertical: Vertical lines: values of x by label, such as a budget.
        horizontal: Horizontal lines: values of y by label.
        ends: Ends of the vertical axis; None uses :func:`~elasticnas.report.axis.axis_range`.
        log: Whether the horizontal axis is logarithmic.
        wide: Whether it has the full width of the page.
    """

    title: str
    series: Sequence[Series]
    x: str
    y: str
    note: str = ""
    vertical: Mapping[str, float] = field(default_factory=dict)
    horizontal: Mapping[str, float] = field(default_factory=dict)
    ends: tuple[float, float] | None = None
    log: bool = False
    wide: bool = False

    def figure(self) -> Any:
        """Return the plotly figure.

        Raises:
            PluginError: plotly is not installed.
        """
        graphs: Any = require_package("plotly.graph_objects", "report")
        heights = [value for each in self.series for value in each.heights()]
        ends = self.ends or axis_range([*heights, *self.horizontal.values()])
        figure = graphs.Figure([_trace(graphs, *styled) for styled in self._styled()])
        scale = {"type": "log"} if self.log else {"rangemode": "tozero"}
        figure.update_xaxes(title={"text": escape(self.x)}, **scale, **_AXIS)
        label = {"text": _with_line_breaks(axis_label(self.y, ends)), "standoff": 12}
        figure.update_yaxes(title=label, range=list(ends), **_AXIS)
        for place, value in self.vertical.items():
            figure.add_vline(value, annotation=_note(place), annotation_position="top left", **_MARK)
        for place, value in self.horizontal.items():
            figure.add_hline(value, annotation=_note(place), annotation_position="top right", **_MARK)
        figure.update_layout(height=380 if self.wide else 300, **_LAYOUT)
        return figure

    def html(self, name: str) -> str:
        """See :meth:`~elasticnas.report.html.parts.Part.html`."""
        drawn = self.figure().to_html(full_html=False, include_plotlyjs=False, div_id=name, config=_CONFIG)
        note = f'<p class="note">{escape(self.note)}</p>' if self.note else ""
        kind = "chart wide" if self.wide else "chart"
        head = f"<figcaption>{escape(self.title)}</figcaption>"
        return f'<figure class="{kind}">{head}{drawn}{self._legend()}{note}</figure>'

    def _legend(self) -> str:
        """Return a legend that wraps as text; plotly's own would cover or compress a narrow plot."""
        items = (
            f"<li>{_key(series, colour, symbol)}{escape(series.label)}</li>"
            for series, colour, symbol in self._styled()
        )
        return f'<ul class="legend">{"".join(items)}</ul>'

    def _styled(self) -> list[tuple[Series, str, str]]:
        """Return each series with its colour and symbol."""
        symbols = islice(cycle(_SYMBOLS), len(self.series))
        return list(zip(self.series, colours_of(self.series), symbols, strict=True))


def _with_line_breaks(label: str) -> str:
    """Put text in parentheses on its own line, as axes are short."""
    return escape(label).replace(" (", "<br>(")


def _note(text: str) -> dict[str, Any]:
    return {"text": escape(text), "bgcolor": "rgba(255, 255, 255, 0.8)", "font": {"color": "#333"}}


def _key(series: Series, colour: str, symbol: str) -> str:
    if series.form == "line" and len(series.points) <= _MANY:
        return f'<b style="color:{colour}">{_SYMBOLS[symbol]}</b>'
    return f'<span class="{series.form}" style="color:{colour}"></span>'


def _trace(graphs: Any, series: Series, colour: str, symbol: str) -> Any:
    rows = series.ordered()
    form = _CURVE if series.form == "line" and len(rows) > _MANY else _FORMS[series.form]
    trace = graphs.Scatter(x=[x for x, _, _ in rows], y=[y for _, y, _ in rows], name=escape(series.name), **form)
    if series.form == "area":
        trace.update(fillcolor=colour)
    trace.update(line_color=colour, marker_color=colour, marker_symbol=symbol if series.form == "line" else "circle")
    if any(interval is not None for _, _, interval in rows):
        above = [None if interval is None else interval[1] - y for _, y, interval in rows]
        below = [None if interval is None else y - interval[0] for _, y, interval in rows]
        trace.update(error_y={"array": above, "arrayminus": below, "symmetric": False, "thickness": 1.3, "width": 5})
    return trace
