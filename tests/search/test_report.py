"""Reports of searches: every number that is drawn is the result's; names are escaped."""

import json
from typing import Annotated, Literal

import pytest

from elasticnas import PerLayer, Space
from elasticnas.report import write_report
from elasticnas.search import Candidate, SearchResult
from elasticnas.search.report import drawing, search_sections


class Sizes(Space):
    hidden: Literal[32, 16]
    kind: Literal["<script>alert(1)</script>", "plain"]
    depth: Literal[2, 1]
    inner: Annotated[tuple[Literal[8, 4], ...], PerLayer("depth")]
    index: Literal[0, 1]

    @property
    def both(self) -> int:
        return 2 * self.hidden


SMALL = Sizes(hidden=16, kind="plain", depth=1, inner=(4,), index=1)
LARGE = Sizes(hidden=32, kind="<script>alert(1)</script>", depth=2, inner=(8, 4), index=0)


def candidate(arch, flops, value):
    return Candidate(architecture=arch, costs={"flops": flops}, metrics={"<b>nats": value})


def record(step, share):
    return {
        "step": step,
        "train_loss": 3.0 - step / 10,
        "held_out_loss": 3.5 - step / 10,
        "expected_cost": 2000.0 - step,
        "entropy": {"hidden": 1 - share, "kind": 0.0},
        "probabilities": {"hidden": [share, 1 - share], "kind": [0.5, 0.5], "depth": [1.0, 0.0]}
        | {"inner.0": [0.5, 0.5], "inner.1": [0.5, 0.5], "index": [0.25, 0.75]},
    }


def result(**changes):
    found, random = candidate(SMALL, 1200, 0.5), candidate(LARGE, 1800, 0.75)
    given = {
        "strategy": "dynamic-constraint",
        "metric": "<b>nats",
        "direction": "minimise",
        "units": {"flops": "FLOPs"},
        "limits": {"flops": 1900.0},
        "found": found,
        "random": random,
        "random_tried": (random,),
        "pareto": (found,),
        "random_pareto": (random,),
        "history": [record(2, 0.5), record(4, 0.75)],
        "seconds": 12.5,
        "steps": 4,
    }
    return SearchResult[Sizes](**given | changes)


def charts(report):
    """Series by title of their chart and name."""
    parts = [part for section in report.sections for part in section.parts if hasattr(part, "series")]
    return {part.title: {series.name: list(series.points) for series in part.series} for part in parts}


def test_what_is_drawn_is_what_the_result_holds():
    drawn = charts(result().report())
    assert drawn["Loss"] == {"training loss": [(2, 2.8), (4, 2.6)], "held-out loss": [(2, 3.3), (4, 3.1)]}
    assert drawn["Entropy of the choices"] == {"hidden": [(2, 0.5), (4, 0.25)]}
    assert drawn["Expected FLOPs"] == {"Expected FLOPs": [(2, 1998.0), (4, 1996.0)]}
    assert drawn["hidden"] == {"32": [(2, 0.5), (4, 0.75)], "16": [(2, 0.5), (4, 0.25)]}
    assert drawn["index"]["1"] == [(2, 0.75), (4, 0.75)] and set(drawn) >= {"kind", "depth", "inner.0", "inner.1"}
    assert drawn["Pareto fronts"]["found by dynamic-constraint"] == [(1200.0, 0.5)]
    assert drawn["Pareto fronts"]["random search, front"] == [(1800.0, 0.75)]
    assert "dynamic-constraint, evaluated" not in drawn["Pareto fronts"]


def test_the_budget_is_marked_in_both_charts_of_cost():
    parts = {part.title: part for section in result().report().sections for part in section.parts if hasattr(part, "x")}
    assert parts["Pareto fronts"].vertical == {"budget": 1900.0} == parts["Expected FLOPs"].horizontal
    assert (parts["Pareto fronts"].x, parts["Expected FLOPs"].y) == ("FLOPs", "FLOPs")


