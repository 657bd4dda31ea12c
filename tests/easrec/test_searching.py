"""The search stage: every strategy through the recipe, what lambda weighs, and whose batches its steps see."""

import io
import json
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from easrec import searching
from easrec.config import Config
from easrec.data import Split, prepare
from easrec.data.synthetic import planted
from easrec.model import supernet
from easrec.pipeline import Pipeline, evaluators
from elasticnas.errors import ConfigError, PluginError
from elasticnas.run import Run
from elasticnas.search import DynamicConstraint, Gumbel, SearchSettings, Strategy, Tempered

CPU = torch.device("cpu")
CONFIG = Config().updated(
    {
        "model": {"hidden": 16, "inner": 16, "length": 8, "layers": 2, "heads": 2, "gate_layers": 0},
        "search": {"epochs": 2, "batch": 16, "update_every": 1, "random_architectures": 2},
        "train": {"epochs": 1, "batch": 64},
        "compare": [],
        "negatives": 10,
    }
)


@pytest.fixture(scope="module")
def data():
    return prepare(planted(users=60, items=24, categories=4, length=9).frame)


@pytest.fixture
def orders(monkeypatch):
    """The orders that searches were told, in turn."""
    seen = []

    def told(**settings):
        seen.append(settings["order"])
        return settings_of(**settings)

    settings_of = searching.SearchSettings
    monkeypatch.setattr(searching, "SearchSettings", told)
    return seen


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("strategy", "order"),
    [("darts", 1), ("darts", 2), ("proxylessnas", 1), ("recnas", 1), ("reinforce", 1), ("spos", 1), ("random", 1)],
)
def test_a_strategy_runs_to_a_result_within_the_budget(data, orders, tmp_path, strategy, order):
    config = CONFIG.updated({"search.strategy": strategy, "search.order": order})
    result = Pipeline(data, config, Run(tmp_path), CPU, Console(file=io.StringIO())).run_all()
    assert orders == [order]
    networks, searched = result.networks, result.search.result
    assert 0 < networks["found"].flops <= searched.limits["flops"] == 0.5 * networks["largest"].flops
    assert searched.steps > 0 and 0 < result.figure("found", "test", "full", "recall@20") <= 1
    # only gradients leave probabilities
    assert json.loads((tmp_path / "search.json").read_text()) == searched.to_dict()
    by_gradient = {"candidate", "depth"} if strategy not in ("spos", "random") else set()
    assert set(searched.probabilities) == by_gradient
    assert f"* strategy: {strategy}" in (tmp_path / "result.md").read_text()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_second_order_steps_elsewhere_than_the_first(data):
    split, found = Split(data), []
    config = CONFIG.updated({"search.strategy": "darts", "search.learning_rate": 0.1})
    for order in (1, 2):
        torch.manual_seed(0)
        model = supernet(config.model, split.items, True)
        own = config.updated({"search.order": order})
        result = searching.search_architecture(model, split, evaluators(split, own)["validation"], own, CPU)
        found.append(result.probabilities["candidate"])
    assert found[0] != found[1]


class Range:
    """A cost over a space of numbers, each its own cost."""

    def __init__(self, smallest, largest):
        self.space = SimpleNamespace(smallest=lambda: smallest, largest=lambda: largest)

    def __call__(self, arch):
        return arch


@pytest.mark.parametrize(
    ("unit", "smallest", "expected"),
    [("largest", 60.0, 0.2), ("range", 60.0, 0.5), ("range", 100.0, 0.2), ("flops", 60.0, 20.0)],
)
@pytest.mark.parametrize("penalty", ["fixed", "dynamic"])
def test_what_lambda_is_relative_to(unit, smallest, expected, penalty):
    changes = {"cost_unit": unit, "penalty_weight": 0.2, "penalty": penalty}
    config = CONFIG.updated({"search": changes})
    # for costs over 100: 0.2 * 100 / (100 - 60), and 0.2 * 100 for costs as they are; no range of nothing
    found = searching.strategy_of(config, Range(smallest, 100.0))
    assert type(found) is DynamicConstraint and found.weight == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("strategy", ["dynamic-constraint", "darts"])
def test_architecture_steps_on_training_batches_see_every_user(data, monkeypatch, strategy):
    seen = {}

    class Spy(searching.Problem):
        def __init__(self, model, **given):
            seen.update(given)
            super().__init__(model, **given)

    monkeypatch.setattr(searching, "Problem", Spy)
    split = Split(data)
    # long enough for one window a user
    given = {"search.strategy": strategy, "search.epochs": 1, "search.architecture_data": "training"}
    config = CONFIG.updated(given | {"model.length": 12})
    model = supernet(config.model, split.items, True)
    searching.search_architecture(model, split, evaluators(split, config)["validation"], config, CPU)

    def rows(batches):
        return sorted(tuple(x for x in row if x) for batch in batches for row in batch.inputs.tolist())

    trained, architecture = rows(seen["train"](0)), rows(seen["held_out"](0))
    assert architecture == trained and len(architecture) == len(split.training)


def test_settings_and_options_reach_the_strategy_that_takes_them():
    cost = Range(60.0, 100.0)
    own = searching.strategy_of(CONFIG.updated({"search.relaxation": "tempered"}), cost)
    assert type(own.relaxation(SearchSettings())) is Tempered
    assert type(searching.strategy_of(CONFIG, cost).relaxation(SearchSettings())) is Gumbel
    pruned = searching.strategy_of(CONFIG.updated({"search.strategy": "recnas", "search.options": {"rounds": 3}}), cost)
    assert pruned.rounds == 3 and pruned.weight == pytest.approx(0.1)
    with pytest.raises(ConfigError, match=r"search\.options: darts does not take 'rounds'; it takes none"):
        searching.strategy_of(CONFIG.updated({"search.strategy": "darts", "search.options": {"rounds": 3}}), cost)
    with pytest.raises(
        PluginError, match=r"no plug-in 'easrec' in elasticnas\.strategies; installed are darts, dynamic-"
    ):
        searching.strategy_of(CONFIG.updated({"search.strategy": "easrec"}), cost)


@pytest.mark.parametrize(
    ("strategy", "options", "message"),
    [
        ("recnas", {"rounds": "x"}, "RecNAS: rounds: Input should be a valid integer, unable to parse string as an"),
        ("recnas", {"rounds": 1.5}, "RecNAS: rounds: Input should be a valid integer, got a number with a fractional"),
        ("spos", {"population": [9]}, r"SPOS: population: Input should be a valid integer \(got \[9\]\)"),
        ("needy", {}, r"Needy: size: Missing required argument"),
    ],
)
def test_options_of_a_wrong_type_are_one_line(monkeypatch, strategy, options, message):
    class Needy(Strategy):
        def __init__(self, size: int):
            self.size = size

        def search(self, problem, settings=None, run=None):
            raise NotImplementedError

    installed = searching.load_plugin
    monkeypatch.setattr(
        searching, "load_plugin", lambda group, name: Needy if name == "needy" else installed(group, name)
    )
    config = CONFIG.updated({"search.strategy": strategy, "search.options": options})
    with pytest.raises(ConfigError, match=rf"^search\.options: {message}") as raised:
        searching.strategy_of(config, Range(60.0, 100.0))
    assert "\n" not in str(raised.value)
