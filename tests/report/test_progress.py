"""Progress of a run of several stages: what is left of all of it, and a bar that keeps its room."""

import io
import re

import pytest
from rich.console import Console

from elasticnas.report import Plan, Stage


def test_what_is_left_is_that_of_all_stages_at_the_pace_of_this_one():
    plan = Plan({"search": 30.0, "first": 10.0, "second": 20.0})
    assert plan.of("third") is None
    # half of 30 units in 60 s to go: 4 s a unit, 30 units after it
    assert plan.of("search")(0.5, 60.0) == (15 / 60, 60.0 + 4 * 30)
    # a later stage has a pace of its own: 2 units in 1 s to go
    assert plan.of("first")(0.8, 1.0) == (pytest.approx(38 / 60), pytest.approx(1.0 + 0.5 * 20))
    # at its end the pace is the last one known
    assert plan.of("first")(1.0, 0.0) == (40 / 60, pytest.approx(10.0))
    assert plan.of("second")(1.0, 0.0) == (1.0, 0.0)


def test_without_a_terminal_lines_say_what_is_left_in_all(monkeypatch):
    clock, shown = [0.0], io.StringIO()
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    with Stage(Console(file=shown, width=80), "search", Plan({"search": 1.0, "train": 3.0}).of("search")) as stage:
        clock[0] = 30.0
        stage.update(0.5, "loss 1.5", 30.0)
    # 30 s here, and three times the 60 s of this stage
    assert shown.getvalue().splitlines() == [
        "search ...",
        "search: 50%, loss 1.5, 3:30 left in all",
        "search: done in 0:30",
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_bar_is_as_wide_as_the_terminal_and_the_text_is_whole(width):
    console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    name, note = "25% of the FLOPs: uniformly scaled, from scratch", "loss 3.123, best validation unseen/ndcg@10 0.4449"
    with Stage(console, name, Plan({"one": 1.0, "two": 1.0}).of("one")) as stage:
        stage.update(0.5, note, 3600.0)
        stage._bar.refresh()
    last = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", text) for text in console.file.getvalue().split("\r")]
    text = "\n".join(last)
    assert "…" not in text and f"{name}: 50%, {note}" in " ".join(text.split())
    bar = next(line for line in text.splitlines() if "3:00:00 left in all" in line)
    # without colours the part that is left of a bar is blank
    assert bar.startswith("━━━") and bar.index(" 25% ") > width / 2 and len(bar) <= width
