"""What a study shows on the terminal."""

import io

import pytest
from rich.console import Console

from elasticnas.study.page import show, summary, verdicts
from tests.rendering import WIDTHS, cells, rendered
from tests.study.test_result import row, study


@pytest.mark.parametrize("width", WIDTHS)
def test_every_network_is_a_row_and_no_figure_is_cut(width):
    rows = (
        row("searched", 0.5, 123.456e6, 0.4375, inherited=0.625, params=123_456_789),
        row("scratch", 0.5, 123.456e6, 0.5),
        row("uniform", 0.5, 1e6, 0.5),
        row("searched", 1.0, 2e6, 0.25, inherited=0.5),
        row("uniform", 1.0, 2e6, 0.375),
    )
    text = rendered(summary(study(rows=rows)), width)
    assert text.startswith("signs: nats, lower is better; FLOPs at most")
    figures = [line[-4:] for line in cells(text) if line[-1].startswith("0.")]
    assert figures == [
        ["123.46", "123,456,789", "0.6875", "0.4375"],
        ["123.46", "1,234", "0.7500", "0.5000"],
        ["1.00", "1,234", "0.7500", "0.5000"],
        ["2.00", "1,234", "0.5000", "0.2500"],
        ["2.00", "1,234", "0.6250", "0.3750"],
    ]
    words = " ".join(text.split())
    assert words.count("50%") == 3 and words.count("100%") == 2 and words.count("searched,") == 2
    for word in ("inherits", "weights", "scratch", "uniformly", "largest,"):
        assert word in words


def test_what_it_says_stands_below():
    console = Console(file=io.StringIO(), width=60)
    show(study(), console)
    assert " ".join(verdicts(study())) in " ".join(console.file.getvalue().split())
