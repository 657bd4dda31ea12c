"""Results of 0.1 in the format of now: every figure stays, what is missing is named, converted files are left alone."""

import copy
import json
import sys
from collections import Counter
from hashlib import sha256
from typing import Any

import pytest

from easrec.config import Config
from easrec.result import RunResult
from easrec.space import space_for
from elasticnas.errors import DataError
from elasticnas.search import SearchResult
from elasticnas.study import StudyResult
from tests.conftest import ROOT

sys.path.append(str(ROOT / "benchmarks"))

import convert_results
from convert_results import convert, main, renamed

SETTINGS = {
    "model": {
        "hidden": 16,
        "inner": 32,
        "layers": 2,
        "heads": 2,
        "hidden_pruning": [0.0, 0.5],
        "inner_pruning": [0.0, 0.5],
    },
    "search": {"strategy": "easrec", "budget": "50%"},
    "compare": ["random"],
    "ks": [5],
    "steer": "unseen/ndcg@5",
    "seed": 3,
}
NOW = {name: value for name, value in SETTINGS.items() if name not in ("ks", "steer")}
NOW |= {"cutoffs": [5], "early_stopping_metric": "unseen/ndcg@5"}
NOW["search"] = {"strategy": "dynamic-constraint", "budget": "50%"}
ENVIRONMENT = {
    "command": "elasticnas easrec run",
    "commit": None,
    "elasticnas": "0.1.0",
    "torch": "2",
    "numpy": "2",
    "python": "3",
    "system": "Linux",
    "processor": "p",
    "device": "cpu",
    "threads": 1,
}
STAGES, PROTOCOLS, METRICS = ("validation", "test"), ("full", "unseen", "pop100"), ("recall@5", "mrr@5", "ndcg@5")


def candidate(number, depth, cost, value):
    return {"architecture": {"candidate": number, "depth": depth}, "cost": cost, "metrics": {"unseen/ndcg@5": value}}


SEARCH = {
    "probabilities": {"candidate": [0.25, 0.75], "depth": [0.625, 0.375]},
    "history": [{"step": 4, "loss": 2.5, "expected_cost": 900.5}],
    "warnings": ["depth is open"],
    "unit": "FLOPs",
    "limit": 1000.5,
    "seconds": 61.5,
    "steps": 40,
    "found": candidate(1, 1, 999.5, 0.21),
    "random": candidate(0, 2, 700.5, 0.19),
    "random_tried": [candidate(0, 1, 400.5, 0.17), candidate(0, 2, 700.5, 0.19)],
    "pareto": [candidate(0, 1, 400.5, 0.17), candidate(1, 1, 999.5, 0.21)],
    "random_pareto": [candidate(0, 1, 400.5, 0.17), candidate(0, 2, 700.5, 0.19)],
    "tried": [],
    "latency": [],
    "peak_memory_bytes": 123456,
}


def flat(search=True):
    """``result.json`` of 0.1, every figure different."""
    number = iter(range(1, 1000))
    result: dict[str, Any] = {
        "created": "2026-11-24T15:55:50+00:00",
        "seed": 3,
        "config": copy.deepcopy(SETTINGS),
        "data": {
            "users": 901,
            "items": 902,
            "interactions": 903,
            "duplicates_dropped": 904,
            "core_dropped": 905,
            "short_users_dropped": 906,
            "timestamps": True,
            "fingerprint": "ab" * 32,
            "features": {"columns": ["genres"], "features": 907, "items_missing": 908, "items_without": 909},
        },
        "environment": ENVIRONMENT,
        "search/seconds": SEARCH["seconds"],
        "search/steps": SEARCH["steps"],
        "search/peak_memory_bytes": SEARCH["peak_memory_bytes"],
        "search/limit_flops": SEARCH["limit"],
        "search/probabilities": SEARCH["probabilities"],
        "search/warnings": SEARCH["warnings"],
        "search/random_tried": SEARCH["random_tried"],
        "search/found_inherited": SEARCH["found"]["metrics"],
        "best/test/full/ndcg@5": 0.987,
        "evaluation/validation/fewest_negatives": 98,
        "evaluation/test/fewest_negatives": 97,
        "seconds/this_process": 654.5,
    }
    sizes = {"largest": (1, 2, 16, 32, 2000.5), "found": (1, 1, 16, 32, 999.5), "random": (0, 2, 8, 16, 700.5)}
    for name, (choice, depth, hidden, inner, flops) in sizes.items():
        result[f"{name}/architecture"] = {"candidate": choice, "depth": depth, "hidden": hidden, "inner": inner}
        result[f"{name}/flops"] = flops
        result[f"{name}/flops_scoring_one_position"] = 10_000 + next(number)
        result[f"{name}/params"] = 20_000 + next(number)
        result[f"{name}/latency_ms"] = 1.0 + next(number) / 1000
        result[f"{name}/latency_iqr_ms"] = 2.0 + next(number) / 1000
    for name in ("found", "random"):
        result[f"{name}/train/best_epoch"] = 100 + next(number)
        result[f"{name}/train/epochs"] = 200 + next(number)
        result[f"{name}/train/seconds"] = 300.5 + next(number)
        result[f"{name}/train/history"] = [{"epoch": 1, "loss": 3.0 + next(number) / 1000, "validation": {"full": {}}}]
        for stage in STAGES:
            for protocol in PROTOCOLS:
                for metric in METRICS:
                    result[f"{name}/{stage}/{protocol}/{metric}"] = next(number) / 1000
    return result


