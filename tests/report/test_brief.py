"""Brief: ten lines of eighty columns whatever a result holds, and HTML that shows it all."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elasticnas.report.brief import Brief
from elasticnas.report.numbers import compact, counted
from elasticnas.report.rows import flat, row

TEXTS = st.text(st.characters(codec="ascii"), max_size=200)


@st.composite
def briefs(draw):
    columns = draw(st.integers(1, 4))
    cells = st.lists(TEXTS, min_size=columns, max_size=columns)
    return Brief(
        draw(TEXTS), draw(cells), draw(st.lists(cells, max_size=30)), draw(st.lists(st.tuples(st.just("note"), TEXTS)))
    )


@given(briefs())
def test_it_is_ten_lines_of_eighty_columns_at_most(brief):
    if len(brief.notes) <= 5:
        lines = brief.text().split("\n")
        assert len(lines) <= 10 and max(map(len, lines)) <= 80


def test_columns_are_aligned_and_notes_wrapped():
    brief = Brief("title", ["", "a", "bcd"], [["one", "1", "2"], ["three", "10", "20"]], [("n", "w " * 60), ("m", "v")])
    lines = brief.text().split("\n")
    assert lines[:4] == ["title", "        a  bcd", "one     1    2", "three  10   20"]
    assert lines[4] == "n  " + ("w " * 38).strip() + " w" and lines[5] == "   " + ("w " * 21).strip()
    assert lines[6] == "m  v"


def test_what_does_not_fit_is_said():
    brief = Brief("t", ["", "a"], [[f"row {n}", str(n)] for n in range(20)], [("note", "x" * 500)])
    lines = brief.text().split("\n")
    assert len(lines) == 10 and lines[7:9] == ["row 5  5", "and 14 more rows"]
    assert lines[9].endswith("...")


class Cells(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


def test_html_is_whole_and_escaped():
    nasty = "<script>alert('&')</script>"
    brief = Brief(nasty, ["", nasty], [[nasty, str(n)] for n in range(20)], [(nasty, nasty * 50)])
    read = Cells(brief.html())
    assert "script" not in read.tags and read.tags.count("tr") == 21 and read.tags.count("td") == 20
    assert read.texts[0] == nasty and any(nasty * 50 in text for text in read.texts)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.8125, "0.8125"), (1 / 3, "0.3333"), (0, "0"), (999, "999"), (27136, "27,136"), (999_999, "999,999"),
        (12_345_678, "12.35 M"), (2e9, "2 G"), (-3.5e12, "-3.5 T"), (1e18, "1e+18"), (1e-9, "1e-09"),
        (float("nan"), "nan"), (float("inf"), "inf"),
    ],
)  # fmt: skip
def test_numbers_are_short(value, text):
    assert compact(value) == text and len(text) <= 10


def test_counts_have_their_noun():
    assert [counted(n, "step") for n in (0, 1, 1200)] == ["0 steps", "1 step", "1,200 steps"]


def test_rows_are_flat_and_names_differ():
    assert flat({"a": {"b": {"c": 1}, "d": [2]}, "e": 3}) == {"a.b.c": 1, "a.d": [2], "e": 3}
    assert row(result={"x": 1}, cost={"x": 2, "y": 3}, metric={"y": 4}) == {
        "x": 1, "cost x": 2, "y": 3, "metric y": 4,
    }  # fmt: skip
