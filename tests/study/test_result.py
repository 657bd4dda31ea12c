"""StudyResult: round trip, what is missing, verdicts, table, page and plot, all of one written by hand."""

import json
from typing import Literal

import pytest

from elasticnas import Space
from elasticnas.errors import ConfigError
from elasticnas.search import Candidate, SearchResult
from elasticnas.study import Row, StudyResult, StudySettings, SupernetTraining
from elasticnas.study.page import page, verdicts


class Sizes(Space):
    hidden: Literal[16, 8]


def candidate(hidden, flops, value):
    return Candidate(architecture=Sizes(hidden=hidden), costs={"flops": flops}, metrics={"nats": value})


def row(kind, share, flops, test, **changes):
    given = {"sizes": {"hidden": 8, "inner": [4, 2]}, "params": 1234, "steps": 60, "seconds": 7.5, "inherited": None}
    return Row(kind=kind, share=share, flops=flops, validation=test + 0.25, test=test, **given | changes)


def study(**changes):
    tried = candidate(16, 2e6, 0.5), candidate(8, 1e6, 0.75)
    search = SearchResult(
        strategy="evolve",
        metric="nats",
        direction="minimise",
        units={"flops": "FLOPs"},
        found=tried[0],
        random=tried[1],
        random_tried=tried[1:],
        pareto=(tried[1], tried[0]),
        random_pareto=tried[1:],
        tried=tried,
        warnings=("few trials",),
        seconds=5.25,
        steps=2,
    )
    given = {
        "task": "signs",
        "created": "2026-11-24T16:21:07+00:00",
        "environment": {
            "command": "elasticnas signs",
            "commit": None,
            "elasticnas": "0.2.0",
            "torch": "2.13",
            "python": "3.11",
            "processor": "a processor",
            "device": "cpu",
            "threads": 2,
        },
        "facts": {"rows": 640},
        "settings": StudySettings(steps=12, shares=(0.5,)),
        "metric": "nats",
        "direction": "minimise",
        "largest_flops": 2e6,
        "supernet": SupernetTraining(steps=12, seconds=3.5, last_loss=1.5),
        "search": search,
        "rows": (
            row("searched", 0.5, 0.75e6, 0.4375, inherited=0.625),
            row("scratch", 0.5, 0.75e6, 0.5),
            row("uniform", 0.5, 1e6, 0.5),
            row("searched", 1.0, 2e6, 0.25, inherited=0.5),
            row("uniform", 1.0, 2e6, 0.375),
        ),
    }
    return StudyResult(**given | changes)


def test_a_study_is_read_back_from_json():
    data = json.loads(json.dumps(study().to_dict()))
    assert (
        data["format"] == 2 and data["rows"][0]["test"] == 0.4375 and data["search"]["found"]["costs"] == {"flops": 2e6}
    )
    again = StudyResult.from_dict(data, Sizes)
    assert again == study() and again.to_dict() == data
    assert again.search.best == Sizes(hidden=16) and again.rows[2].kind == "uniform"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": None}, "a study result of format None, and this version reads 2: convert it with "),
        ({"direction": "up"}, "damaged study result, StudyResult: direction: Input should be 'maximise' or 'minimise'"),
        (
            {"rows": [{"kind": "found"}]},
            "rows.0.kind: Input should be 'searched', 'scratch' or 'uniform' (got 'found')",
        ),
        ({"maximise": True}, "maximise: unknown"),
        ({"supernet": {}}, "supernet.steps: Field required"),
    ],
)
def test_other_data_is_refused_in_one_line(changes, message):
    with pytest.raises(ConfigError) as raised:
        StudyResult.from_dict(study().to_dict() | changes, Sizes)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_verdicts_follow_the_direction():
    line = (
        "50%: searched, inheriting 0.4375, {}, and from scratch 0.5000, equal to uniformly scaled 0.5000 at 75% of its "
        "FLOPs"
    )
    assert verdicts(study()) == [line.format("better than")]
    assert verdicts(study(direction="maximise")) == [line.format("worse than")]


def test_it_prints_in_ten_lines():
    lines = str(study()).splitlines()
    assert lines == [
        "signs: test nats, lower is better; 46 s",
        "                  searched, inheriting  from scratch  scaled uniformly",
        "50% of the FLOPs                0.4375        0.5000            0.5000",
        "largest network                 0.2500             -            0.3750",
        "largest  2 M FLOPs",
        "search   2 architectures evaluated, 0 failed; best validation nats 0.5000, by",
        "         random search 0.7500",
        "warning  few trials",
    ]


def test_its_table_has_a_row_for_each_network():
    first, *others = study().table()
    assert (first["kind"], first["share"], first["hidden"], first["inner"]) == ("searched", 0.5, 8, [4, 2])
    assert (first["test"], first["inherited"], first["params"], len(others)) == (0.4375, 0.625, 1234, 4)


def test_a_page_says_how_it_was_measured(tmp_path):
    lines = page(study()).splitlines()
    for line in (
        "# signs: searched networks against uniformly scaled ones",
        "* commit: release 0.2.0",
        "* seed: 0",
        "* rows: 640",
        "| 50% | searched, from scratch | hidden 8, inner 4-2 | 0.75 | 1,234 | 0.7500 | 0.5000 | 60 | 8 |",
        "* time: 5 s, 2 architectures, as many by random search",
        "* best on validation, any FLOPs: 0.5000",
        "* likewise by random search: 0.7500",
        "* warning 1: few trials",
        "* `steps`: 12 (default 1000)",
        "* `shares`: [0.5] (default [0.25, 0.5, 0.75])",
    ):
        assert line in lines, line
    study().plot(tmp_path / "pareto.png")
    assert (tmp_path / "pareto.png").read_bytes().startswith(b"\x89PNG")