def study():
    """``result.json`` of a study of 0.1."""
    search = {name: value for name, value in SEARCH.items() if name != "peak_memory_bytes"}
    kinds = ["searched", "scratch", "uniform"]
    rows = [
        {
            "kind": kind,
            "share": 0.5,
            "sizes": {"candidate": 1},
            "flops": 900.5 + place,
            "params": 50 + place,
            "steps": 60 + place,
            "seconds": 70.5 + place,
            "inherited": 0.2 if kind == "searched" else None,
            "validation": 0.3 + place,
            "test": 0.4 + place,
        }
        for place, kind in enumerate(kinds)
    ]
    return {
        "task": "signs",
        "created": "2026-11-24T16:21:07+00:00",
        "environment": ENVIRONMENT,
        "facts": {"rows": 640},
        "settings": {"steps": 12, "tune_steps": 4, "shares": [0.5]},
        "metric": "unseen/ndcg@5",
        "maximise": False,
        "largest_flops": 2000.5,
        "supernet": {"steps": 12, "seconds": 1.25, "last_loss": 2.125},
        "search": search,
        "rows": rows,
    }


def numbers(data):
    """How often each number is there."""
    if isinstance(data, dict):
        return sum(map(numbers, data.values()), Counter())
    if isinstance(data, list):
        return sum(map(numbers, data), Counter())
    return Counter([float(data)]) if isinstance(data, (int, float)) and not isinstance(data, bool) else Counter()


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def run_folder(folder):
    settings = {"data": "ab" * 32, "settings": SETTINGS}
    content = {"config": SETTINGS, "items": ["", "a"]}
    digest = sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    write(folder / "result.json", flat())
    write(folder / "search.json", SEARCH)
    write(folder / "run.json", settings)
    write(folder / "model" / "recommender.json", content | {"sha256": digest})
    write(folder / "model" / "architecture.json", {"format": 1, "architecture": {}})
    return folder


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_keeps_every_figure_under_its_new_name(tmp_path):
    old, path = flat(), write(tmp_path / "some-run.json", flat())
    assert convert(path)
    new = json.loads(path.read_text())
    assert not numbers(old) - numbers(new)
    for name in ("found", "random"):
        for stage in STAGES:
            for protocol in PROTOCOLS:
                for metric in METRICS:
                    value = new["networks"][name]["metrics"][stage][protocol][metric]
                    assert value == old[f"{name}/{stage}/{protocol}/{metric}"]
        training = new["networks"][name]["training"]
        assert training == {part: old[f"{name}/train/{part}"] for part in training}
    for name in ("largest", "found", "random"):
        network = new["networks"][name]
        for cost in ("flops", "flops_scoring_one_position", "params", "latency_ms", "latency_iqr_ms"):
            assert network[cost] == old[f"{name}/{cost}"]
        assert (
            network["architecture"] | {part: network[part] for part in ("hidden", "inner")}
            == old[f"{name}/architecture"]
        )
    assert new["networks"]["largest"]["training"] is None and new["seconds"] == 654.5
    assert new["best_reachable"] == {"test": {"full": {"ndcg@5": 0.987}}}
    assert new["fewest_negatives"] == {"validation": 98, "test": 97}
    assert new["data"]["statistics"]["interactions"] == 903 and new["data"]["features"]["items_without"] == 909
    search = RunResult.from_dict(new).search
    assert search.peak_memory_bytes == 123456 and search.result.limits == {"flops": 1000.5}
    assert search.result.random.metrics == {"unseen/ndcg@5": 0.19} and search.result.found.costs == {"flops": 999.5}
    assert (search.result.strategy, search.result.metric) == ("dynamic-constraint", "unseen/ndcg@5")
    # what only search.json had
    assert search.result.history == [] and search.result.pareto == ()


