"""StudyResult: round trip, what is missing, verdicts, table, page and plot, all of one written by hand."""

import json
from typing import Literal

import pytest

from elasticnas import Space
from elasticnas.errors import ConfigError
from elasticnas.search import Candidate, SearchResult
from elasticnas.study import Row, StudyResult, StudySettings, SupernetTraining
from elasticnas.study.comparison import Comparison, compare_over_seeds
from elasticnas.study.page import page
from elasticnas.study.verdicts import caution, verdict_cells, verdicts


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


INHERITING = "50%: searched, inheriting weights, 0.4375 against 0.5000 uniformly scaled, 75% of its FLOPs; "
ALONE = "50%: searched, from scratch, 0.5000 against 0.5000 uniformly scaled, 75% of its FLOPs; "


def judged(low, high, **changes):
    """With an interval of the network that inherits weights."""
    given = {"difference": -0.0625, "interval": (low, high), "count": 360}
    return study(comparisons=(Comparison(share=0.5, kind="searched", **given),), **changes)


def test_one_value_each_is_not_judged():
    said = [f"{INHERITING}difference -0.0625: ", f"{ALONE}difference +0.0000: "]
    assert verdicts(study()) == [f"{line}not judged: one value each" for line in said]
    assert "one value for each network gives no interval" in caution(study())


@pytest.mark.parametrize(
    ("low", "high", "direction", "word"),
    [
        (-0.1, -0.025, "minimise", "better"),
        (-0.1, -0.025, "maximise", "worse"),
        (0.025, 0.1, "minimise", "worse"),
        (0.025, 0.1, "maximise", "better"),
        (-0.1, 0.0, "minimise", "no difference shown"),
        (-0.1, 0.025, "maximise", "no difference shown"),
    ],
)
def test_a_verdict_needs_an_interval_without_zero_and_follows_the_direction(low, high, direction, word):
    line, other = verdicts(judged(low, high, direction=direction))
    interval = f"difference -0.0625, 95% interval {low:+.4f} to {high:+.4f} over 360 test examples: {word}"
    assert line == INHERITING + interval and other.endswith("not judged: one value each")
    assert "not for other seeds" in caution(judged(low, high))
    assert verdict_cells(judged(low, high, direction=direction))[0][5:] == [f"{low:+.4f} to {high:+.4f}", word]


def of_seed(seed, ours, theirs):
    rows = (row("searched", 0.5, 1e6, ours), row("uniform", 0.5, 1e6, theirs), row("uniform", 1.0, 2e6, 0.25))
    return study(settings=StudySettings(steps=12, shares=(0.5,), seed=seed), rows=rows)


def test_seeds_give_an_interval_of_their_own():
    # differences 1, 2, 3: mean 2, deviation 1; t of 2 degrees of freedom at 97.5 % is 4.3027
    (found,) = compare_over_seeds([of_seed(seed, 4.0 + seed, 3.0) for seed in range(3)])
    assert (found.share, found.kind, found.over, found.count) == (0.5, "searched", "seeds", 3)
    assert found.difference == pytest.approx(2.0)
    assert found.interval == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)
    assert found.verdict("minimise") == "no difference shown" and "over 3 seeds: no difference shown" in found.describe(
        ""
    )


def test_one_image_in_each_of_three_seeds_shows_nothing():
    (found,) = compare_over_seeds([of_seed(seed, (340 + seed) / 360, (339 + seed) / 360) for seed in range(3)])
    assert found.difference == pytest.approx(1 / 360) and found.verdict("maximise") == "no difference shown"
    (found,) = compare_over_seeds([of_seed(seed, (340 + seed) / 360, (339 + seed) / 360) for seed in range(6)])
    assert found.verdict("maximise") == "better"  # 2 / 2^6 = 0.03


def test_what_is_no_set_of_seeds_is_refused():
    one = of_seed(0, 1.0, 2.0)
    with pytest.raises(ConfigError, match=r"needs at least two results with different seeds, got seeds \[0, 0\]$"):
        compare_over_seeds([one, one])
    with pytest.raises(ConfigError, match=r"got seeds \[0\]$"):
        compare_over_seeds([one])
    other = of_seed(1, 1.0, 2.0).model_copy(update={"task": "other"})
    with pytest.raises(ConfigError, match="different tasks, metrics or settings"):
        compare_over_seeds([one, other])


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
        "| 50% | searched, from scratch | hidden 8, inner 4-2 | 0.75 | 1,234 | 0.7500 | 0.5000 |  | 60 | 8 |",
        "* time: 5 s, 2 architectures, and as many by random search",
        "* best on validation, any FLOPs: 0.5000",
        "* best of random search: 0.7500",
        "* warning 1: few trials",
        "* `steps`: 12 (default 1000)",
        "* `shares`: [0.5] (default [0.25, 0.5, 0.75])",
    ):
        assert line in lines, line
    study().plot(tmp_path / "pareto.png")
    with pytest.raises(ConfigError, match=r"'path': write result\.plot\(path\), with a PNG file such as 'result\.png'"):
        study().plot()
    assert (tmp_path / "pareto.png").read_bytes().startswith(b"\x89PNG")


def test_a_report_draws_what_the_result_holds(tmp_path):
    with_bars = row("searched", 0.5, 0.75e6, 0.4375, interval=(0.375, 0.5), examples=360)
    result = study(rows=(with_bars, *study().rows[1:]), task="<script>", facts={"<b>": "</script>"})
    report = result.report()
    sections = {section.title: section.parts for section in report.sections if section.parts}
    verdict, _, chart = sections["What was found"]
    assert verdict.rows[0] == [
        "50%",
        "inheriting weights",
        "0.4375",
        "0.5000",
        "-0.0625",
        "",
        "not judged: one value each",
    ]
    searched = json.loads(chart.figure().to_json())["data"][0]
    assert (searched["x"], searched["y"]) == ([0.75], [0.4375])
    assert searched["error_y"]["array"] == [0.0625] and searched["error_y"]["arrayminus"] == [0.0625]
    assert "over 360 test examples, of one training each" in chart.note
    assert [cells[6:8] for cells in sections["Networks"][0].rows[:2]] == [
        ["0.4375", "0.3750 to 0.5000"],
        ["0.5000", ""],
    ]
    (drawn,) = sections["Searched architectures"]
    assert drawn.layers() == [{"hidden": (8, 8), "inner": (4, 4)}, {"hidden": (8, 8), "inner": (2, 2)}]
    front = next(part for part in sections["Search"] if getattr(part, "title", "") == "Pareto fronts")
    assert [series.points for series in front.series][:2] == [[(1e6, 0.75), (2e6, 0.5)], [(2e6, 0.5), (1e6, 0.75)]]
    text = report.html()
    assert "<h1>&lt;script&gt;: searched networks" in text and "<dt>&lt;b&gt;</dt><dd>&lt;/script&gt;</dd>" in text


def test_a_report_has_the_losses_of_the_run(tmp_path):
    for name in ("supernet", "rows/50-searched", "rows/50-uniform"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "metrics.jsonl").write_text('{"step": 1, "loss": 2.5}\n{"step": 2, "loss": 1.5}\n')
    (training,) = [s for s in study().report(tmp_path).sections if s.title == "Training"]
    assert [chart.title for chart in training.parts] == ["Supernet", "50% of the FLOPs"]
    lines = training.parts[1].series
    assert [line.name for line in lines] == ["searched, inherits weights", "uniformly scaled, from scratch"]
    assert lines[0].points == [(1, 2.5), (2, 1.5)]
