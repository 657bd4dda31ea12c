"""Reports: figures that are drawn equal those given, texts are escaped, the file needs no network."""

import io
import json
import re
from html.parser import HTMLParser

import pytest
from rich.console import Console

from elasticnas.errors import PluginError
from elasticnas.report import Report, Series, try_report, write_report
from elasticnas.report.html import Chart, Drawing, Facts, Grid, Lines, Section, Text, curves, read_metrics, thinned

HOSTILE = "</script><script>alert('x')</script>&<b>"


class Page(HTMLParser):
    """Text, tags and addresses outside of scripts."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.tags, self.addresses, self._script = [], [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self._script = tag == "script"
        self.addresses += [value for name, value in attributes if name in ("src", "href", "action", "data")]

    def handle_endtag(self, tag):
        self._script = False

    def handle_data(self, data):
        if not self._script:
            self.texts.append(data.strip())


def chart(**changes):
    given = {
        "series": [
            Series("ours", [(2.0, 0.9), (1.0, 0.5)], intervals=[(0.8, 0.95), None], method="m"),
            Series("theirs", [(1.0, 0.7)], "dots", "1", method="m"),
        ],
        "x": "MFLOPs",
        "y": "accuracy",
    }
    return Chart("Accuracy", **given | changes)


def whole(*parts):
    return Report("title", [Section("one", parts)])


def test_a_figure_holds_the_numbers_that_were_given():
    ours, theirs = json.loads(chart().figure().to_json())["data"]
    assert (ours["x"], ours["y"]) == ([1.0, 2.0], [0.5, 0.9])
    assert ours["error_y"]["array"] == [None, pytest.approx(0.05)]
    assert ours["error_y"]["arrayminus"] == [None, pytest.approx(0.1)]
    assert ours["line"]["color"] == theirs["marker"]["color"] and theirs["mode"] == "markers"
    assert "error_y" not in theirs


def test_series_of_one_method_share_a_colour_and_others_do_not():
    series = [Series("a", [(1, 1)], method="m"), Series("b", [(1, 1)]), Series("c", [(1, 1)], method="m")]
    a, b, c = (trace.line.color for trace in chart(series=series).figure().data)
    assert a == c != b


def test_the_axis_that_is_cut_says_so_and_marks_have_their_values():
    layout = chart(vertical={"budget": 1.5}).figure().layout
    assert layout.yaxis.title.text == "accuracy<br>(axis starts at 0.464, not 0)" and layout.yaxis.range[0] == 0.464
    assert (layout.shapes[0].x0, layout.annotations[0].text) == (1.5, "budget")
    assert chart(ends=(0.0, 1.0)).figure().layout.yaxis.title.text == "accuracy"


def test_areas_are_stacked():
    traces = chart(series=[Series("64", [(0, 0.25)], "area"), Series("32", [(0, 0.75)], "area")]).figure().data
    assert {trace.stackgroup for trace in traces} == {"shares"} and traces[1].y == (0.75,)


def test_every_text_is_escaped():
    named = Chart(
        HOSTILE, [Series(HOSTILE, [(1, 2)], note=HOSTILE)], HOSTILE, HOSTILE, HOSTILE, {HOSTILE: 1}, {HOSTILE: 2}
    )
    drawn = Drawing(HOSTILE, {HOSTILE: HOSTILE, "inner": [1, 2]}, {HOSTILE: 2})
    parts = [Text(HOSTILE), Lines([HOSTILE]), Facts({HOSTILE: HOSTILE}), Grid([HOSTILE], [[HOSTILE]]), named, drawn]
    text = Report(HOSTILE, [Section(HOSTILE, parts), Section(HOSTILE, [Text("x")], folded=True)]).html()
    page = Page(text)
    assert page.tags.count("script") == 2  # plotly and one figure
    assert "alert('x')" not in text.replace("&lt;/script&gt;&lt;script&gt;alert(&#x27;x&#x27;)", "")
    shown = "".join(page.texts)
    assert shown.count(HOSTILE) == 19  # title, heading, sections; 6 in texts, 4 of the chart, 5 of the drawing


def test_numbers_stand_right_and_the_best_are_bold():
    text = Grid(["method", "value"], [["a", "0.5"], ["b", "-1"]], "all <of> them", {(1, 1)}).html("n")
    assert '<td>a</td><td class="number">0.5</td>' in text and '<td class="number"><b>-1</b></td>' in text
    assert "<caption>all &lt;of&gt; them</caption>" in text and '<th>method</th><th class="number">value</th>' in text


def test_the_page_names_no_address_but_inside_of_the_script_of_plotly():
    text = whole(chart(), Text("x")).html()
    assert Page(text).addresses == ["data:,"]
    own = re.sub(r'<script id="plotly">.*?</script>', "", text, flags=re.DOTALL)
    assert len(own) < 20_000 < len(text) and not re.search(r"https?:|//[a-z]|url\(|@import", own)


def test_the_same_result_gives_the_same_file(tmp_path):
    assert whole(chart()).html() == whole(chart()).html()


def test_a_network_is_drawn_layer_by_layer():
    drawing = Drawing(
        "found", {"hidden": 48, "depth": 2, "inner": [96, 32], "gate": True}, {"hidden": 64, "inner": [128] * 4}
    )
    assert drawing.layers() == [
        {"hidden": (48, 64), "gate": (True, None), "inner": (96, 128)},
        {"hidden": (48, 64), "gate": (True, None), "inner": (32, 128)},
    ]
    text = drawing.html("n")
    assert "found, 2 of up to 4 layers" in text and "gate yes" in text
    assert re.findall(r"width:([\d.]+)%", text) == ["75", "75", "75", "25"]


def test_depth_counts_the_layers_where_no_size_has_one_for_each():
    drawing = Drawing("n", {"block": {"hidden": 8}, "depth": 3}, {"block": {"hidden": 8}, "depth": 3})
    assert drawing.layers() == [{"block.hidden": (8, 8)}] * 3 and "n, 3 layers" in drawing.html("n")
    uneven = Drawing("n", {"first": [1, 2], "second": [3]}, {"first": [1, 2], "second": [3]}).layers()
    assert uneven == [{"first": (1, 1), "second": (3, 3)}, {"first": (2, 2)}]
    assert Drawing("n", {"hidden": 8}, {}).layers() == [{"hidden": (8, None)}]
    assert "n, 1 layer<" in Drawing("n", {"hidden": 8}, {}).html("n")


def test_long_histories_are_thinned_and_say_so():
    records = [{"step": step, "loss": step / 2} for step in range(1, 1002)]
    kept, note = thinned(records)
    assert [record["step"] for record in kept][:2] == [2, 5] and kept[-1]["step"] == 1001
    assert note == "1 record in 3 is shown." and thinned(records[:400]) == (records[:400], "")
    (line,) = curves(kept, {"loss": "training loss", "other": "nothing"})
    assert line.name == "training loss" and line.points[0] == (2, 1.0)


def test_metrics_of_a_killed_run_are_read(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert read_metrics(path) == []
    path.write_text('{"step": 1, "loss": null}\n3\n{"step": 2, "loss": 0.5}\n{"st')
    assert read_metrics(path) == [{"step": 1, "loss": None}, {"step": 2, "loss": 0.5}]
    assert curves(read_metrics(path), {"loss": "l"})[0].points == [(2, 0.5)]


class Result:
    def report(self, folder=None):
        return whole(Text(f"of {folder.name if folder else 'nowhere'}"))


def test_a_report_is_written_beside_other_files(tmp_path):
    write_report(Result(), tmp_path / "deep" / "report.html", tmp_path)
    assert f"<p>of {tmp_path.name}</p>" in (tmp_path / "deep" / "report.html").read_text()
    write_report(Result(), str(tmp_path / "report.html"))
    assert "<p>of nowhere</p>" in (tmp_path / "report.html").read_text()


def test_without_plotly_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "plotly.offline", None)
    with pytest.raises(PluginError, match=r"^plotly is not installed; pip install 'elasticnas\[report\]'$"):
        write_report(Result(), tmp_path / "report.html")
    console = Console(file=io.StringIO(), width=40)
    try_report(whole(Text("x")), tmp_path / "report.html", console)
    said = "no report.html: plotly is not installed; pip install 'elasticnas[report]'\n"
    assert console.file.getvalue() == said and not (tmp_path / "report.html").exists()


def test_the_repr_of_a_report_is_short():
    assert repr(whole(Text("x" * 10_000))) == "Report(title='title')"