def test_a_folder_is_converted_whole_and_once(tmp_path, capsys):
    for seed in (0, 1):
        run_folder(tmp_path / "matrix" / "runs" / "easrec" / f"seed-{seed}")
    write(tmp_path / "matrix" / "table3-full.json", {"title": "Table III", "rows": []})
    before = contents(tmp_path)
    assert main([str(tmp_path)]) == 0
    said, after = capsys.readouterr().out.splitlines(), contents(tmp_path)
    assert len(said) == 8 and {path for path in after if after[path] != before[path]} == {
        path for path in before if path.name in ("result.json", "search.json", "run.json", "recommender.json")
    }
    folder = tmp_path / "matrix" / "runs" / "easrec" / "seed-1"
    result = RunResult.from_dict(json.loads((folder / "result.json").read_text()))
    space = space_for(result.config.model)
    assert result.search.result == SearchResult.from_dict(json.loads((folder / "search.json").read_text()), space)
    assert result.search.result.history == SEARCH["history"] and result.search.peak_memory_bytes == 123456
    assert [each.costs["flops"] for each in result.search.result.pareto] == [400.5, 999.5]
    whole = numbers(json.loads((folder / "result.json").read_text()))
    assert not numbers(SEARCH) - whole and not numbers(flat()) - whole
    settings = json.loads((folder / "run.json").read_text())["settings"]
    assert settings == NOW
    assert Config.model_validate(settings) == result.config
    saved = json.loads((folder / "model" / "recommender.json").read_text())
    assert saved["config"] == settings and saved["items"] == ["", "a"]
    digest = saved.pop("sha256")
    assert digest == sha256(json.dumps(saved, sort_keys=True).encode()).hexdigest()
    assert main([str(tmp_path)]) == 0 and capsys.readouterr().out == "" and contents(tmp_path) == after


@pytest.mark.parametrize("first", ["search.json", "result.json"])
def test_an_interrupted_conversion_goes_on(tmp_path, first):
    cut, whole = run_folder(tmp_path / "cut"), run_folder(tmp_path / "whole")
    assert convert(cut / first)
    assert main([str(cut)]) == main([str(whole)]) == 0
    assert contents(cut) == contents(whole)


def test_random_search_that_was_not_trained_is_the_best_that_it_drew(tmp_path):
    old = {key: value for key, value in flat().items() if not key.startswith("random/")}
    old["config"]["compare"] = []
    path = write(tmp_path / "some-run.json", old)
    assert convert(path)
    random = RunResult.from_dict(json.loads(path.read_text())).search.result.random
    assert random.metrics == {"unseen/ndcg@5": 0.19} and random.costs == {"flops": 700.5}


def test_a_network_that_nothing_searched_has_no_search(tmp_path):
    old = flat()
    old["config"]["search"] = {"strategy": "none", "budget": None}
    old["config"]["compare"] = []
    old = {key: value for key, value in old.items() if not key.startswith("random/")}
    old |= {"search/seconds": 0.0, "search/steps": 0, "search/random_tried": [], "search/found_inherited": {}}
    path = write(tmp_path / "result.json", old)
    assert convert(path)
    assert json.loads(path.read_text())["search"] is None


def test_a_study_keeps_every_figure(tmp_path):
    old = study()
    write(tmp_path / "study.json", {"task": "signs", "settings": {}, "facts": {}, "space": {}, "flops": 2000.5})
    write(tmp_path / "search.json", old["search"])
    row = write(tmp_path / "rows" / "50-uniform.json", old["rows"][2])
    path = write(tmp_path / "result.json", old)
    assert main([str(tmp_path)]) == 0
    new = json.loads(path.read_text())
    assert not numbers(old) - numbers(new) and new["direction"] == "minimise"
    assert new["rows"] == [{**row, "interval": None, "examples": 0} for row in old["rows"]]
    result = StudyResult.from_dict(new, space_for(Config.model_validate(NOW).model))
    assert result.search.strategy == "evolve" and result.search.best.candidate == 1
    assert result.supernet.last_loss == 2.125 and result.search.found.costs == {"flops": 999.5}
    assert json.loads((tmp_path / "search.json").read_text()) == new["search"]
    assert json.loads(row.read_text()) == old["rows"][2]


def test_a_comparison_of_settings_keeps_every_figure(tmp_path):
    run = {"full/recall@5": 0.1, "unseen/recall@5": 0.2, "flops": 300.5, "seconds": 4.5}
    path = write(tmp_path / "settings.json", {"results": {"no gates": {"0": run}}, "environment": ENVIRONMENT})
    assert convert(path) and not convert(path)
    new = json.loads(path.read_text())
    metrics = {"full": {"recall@5": 0.1}, "unseen": {"recall@5": 0.2}}
    assert new["results"] == {"no gates": {"0": {"flops": 300.5, "seconds": 4.5, "metrics": metrics}}}
    assert new["format"] == 2 and new["environment"] == ENVIRONMENT


