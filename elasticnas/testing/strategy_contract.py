"""StrategyContract: the tests that every search strategy must pass, as a pytest class to inherit."""

import json
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor, nn

import elasticnas.nn as enn
from elasticnas.cost import Flops
from elasticnas.errors import BudgetError, CheckpointError, SearchError
from elasticnas.run import Progress, Run
from elasticnas.search import Problem, SearchResult, SearchSettings, Strategy
from elasticnas.space import Space

__all__ = ["StrategyContract"]

_TARGET = torch.randn(4, 4, generator=torch.Generator().manual_seed(9))


class Planted(Space):
    """A space with one choice that matters: ``blind`` only gets the input's absolute value, but the target is odd."""

    sight: Literal["blind", "seeing"]
    inner: Literal[8, 4, 2]
    depth: Literal[2, 1]


class _Sight(nn.Module):
    def __init__(self, blind: bool) -> None:
        super().__init__()
        self.blind, self.linear = blind, nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.abs() if self.blind else x)  # type: ignore[no-any-return]


class _Net(nn.Module):
    def __init__(self, axes: Any) -> None:
        super().__init__()
        self.sight = enn.Mixture({"blind": _Sight(True), "seeing": _Sight(False)}, axes.sight)
        layers = [enn.FeedForward(4, axes.inner, activation="tanh", dropout=0.1) for _ in range(2)]
        self.layers = enn.Stack(layers, axes.depth)

    def forward(self, x: Tensor) -> Tensor:
        x = self.sight(x)
        return x + self.layers(x)  # type: ignore[no-any-return]


def _batches(kind: str) -> Any:
    """Return batches that are strings, so that code fails that indexes them or moves them to a device."""

    def epoch(number: int) -> Iterator[str]:
        return (f"{kind} {number} {position}" for position in range(4))

    return epoch


def _loss(model: nn.Module, batch: Any) -> Tensor:
    kind, number, position = batch.split()
    seed = 10_000 * ["train", "held-out"].index(kind) + 10 * int(number) + int(position)
    x = torch.randn(32, 4, generator=torch.Generator().manual_seed(seed))
    return (model(x) - torch.tanh(x @ _TARGET)).square().mean()  # type: ignore[no-any-return]


_FULL_RUNS: dict[tuple[type, bool], tuple[SearchResult[Any], list[Progress]]] = {}


class _KilledError(BaseException):
    pass


