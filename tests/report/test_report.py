"""What runs show: plots, tables, progress."""

import io
import struct

import pytest
from rich.console import Console

from elasticnas.errors import ElasticNASError
from elasticnas.report import Series, Stage, bullets, pareto_plot, table
from elasticnas.report.pareto import _draw, _panel, _position


def png_size(path):
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", content[16:24])


def test_panels_stand_side_by_side_in_one_file(tmp_path):
    series = [Series("a", [(2.0, 0.5), (1.0, 0.4)]), Series("b", [(1.0, 0.3)], "steps"), Series("c", [], "dots", "0")]
    pareto_plot({"one": series}, tmp_path / "one.png", cost="MFLOPs", metrics=["x"])
    two = {"one": series, "two": series[:2]}
    pareto_plot(two, tmp_path / "two.png", cost="MFLOPs", metrics=["x", "y"], title="t", log=True)
    (width, height), (wider, same) = png_size(tmp_path / "one.png"), png_size(tmp_path / "two.png")
    assert wider == 2 * width and same == height
    two["two"] = series  # the same names: one legend below both, in columns
    pareto_plot(two, tmp_path / "shared.png", cost="MFLOPs", metrics=["x", "y"])
    assert png_size(tmp_path / "shared.png")[1] < height


def test_points_are_drawn_in_order_of_cost_with_what_they_are():
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    _draw(ax, Series("found", [(3.0, 0.9), (1.0, 0.5)], note="2"), 0, "#0072B2")
    (line,) = ax.lines
    assert line.get_xdata().tolist() == [1.0, 3.0] and line.get_ydata().tolist() == [0.5, 0.9]
    assert ax.get_legend_handles_labels()[1] == ["found (2)"]


def test_error_bars_reach_from_end_to_end():
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    _draw(ax, Series("found", [(3.0, 0.9), (1.0, 0.5)], intervals=[(0.8, 0.95), None]), 0, "#0072B2", 5.0)
    (bars,) = ax.collections
    ends = [[y for _, y in segment] for segment in bars.get_segments()]
    assert ends == [[0.5, 0.5], pytest.approx([0.8, 0.95])]
    line = ax.lines[0]  # moved on the page, not in the data
    assert line.get_xdata().tolist() == [1.0, 3.0]
    moved = line.get_transform().transform((1.0, 0.5)) - ax.transData.transform((1.0, 0.5))
    assert moved.tolist() == pytest.approx([5.0 / 72 * ax.figure.dpi, 0.0], abs=1e-6)


def test_only_series_whose_bars_would_cover_each_other_are_moved():
    bars = {"intervals": [(0.0, 1.0)]}
    a, b, c = (Series(name, [(x, 0.5)], **bars) for name, x in (("a", 1.0), ("b", 1.002), ("c", 2.0)))
    without = Series("d", [(1.0, 0.5)])
    several = [a, b, c, without]
    assert [_position(each, several) for each in several] == [-0.5, 0.5, 0.0, 0.0]


def test_dots_and_line_of_one_method_have_one_colour_and_a_cut_axis_says_so():
    from matplotlib.colors import to_hex
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    points = [(1.0, 0.9), (2.0, 0.95)]
    series = [Series("a, front", points, "steps", method="a"), Series("b", points, "steps")]
    _panel(ax, [*series, Series("a, evaluated", points, "dots", method="a")])
    front, other = (line.get_color() for line in ax.lines)
    assert to_hex(ax.collections[0].get_facecolor()[0]) == front.lower() != other.lower()


def test_a_file_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ElasticNASError, match="file"):
        pareto_plot({"one": [Series("a", [(1, 1)])]}, tmp_path / "file" / "one.png", cost="c", metrics=["m"])


def test_markdown():
    assert bullets({"a": 1, "b": "x"}) == "* a: 1\n* b: x"
    assert table(["n", "v"], [["a", "1"]]) == "| n | v |\n| --- | ---: |\n| a | 1 |"


def test_progress_without_a_terminal_is_a_line_now_and_then(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    shown = io.StringIO()
    with Stage(Console(file=shown), "train") as stage:
        for second in range(0, 50, 5):
            clock[0] = float(second)
            stage.update(second / 50, "loss 1.5", 3700.0)
    lines = shown.getvalue().splitlines()
    assert lines == ["train ...", "train: 50%, loss 1.5, 1:01:40 left", "train: done in 0:45"]


def test_a_stage_that_fails_is_not_done():
    shown = io.StringIO()
    with pytest.raises(ValueError), Stage(Console(file=shown), "train"):
        raise ValueError
    assert "done" not in shown.getvalue()