def lacking(*keys, **changes):
    data = flat() | changes
    for key in keys:
        del data[key]
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lacking("search/random_tried"), "'search/random_tried' is missing, and format 2 needs it"),
        (lacking("random/latency_ms"), "'random/latency_ms' is missing"),
        (lacking("environment"), "'environment' is missing"),
        (lacking("found/test/unseen/mrr@5"), "networks.found has no test/unseen/mrr@5"),
        (lacking(**{"search/random_tried": []}), "search/random_tried lacks random search's choice"),
        (lacking(**{"found/energy_j": 3.5}), "'found/energy_j' is not part of format 2"),
        (lacking(config={"epochs": 1}), "Config: epochs: unknown"),
        (lacking(config=SETTINGS | {"compare": ["random", "largest"]}), "an unfinished run of 0.1"),
        ({"title": "Table III"}, "not a result of 0.1"),
        ([1], "not a result of 0.1"),
    ],
)
def test_what_cannot_be_converted_is_one_line_and_stays(tmp_path, capsys, data, message):
    path = write(tmp_path / "result.json", data)
    before = contents(tmp_path)
    with pytest.raises(DataError) as raised:
        convert(path)
    assert message in str(raised.value) and str(path.name) in str(raised.value) and "\n" not in str(raised.value)
    assert main([str(path)]) == 1 and capsys.readouterr().err == f"refused: {raised.value}\n"
    assert contents(tmp_path) == before


def test_a_search_of_several_costs_is_refused(tmp_path):
    write(tmp_path / "result.json", flat())
    for changes, message in (
        ({"unit": "ms"}, "a search over ms"),
        ({"latency": [{"rows": []}]}, "not over FLOPs alone"),
    ):
        path = write(tmp_path / "search.json", SEARCH | changes)
        with pytest.raises(DataError, match=message):
            convert(path)
    further = SEARCH["found"] | {"further_costs": [1.0]}
    with pytest.raises(DataError, match="a candidate has architecture, cost, metrics, further_costs"):
        convert(write(tmp_path / "search.json", SEARCH | {"found": further}))


def test_search_and_result_of_two_runs_are_refused(tmp_path):
    folder = run_folder(tmp_path)
    write(folder / "search.json", SEARCH | {"seconds": 62.5})
    with pytest.raises(
        DataError, match=r"seconds of the search differs from that in .*search.json: they are of different runs"
    ):
        convert(folder / "result.json")


def test_what_was_only_begun_is_refused_once(tmp_path, capsys):
    folder = run_folder(tmp_path / "run")
    (folder / "result.json").unlink()
    write(tmp_path / "study" / "study.json", {"task": "signs", "settings": {}, "facts": {}, "space": {}, "flops": 1.0})
    before = contents(tmp_path)
    assert main([str(tmp_path)]) == 2
    refused = capsys.readouterr().err.splitlines()
    assert refused == [
        f"refused: {tmp_path / name}: an unfinished run of 0.1: finish it with 0.1, or start a new run"
        for name in ("run", "study")
    ]
    assert contents(tmp_path) == before


def test_a_recommender_with_a_wrong_checksum_is_refused(tmp_path):
    path = write(tmp_path / "recommender.json", {"config": SETTINGS, "items": [], "sha256": "0"})
    with pytest.raises(DataError, match="its checksum is wrong"):
        convert(path)


def test_names_and_values_are_renamed_by_one_table(monkeypatch):
    monkeypatch.setattr(convert_results, "RENAMED", {"a.b=1": "a.b=one", "a.c": "d", "e": "f.g", "h=no": "i=yes"})
    assert renamed({"a": {"b": "1", "c": 2}, "e": None, "h": "no"}) == {
        "a": {"b": "one"},
        "d": 2,
        "f": {"g": None},
        "i": "yes",
    }
    assert renamed({"a": {"b": "2"}, "h": "yes"}) == {"a": {"b": "2"}, "h": "yes"}


@pytest.mark.parametrize("name", ["ml-1m", "gowalla-nyc"])
def test_recorded_runs_are_read(name):
    result = RunResult.from_dict(json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text()))
    page = (ROOT / "docs" / "results" / f"{name}.md").read_text()
    for network in ("largest", "found", "random"):
        assert f" {result.figure(network, 'test', 'unseen', 'ndcg@10'):.4f} |" in page


@pytest.mark.parametrize("name", ["digits", "charlm"])
def test_recorded_studies_make_their_pages(name):
    from importlib import import_module

    from elasticnas.study.page import page

    folder, space = ROOT / "docs" / "results" / name, import_module(f"elasticnas_recipes.{name}.model").Sizes
    result = StudyResult.from_dict(json.loads((folder / "result.json").read_text()), space)
    assert page(result) == (folder / "result.md").read_text()