class StrategyContract(ABC):
    """Contract tests of a search strategy, on a small supernet with a planted best option; a subclass defines which.

    Attributes:
        settings: Settings of the searches, with enough steps to find the planted option.
        short: Changes to the settings for tests that do not need to find it.
        learns_probabilities: Whether the result has probabilities of the options, as in a gradient search.
    """

    settings: ClassVar[SearchSettings] = SearchSettings(
        steps=80,
        update_every=2,
        weight_lr=0.02,
        architecture_lr=0.1,
        evaluate_every=40,
        random_architectures=8,
        checkpoint_every=7,
        seed=3,
    )
    short: ClassVar[dict[str, Any]] = {"steps": 20, "evaluate_every": 10}
    learns_probabilities: ClassVar[bool] = True

    @abstractmethod
    def strategy(self) -> Strategy:
        """Return a new strategy, so that no search depends on an earlier one."""

    def problem(self, budget: "str | float | None" = None, **changes: Any) -> Problem:
        """Return the planted problem with a new supernet."""
        torch.manual_seed(0)
        model = _Net(Planted.axes())
        arguments = {"loss": _loss, "train": _batches("train"), "held_out": _batches("held-out"), **changes}
        costs = {"flops": Flops(model, torch.zeros(1, 4))}
        return Problem(model, costs=costs, budgets=None if budget is None else {"flops": budget}, **arguments)

    def run(
        self, problem: Problem, changes: "dict[str, Any] | None" = None, run: "Run | None" = None
    ) -> SearchResult[Any]:
        """Run a search with warnings silenced."""
        settings = self.settings.model_copy(update=changes or {})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.strategy().search(problem, settings, run)

    def _full_run(self, short: bool = False) -> tuple[SearchResult[Any], list[Progress]]:
        """Return an uninterrupted search and its progress, run once for all tests of a class."""
        key = (type(self), short)
        if key not in _FULL_RUNS:
            seen: list[Progress] = []
            run = Run(progress=seen.append)
            _FULL_RUNS[key] = self.run(self.problem("80%"), self.short if short else {}, run), seen
        return _FULL_RUNS[key]

    def test_finds_the_planted_option_within_the_budget(self) -> None:
        """The search finds the option that can learn the target, and its cost is within the budget."""
        result, _ = self._full_run()
        problem = self.problem("80%")
        assert result.best.sight == "seeing"
        if self.learns_probabilities:  # found by learning, not by chance
            assert result.probabilities["sight"][1] > 0.6
        flops = Flops(problem.model, torch.zeros(1, 4))
        limit = 0.8 * flops(Planted.largest())
        assert flops(result.best) == result.found.costs["flops"] <= limit == result.limits["flops"]
        assert result.units == {"flops": "FLOPs"} and result.steps == self.settings.steps and result.seconds > 0

    def test_without_a_budget_every_architecture_is_allowed(self) -> None:
        """A search without a budget returns a result without limits."""
        assert self.run(self.problem(), {"steps": 8}).limits == {}

    def test_random_search_stands_beside(self) -> None:
        """The result includes a random search within the same budget, on the same supernet, by the same metric."""
        result, _ = self._full_run()
        tried = result.random_tried
        assert len(tried) == len({candidate.architecture for candidate in tried}) >= 1
        limit = result.limits["flops"]
        assert all(candidate.costs["flops"] <= limit for candidate in [*tried, *result.pareto, *result.tried])
        assert result.random in tried
        assert result.random.metrics["loss"] == min(candidate.metrics["loss"] for candidate in tried)
        # evaluations above the budget count, too, although ``tried`` may lack them
        evaluated = sum("evaluated" in record for record in result.history) + len(result.failures)
        assert not result.tried or len(tried) <= max(len(result.tried), evaluated)

    def test_an_impossible_budget_is_told_before_the_training(self) -> None:
        """The error names the smallest reachable cost, and is raised before any batch is requested."""

        def unused(epoch: int) -> Any:
            raise AssertionError("a batch was requested")

        with pytest.raises(BudgetError, match="smallest reachable cost") as raised:
            self.run(self.problem("1%", train=unused, held_out=unused))
        assert "\n" not in str(raised.value)

    def test_a_seed_reproduces_the_search(self) -> None:
        """Two searches with the same seed give the same result."""
        assert _comparable(self.run(self.problem("80%"), self.short)) == _comparable(self._full_run(short=True)[0])

    @pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
    def test_stopping_anywhere_and_resuming_changes_nothing(self, share: float, tmp_path: Path) -> None:
        """A search killed early, in the middle or at the end, and then resumed, gives the same result."""
        full, seen = self._full_run(short=True)
        remaining = [round(share * (len(seen) - 1))]

        def kill(progress: Progress) -> None:
            remaining[0] -= 1
            if remaining[0] < 0:
                raise _KilledError

        with pytest.raises(_KilledError):
            self.run(self.problem("80%"), self.short, Run(tmp_path / "run", progress=kill))
        torch.randn(5)  # the resumed search must not depend on the state of the global generator
        resumed = self.run(self.problem("80%"), self.short, Run(tmp_path / "run", resume=True))
        assert _comparable(resumed) == _comparable(full)

    def test_stopping_in_an_evaluation_and_resuming_changes_nothing(self, tmp_path: Path) -> None:
        """A search killed in the last evaluation, by the caller's function, and then resumed, gives the same result."""
        calls: list[float] = []

        def counted(model: nn.Module) -> dict[str, float]:
            with torch.no_grad():
                calls.append(float(torch.stack([_loss(model, batch) for batch in _batches("held-out")(0)]).mean()))
            if len(calls) == last:
                raise _KilledError
            return {"loss": calls[-1]}

        changes, last = {"evaluate": counted, "metric": "loss", "direction": "minimise"}, 0
        full = self.run(self.problem("80%", **changes), self.short)
        last = len(calls)
        calls.clear()
        with pytest.raises(_KilledError):
            self.run(self.problem("80%", **changes), self.short, Run(tmp_path / "run"))
        last = 0
        resumed = self.run(self.problem("80%", **changes), self.short, Run(tmp_path / "run", resume=True))
        assert _comparable(resumed) == _comparable(full)

    def test_a_checkpoint_of_other_data_is_refused(self, tmp_path: Path) -> None:
        """Resuming with a different identity of the run is an error."""
        self.run(self.problem(), {"steps": 4}, Run(tmp_path / "run", identity={"data": "one"}))
        with pytest.raises(CheckpointError, match="data was 'one', is 'two'"):
            self.run(self.problem(), {"steps": 4}, Run(tmp_path / "run", resume=True, identity={"data": "two"}))

    def test_a_loss_that_is_not_a_number_is_one_clear_line(self) -> None:
        """The error names the loss and the step."""

        def loss(model: nn.Module, batch: Any) -> Tensor:
            return _loss(model, batch) * (math.nan if batch == "train 1 1" else 1.0)

        with pytest.raises(SearchError, match=r"loss .*is nan at step 5: ") as raised:
            self.run(self.problem(loss=loss))
        assert "\n" not in str(raised.value)

    def test_the_result_goes_to_json_and_its_history_is_whole(self) -> None:
        """The result converts to JSON; a gradient search records the entropy of its choices at each step."""
        result, seen = self._full_run()
        data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
        assert data["found"]["architecture"] == result.best.model_dump(mode="json")
        assert result.history and [p.step for p in seen] == list(range(1, seen[-1].steps + 1))
        assert bool(result.probabilities) == self.learns_probabilities
        if self.learns_probabilities:
            assert result.probabilities.keys() == Planted.choices().keys()
            assert all(math.isclose(sum(p), 1.0, rel_tol=1e-5) for p in result.probabilities.values())
            for record in result.history:
                assert {"temperature", "expected_cost", "held_out_loss"} <= record.keys()
                assert all(0 <= record["entropy"][name] <= 1 + 1e-6 for name in Planted.choices())

    def test_an_early_collapse_is_reported(self) -> None:
        """A gradient search whose probabilities collapse in the first steps reports a warning."""
        result = self.run(self.problem(), {"steps": 20, "architecture_lr": 30.0})
        if self.learns_probabilities:
            assert any("collapsed to one option by step" in line for line in result.warnings)


def _comparable(result: SearchResult[Any]) -> dict[str, Any]:
    return {key: value for key, value in result.to_dict().items() if key != "seconds"}
