"""Search an unchanged torch transformer: elastify, train, search, extract, save.

``python examples/elastify_transformer.py`` takes about twenty seconds and needs Optuna
(``pip install '.[evolve]'``). The task: does 3 occur in a sequence before the first 7?
"""

from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import elasticnas
from elasticnas.cost import Flops
from elasticnas.search import Evolve, Problem, SearchResult, SupernetTrainer, TrainerSettings

TOKENS, LENGTH = 10, 12


class Sizes(elasticnas.Space):
    hidden: Literal[64, 48, 32]
    inner: Literal[128, 96, 64]
    depth: Literal[3, 2, 1]


def build(hidden: int, inner: int, depth: int) -> nn.Module:
    layer = nn.TransformerEncoderLayer(hidden, 4, inner, dropout=0.0, batch_first=True, norm_first=True)
    encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
    return nn.Sequential(nn.Embedding(TOKENS, hidden), encoder, nn.Flatten(), nn.Linear(LENGTH * hidden, 2))


def batch(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    ids = torch.randint(TOKENS, (64, LENGTH), generator=generator)
    # argmax of all zeros is 0: a missing token counts as position 0
    return ids, ((ids == 3).int().argmax(1) < (ids == 7).int().argmax(1)).long()


def epoch(number: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(number)
    return [batch(generator) for _ in range(50)]


HELD_OUT = epoch(-1)[:8]


def accuracy(model: nn.Module) -> dict[str, float]:
    hits = [(model(ids).argmax(-1) == target).float().mean() for ids, target in HELD_OUT]
    return {"accuracy": float(torch.stack(hits).mean())}


def main(steps: int = 200, trials: int = 15, folder: Path = Path("runs/elastified")) -> SearchResult:
    torch.manual_seed(0)
    model = elasticnas.elastify(build, Sizes, example=HELD_OUT[0][0][:2])
    print(model.coverage())  # which units a sub-network keeps of every tensor

    def loss(network: nn.Module, data: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(network(data[0]), data[1])

    problem = Problem(
        model,
        loss,
        epoch,
        costs={"flops": Flops(model, HELD_OUT[0][0][:1])},
        evaluate=accuracy,
        metric="accuracy",
        direction="maximise",
        budgets={"flops": "50%"},
    )
    SupernetTrainer(problem, TrainerSettings(steps=steps, random_architectures=1)).run()
    result = Evolve(trials=trials, population=5).search(problem)
    print(result)

    network = elasticnas.extract(
        model, result.best, HELD_OUT[0][0]
    )  # torch's own classes, verified against the supernet
    elasticnas.save(network, result.best, folder)
    loaded = elasticnas.load(folder, lambda a: build(a.hidden, a.inner, a.depth))
    print(f"accuracy of the loaded network: {accuracy(loaded.eval())['accuracy']:.3f}")
    return result


if __name__ == "__main__":
    main()
