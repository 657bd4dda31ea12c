"""Reports in a browser: nothing fails, nothing is fetched, every plot is drawn, nothing is cut off."""

import pytest

from elasticnas.report import Report, Series
from elasticnas.report.html import Chart, Drawing, Facts, Grid, Lines, Section

HOSTILE = "</script><script>alert('x')</script>"


def pages():
    lines = [Series(HOSTILE, [(1, 2), (2, 3)], intervals=[(1, 3), (2, 4)]), Series("dots", [(1, 1)], "dots")]
    shares = [Series("64", [(0, 0.25), (1, 0.5)], "area"), Series("32", [(0, 0.75), (1, 0.5)], "area")]
    charts = [
        Chart(HOSTILE, lines, HOSTILE, "accuracy", HOSTILE, {HOSTILE: 1.5}, {"limit": 2.0}, wide=True),
        Chart("shares", shares, "step", "probability", ends=(0.0, 1.0)),
        Chart("log", [Series("front", [(1, 2), (100, 3)], "steps")], "cost", "loss", log=True),
    ]
    wide = Grid([HOSTILE, *"abcdefgh"], [["hidden 64, heads 4, inner 128-128-128-128", *["0.1234 ± 0.0123"] * 8]])
    drawn = Drawing(HOSTILE, {"hidden": 8, "inner": [4, 2]}, {"hidden": 16, "inner": [4, 4]})
    parts = [*charts, drawn, wide, Facts({HOSTILE * 5: HOSTILE * 5}), Lines([HOSTILE])]
    return Report(HOSTILE, [Section(HOSTILE, parts), Section("folded", charts, folded=True)])


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(pages().html(), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [1200, 400])
def test_a_report_opens_without_a_fault(browser, report, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    said, fetched = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append("dialog"), dialog.dismiss()))
    page.on("request", lambda request: fetched.append(request.url))
    page.goto(report.as_uri())
    page.wait_for_function("document.querySelectorAll('.plotly-graph-div .main-svg').length >= 12")
    assert said == [] and fetched == [report.as_uri()]
    assert page.locator(".plotly-graph-div").count() == 6
    assert page.locator(".scatterlayer .trace").count() == 10
    assert page.locator(".errorbar").count() == 4
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("h1").inner_text() == HOSTILE
    assert page.locator("figure .xtitle").first.text_content() == HOSTILE
    page.locator("summary").click()
    boxes = page.evaluate(_TEXTS)
    assert boxes["cut"] == []
    page.close()


# texts of plots that reach over the edge of their plot
_TEXTS = """() => {
  const cut = [];
  for (const plot of document.querySelectorAll('.plotly-graph-div')) {
    const outer = plot.getBoundingClientRect();
    for (const text of plot.querySelectorAll('.ytick text, .xtick text, .ytitle')) {
      const box = text.getBoundingClientRect();
      const inside = box.left >= outer.left - 1 && box.right <= outer.right + 1 && box.top >= outer.top - 1;
      if (!inside) cut.push(text.textContent);
    }
  }
  return {cut};
}"""
