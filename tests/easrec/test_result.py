"""RunResult: round trip, figures by name, what is missing, table and page."""

import json

import pytest

from easrec.config import Config
from easrec.report import page
from easrec.result import RunResult
from elasticnas.errors import ConfigError
from tests.easrec.results import network, run_result

NOTHING_SEARCHED = {"search.strategy": "none", "search.budget": None, "compare": []}
SMALL = Config(compare=("largest",), cutoffs=(5, 10))


def compared(**changes):
    """The largest network is trained as well."""
    networks = {"largest": network(SMALL, 0.75, 4e6, 128, 256, candidate=2, depth=4), "found": network(SMALL, 0.5)}
    return run_result(SMALL, networks=networks, **changes)


@pytest.mark.parametrize(
    "config",
    [
        SMALL.updated({"compare": []}),
        Config().updated(NOTHING_SEARCHED),
        Config().updated({"model.attention_choices": ["linrec", "hstu"], "compare": []}),
    ],
)
def test_a_result_is_read_back_from_json(config):
    result = run_result(config, best_reachable={"test": {"full": {"ndcg@10": 0.875}}})
    data = json.loads(json.dumps(result.to_dict()))
    assert data["format"] == 2 and data["networks"]["found"]["metrics"]["test"]["unseen"]["ndcg@10"] == 0.5
    again = RunResult.from_dict(data)
    assert again == result and again.to_dict() == data
    found = again.networks["found"].architecture
    assert found == result.networks["found"].architecture and found.depth == 1
    assert (again.search is None) == (config.search.strategy == "none")


def test_settings_that_came_later_have_their_defaults():
    data = compared().to_dict()
    del data["config"]["search"]["order"], data["config"]["model"]["backbone"]
    assert RunResult.from_dict(data) == compared()


def test_a_figure_has_a_name():
    result = compared()
    assert result.figure("found", "test", "unseen", "ndcg@10") == 0.5
    assert result.figure("largest", "validation", "pop100", "mrr@5") == 0.75
    message = (
        r"no figure random/test/unseen/ndcg@10: the networks are largest, found, the protocols full, unseen, "
        r"pop100, the cut-offs 5, 10"
    )
    with pytest.raises(ConfigError, match=message):
        result.figure("random", "test", "unseen", "ndcg@10")
    with pytest.raises(ConfigError, match="no figure found/test/unseen/ndcg@20"):
        result.figure("found", "test", "unseen", "ndcg@20")


def test_a_run_is_complete_when_all_that_it_compares_is_trained():
    assert compared().complete and not run_result(SMALL).complete
    assert run_result(SMALL.updated({"compare": []})).complete


def without(data, *path):
    *parents, last = path
    node = data
    for name in parents:
        node = node[name]
    del node[last]
    return data


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (("networks", "found", "metrics", "test", "unseen", "mrr@10"), "networks.found has no test/unseen/mrr@10"),
        (("networks", "largest", "metrics", "validation"), "networks.largest has no validation/full/recall@5"),
        (("networks", "largest"), "networks has no 'largest'"),
        (("networks", "found", "flops"), "networks.found.flops: Field required"),
        (("networks", "found", "architecture", "depth"), "networks.found.architecture.depth: Field required"),
        (("search", "result", "found"), "search.result.found: Field required"),
        (("data", "statistics", "users"), "data.statistics.users: Field required"),
        (("config",), "config: Field required"),
    ],
)
def test_what_is_missing_is_named(path, message):
    with pytest.raises(ConfigError, match="damaged run result, RunResult: ") as raised:
        RunResult.from_dict(without(compared().to_dict(), *path))
    assert message in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"found/flops": 1.0, "config": {}}, "a run result of format 1, and this version reads 2: convert it with "),
        ([], "damaged run result: list"),
        (compared().to_dict() | {"config": {"epochs": 1}}, "damaged run result, Config: epochs: unknown"),
        (compared().to_dict() | {"found/flops": 1.0}, "found/flops: unknown"),
    ],
)
def test_other_data_is_refused(data, message):
    with pytest.raises(ConfigError) as raised:
        RunResult.from_dict(data)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_it_prints_in_ten_lines():
    best = {"test": {"unseen": {"ndcg@10": 0.875}}}
    assert str(compared(best_reachable=best)).splitlines() == [
        "EASRec: 1,000 users, 50 items, seed 0, 300.0 s",
        "                           largest  found by search",
        "test unseen/ndcg@10         0.7500           0.5000",
        "encoder FLOPs           4 M (100%)        2 M (50%)",
        "parameters                   1,000            1,000",
        "latency, ms                   1.50             1.50",
        "hidden, inner, layers  128, 256, 4         8, 16, 1",
        "reachable  at most 0.8750 on these generated interactions",
        "search     dynamic-constraint, 40 steps in 60.0 s, 2 architectures evaluated, 0",
        "           failed, budget 2 M FLOPs",
    ]
    assert "\nsearch" not in str(run_result(Config().updated(NOTHING_SEARCHED)))


def test_its_table_has_a_row_for_each_network():
    largest, found = run_result(SMALL).table()
    assert largest.keys() == found.keys() and (largest["network"], found["network"]) == ("largest", "found")
    assert (largest["test/full/mrr@5"], found["test/full/mrr@5"]) == (None, 0.5)
    assert all(value is None or isinstance(value, (str, int, float)) for value in [*largest.values(), *found.values()])
    assert (found["candidate"], found["depth"], found["flops"], found["best_epoch"]) == (0, 1, 2e6, 2)


def test_it_is_drawn(tmp_path):
    for number, result in enumerate((compared(), run_result(Config().updated(NOTHING_SEARCHED)))):
        result.plot(tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match=r"'path': write result\.plot\(path\), with a PNG file such as 'result\.png'"):
        compared().plot()


def test_a_page_shows_search_training_and_settings():
    text = page(compared())
    for line in (
        "# EASRec, 1,000 users, 50 items",
        "* machine: a processor, cpu, 2 threads",
        "* data: 1,000 users, 50 items, 9,000 interactions (9.00 per user, 180.00 per item), ordered by time, ties by "
        "the order of the rows",
        "* fingerprint: abababababab",
        "| parameters | 1,000 | 1,000 |",
        "| test pop100 ndcg@10 | 0.7500 | 0.5000 |",
        "* time: 1.0 min, 40 steps",
        "* peak memory: 2 MB",
        "* budget: 2.00 MFLOPs",
        "* found, with the supernet's weights, validation unseen/ndcg@10: 0.2500",
        "* random search, best of 2 architectures, validation unseen/ndcg@10: 0.2500",
        "* final probabilities of candidate: 0.750, 0.250, 0.000",
        "| found by search | 3 | 2 | 2.0 |",
        "* `cutoffs`: [5, 10] (default [5, 10, 20])",
    ):
        assert line in text.splitlines(), line
    unsearched = page(run_result(Config().updated(NOTHING_SEARCHED)))
    assert "* strategy: none: the largest network, from random weights" in unsearched