def test_losses_of_every_step_come_from_the_run(tmp_path):
    lines = [{"step": 1, "loss": 9.0}, {"step": 2, "loss": 8.0, "<b>nats": 0.25}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    drawn = charts(result().report(tmp_path))
    assert drawn["Loss"]["training loss, every step"] == [(1, 9.0), (2, 8.0)] and "training loss" not in drawn["Loss"]
    assert drawn["Metric during the search"] == {"<b>nats": [(2, 0.25)]}


def test_evaluations_are_drawn_where_there_are_no_gradients():
    history = [{"evaluated": 1, "metric": 0.75, "best": 0.75}, {"evaluated": 2, "metric": 0.9, "best": 0.75}]
    tried = candidate(LARGE, 1800, 0.75), candidate(SMALL, 1200, 0.9)
    drawn = charts(result(history=history, tried=tried, strategy="evolve").report())
    assert drawn["Metric of the evaluations"] == {
        "evaluated": [(1, 0.75), (2, 0.9)],
        "best so far": [(1, 0.75), (2, 0.75)],
    }
    assert drawn["Pareto fronts"]["evolve, evaluated"] == [(1800.0, 0.75), (1200.0, 0.9)]
    assert {"Loss", "hidden", "Expected FLOPs"}.isdisjoint(drawn)


def test_each_candidate_is_drawn_under_the_search_that_evaluated_it():
    """Random search found better and cheaper ones: the common front holds none of the search's."""
    found, cheap, good = candidate(SMALL, 1200, 0.5), candidate(LARGE, 600, 0.25), candidate(LARGE, 1800, 0.125)
    mixed = result(found=found, random=good, random_tried=(good, cheap), pareto=(cheap, good))
    fronts = charts(mixed.report())["Pareto fronts"]
    assert fronts["found by dynamic-constraint"] == [(1200.0, 0.5)]
    assert fronts["random search, front"] == [(600.0, 0.25), (1800.0, 0.125)]
    assert not {"dynamic-constraint, front", "dynamic-constraint, evaluated"} & fronts.keys()
    rows = [(row["search"], row["flops"], row["front"]) for row in mixed.table()]
    assert rows[0] == ("dynamic-constraint", 1200, False) and {search for search, *_ in rows[1:]} == {"random search"}
    (grid,) = (part for section in mixed.report().sections for part in section.parts if hasattr(part, "rows"))
    assert [row[0] for row in grid.rows[2:]] == ["on the front, by random search"] * 2


def test_the_metric_of_a_history_says_what_data_it_is_of(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 1, "loss": 9.0, "<b>nats": 0.25}) + "\n")
    parts = [part for section in search_sections(result(), tmp_path, "validation") for part in section.parts]
    (chart,) = (part for part in parts if getattr(part, "title", "") == "Metric during the search")
    assert (chart.y, chart.series[0].name) == ("validation <b>nats", "validation <b>nats")


def test_the_found_architecture_is_drawn_with_derived_sizes():
    shown = drawing("found", LARGE).layers()
    assert shown[1]["inner"] == (4, 8) and shown[1]["both"] == (64, 64) and shown[0]["hidden"] == (32, 32)
    assert drawing("found", SMALL).layers()[0]["hidden"] == (16, 32)
    assert drawing("found", SMALL).layers()[0]["index"][0] == "1"  # an index, no size: without a bar


def test_names_and_options_are_text(tmp_path):
    write_report(result(found=candidate(LARGE, 1200, 0.5), warnings=("<script>",)), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    own = text[text.index("</head>") :]
    assert "<script>alert" not in own and "&lt;script&gt;alert(1)&lt;/script&gt;" in own
    assert "<b>nats" not in own and "&lt;b&gt;nats" in own and "<li>&lt;script&gt;</li>" in own


def test_many_choices_are_behind_a_click():
    sections = {section.title: section for section in result().report().sections}
    assert not sections["Probabilities of every choice"].folded
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("elasticnas.search.report._FOLDED", 3)
        assert [s.folded for s in result().report().sections if s.title.startswith("Probabilities")] == [True]
