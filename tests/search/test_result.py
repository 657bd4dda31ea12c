"""SearchResult and TrainingResult in Python: print, notebook, table, JSON; results written by hand."""

import json
import math
from typing import Annotated, Literal

import pandas
import polars
import pytest

from elasticnas import PerLayer, Space
from elasticnas.search import Candidate, SearchResult, TrainingResult
from elasticnas.search.result import Failure


class Inner(Space):
    rate: Literal[2, 1]


class Sizes(Space):
    flops: Literal[16, 8]
    inner: Inner
    widths: Annotated[tuple[Literal[4, 2], ...], PerLayer(2)]


def candidate(size, cost, **metrics):
    arch = Sizes(flops=size, inner=Inner(rate=1), widths=(4, 2))
    return Candidate(architecture=arch, costs={"flops": cost, "ms": cost / 1e6}, metrics=metrics)


def search(**changes):
    large, small = candidate(16, 2e6, accuracy=0.75, spread=math.nan), candidate(8, 1.5e6, accuracy=0.5)
    given = {
        "strategy": "evolve",
        "metric": "accuracy",
        "direction": "maximise",
        "units": {"flops": "FLOPs", "ms": "ms"},
        "limits": {"flops": 2e6},
        "largest_costs": {"flops": 4e6, "ms": 5.0},
        "found": large,
        "random": small,
        "random_tried": (small,),
        "pareto": (large,),
        "random_pareto": (small,),
        "tried": (large, small),
        "history": [{"evaluated": 1, "spread": math.inf}],
        "failures": (Failure(architecture=small.architecture, message="out of memory", attempts=2),),
        "warnings": ("first", "second"),
        "seconds": 5.25,
        "steps": 1,
    }
    return SearchResult(**given | changes)


def test_it_prints_in_ten_lines():
    arch = "Sizes(flops={}, inner=Inner(rate=1), widths=(4, 2))"
    assert str(search()).splitlines() == [
        "evolve: 1 step in 5.2 s, 2 architectures evaluated, 1 failed",
        "                                found  random search",
        "accuracy, higher is better       0.75            0.5",
        "flops, FLOPs (of largest)   2 M (50%)    1.5 M (38%)",
        "ms, ms (of largest)           2 (40%)      1.5 (30%)",
        f"found    {arch.format(16)}",
        f"random   best of 1: {arch.format(8)}",
        "front    1 architecture; budget: flops at most 2 M FLOPs",
        "failed   1 evaluation: out of memory",
        "warning  (1 of 2 in .warnings) first",
    ]


def test_without_costs_of_the_largest_no_share_is_shown():
    lines = str(search(largest_costs={}, failures=(), warnings=(), limits={})).splitlines()
    assert [line.split()[2:] for line in lines[3:5]] == [["2", "M", "1.5", "M"], ["2", "1.5"]]
    assert "%" not in str(lines) and "largest" not in str(lines)


@pytest.mark.parametrize("make", [search, lambda: training()])
def test_what_a_prompt_and_a_notebook_show(make):
    result = make()
    assert repr(result) == str(result) and len(str(result).splitlines()) <= 10
    assert result._repr_html_().count("<table>") == 1 and str(result).splitlines()[0] in result._repr_html_()


def test_a_table_is_plain_data_that_pandas_and_polars_take():
    rows = search().table()
    assert rows[0] == {
        "search": "evolve", "chosen": True, "front": True, "flops": 16, "inner.rate": 1, "widths": [4, 2],
        "cost flops": 2e6, "ms": 2.0, "accuracy": 0.75, "spread": pytest.approx(math.nan, nan_ok=True),
    }  # fmt: skip
    assert [(row["search"], row["chosen"], row["spread"] is None) for row in rows[1:]] == [
        ("evolve", False, True), ("random search", True, True),
    ]  # fmt: skip
    assert pandas.DataFrame(rows)["accuracy"].tolist() == [0.75, 0.5, 0.5]
    assert polars.DataFrame(rows)["cost flops"].to_list() == [2e6, 1.5e6, 1.5e6]


def test_a_search_by_gradients_shows_what_it_found_in_the_table():
    large, small = search().tried
    rows = search(tried=(), pareto=(small, large)).table()
    assert [(row["flops"], row["chosen"]) for row in rows] == [(16, True), (8, True)]


def test_json_is_strict_and_read_back():
    text = json.dumps(search().to_dict(), allow_nan=False)
    again = SearchResult.from_dict(json.loads(text), Sizes)
    assert math.isnan(again.found.metrics["spread"]) and again.history == [{"evaluated": 1, "spread": math.inf}]
    assert json.dumps(again.to_dict(), allow_nan=False) == text and type(again.best) is Sizes


def training(**changes):
    history = [
        {"step": n, "learning_rate": 0.1, "loss": loss, "others": None} for n, loss in ((1, 3.0), (2, 1.5), (3, 2.0))
    ]
    validations = [{"step": 2, "mean": 0.5, "architectures": {"Sizes(a=1)": 0.25, "Sizes(a=2)": 0.75}}]
    given = {"metric": "loss", "direction": "minimise", "history": history, "validations": validations}
    return TrainingResult(**given | {"seconds": 2.0, "steps": 3, "warnings": ("jumped",)} | changes)


def test_a_training_prints_its_course():
    assert str(training()).splitlines() == [
        "supernet training: 3 steps in 2.0 s",
        "                       first  last  best  at step",
        "loss                       3     2   1.5        2",
        "loss, lower is better    0.5   0.5   0.5        2",
        "warning  jumped",
    ]
    assert str(training(metric=None, direction=None, validations=[], history=[], warnings=())).splitlines() == [
        "supernet training: 3 steps in 2.0 s"
    ]


def test_a_training_has_a_row_for_each_step():
    rows = training().table()
    assert [row["metric loss"] for row in rows] == [None, 0.5, None]
    assert rows[1]["loss of Sizes(a=1)"] == 0.25 and rows[0].keys() == rows[1].keys()
    assert TrainingResult.from_dict(json.loads(json.dumps(training().to_dict(), allow_nan=False))) == training()
