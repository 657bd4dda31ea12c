"""A typed user's cost, strategy, search, extraction and files: what the checkers must accept."""

import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from typing_extensions import TypeVar, assert_type

import elasticnas
from elasticnas.cost import Budget, Cost, Flops, most_probable
from elasticnas.run import Run
from elasticnas.search import (
    BilevelSearcher,
    Candidate,
    DynamicConstraint,
    Fixed,
    GradientStrategy,
    Penalty,
    Problem,
    RandomSearch,
    Relaxation,
    ScoreOptions,
    SearchResult,
    SearchSettings,
    Softmax,
    Strategy,
)
from elasticnas.space import Factory
from tests.typed.network import Encoder, Net, arch, supernet

S = TypeVar("S", bound=elasticnas.Space)
Batch = tuple[Tensor, Tensor]


class Depth(Cost[Encoder]):
    """A cost of one space."""

    unit = "layers"

    def compute(self, arch: Encoder) -> float:
        return float(sum(arch.keep))


class Choices(Cost[S]):
    """A cost of any space."""

    unit = "choices"

    def compute(self, arch: S) -> float:
        return float(len(self.space.present(arch)))


class Greedy(Strategy):
    name = "greedy"

    def search(
        self, problem: Problem[S], settings: SearchSettings | None = None, run: Run | None = None
    ) -> SearchResult[S]:
        return RandomSearch().search(problem, settings, run)


class Plain(GradientStrategy):
    name = "plain"

    def relaxation(self, settings: SearchSettings) -> Relaxation:
        return Softmax()

    def penalty(self, problem: Problem) -> Penalty:
        return Fixed(0.1)


def loss(model: nn.Module, batch: Batch) -> Tensor:
    return nn.functional.mse_loss(model(batch[0]), batch[1])


def batches(epoch: int) -> Iterator[Batch]:
    x = torch.randn(3, 4, 5, 3, generator=torch.Generator().manual_seed(epoch))
    return zip(x, x.sum(-1, keepdim=True), strict=True)


def accuracy(model: nn.Module) -> Mapping[str, float]:
    return {"accuracy": 1.0 if model.training else 0.0}


example = torch.zeros(1, 5, 3)
flops: Cost[Encoder] = Flops(supernet, example)
assert_type(Flops[Encoder](supernet, example), Flops[Encoder])
assert_type(flops.table().base, Encoder)
assert_type(Budget.parse("50%", flops), Budget[Encoder])
assert_type(most_probable(Encoder, {"hidden": example}), Encoder)
problem = Problem(
    supernet, loss, batches, batches, {"flops": flops, "layers": Depth(supernet)}, budgets={"flops": "50%"}
)
assert_type(problem, Problem[Encoder])
by_name = Problem[Encoder](supernet, evaluate=accuracy, metric="accuracy", direction="maximise")

result = DynamicConstraint().search(problem, SearchSettings(steps=2))
assert_type(result, SearchResult[Encoder])
assert_type(result.best, Encoder)
assert_type(result.best.hidden, Literal[32, 16, 8])
assert_type(result.found, Candidate[Encoder])
assert_type(result.pareto[0].architecture.keep, tuple[bool, ...])
assert_type(Greedy().search(by_name).best, Encoder)
assert_type(Plain().search(problem).best, Encoder)
assert_type(BilevelSearcher(problem).run().best, Encoder)
scored = ScoreOptions(trained=True).search(problem)
assert scored.scores is not None
assert_type(scored.scores.best([Budget.parse("50%", flops)]), Encoder)
assert_type(scored.scores.front(flops), tuple[Encoder, ...])
assert_type(SearchResult.from_dict(result.to_dict(), Encoder), SearchResult[Encoder])

network = elasticnas.extract(supernet, result.best, example)
assert_type(network, Net)
elasticnas.save(network, result.best, Path("net"))
assert_type(elasticnas.load("net", Net), Net)
assert_type(Factory(Net, Encoder)(arch), Net)
assert_type(Encoder.sample(random.Random(0)), Encoder)


class Widths(elasticnas.Space):
    hidden: Literal[8, 4]


def build(hidden: int) -> nn.Linear:
    return nn.Linear(hidden, hidden)


elastic = elasticnas.elastify(build, Widths)
assert_type(elastic, elasticnas.ElasticModel[Widths, nn.Linear])
assert_type(elastic.network, nn.Linear)
assert_type(elasticnas.bind(elastic, Widths(hidden=4)), nn.Linear)
assert_type(elasticnas.extract(elastic, Widths.smallest()), nn.Linear)
found = Greedy().search(Problem[Widths](elastic, loss, batches, costs={"flops": Flops(elastic, example)}))
assert_type(found.best, Widths)
runs: Callable[[Tensor], Tensor] = elastic
