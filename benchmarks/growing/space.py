"""Probing, proof, cost and scores of a model with a choice in each of its layers."""

from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, Literal

import torch
from torch import nn

from elasticnas import PerLayer, Space, elastify, extract
from elasticnas.cost import Flops, Params
from elasticnas.search import Problem, ScoreOptions, SearchSettings
from growing.line import Line

__all__ = ["LAYERS"]

_HIDDEN = 32
_INPUT = torch.randn(4, 16, _HIDDEN, generator=torch.Generator().manual_seed(0))


def _space(layers: int) -> type[Space]:
    class Sizes(Space):
        """The inner size of every layer."""

        inner: Annotated[tuple[Literal[64, 48, 32], ...], PerLayer(layers)]

    return Sizes


def _build(inner: tuple[int, ...]) -> nn.Module:
    return nn.Sequential(*(nn.TransformerEncoderLayer(_HIDDEN, 4, each, batch_first=True) for each in inner))


def _probing(layers: int) -> Callable[[], object]:
    space = _space(layers)
    return lambda: elastify(_build, space, example=_INPUT)


@lru_cache
def _elastic(layers: int) -> Any:
    return elastify(_build, _space(layers), example=_INPUT).eval()


def _proof(layers: int) -> Callable[[], object]:
    model = _elastic(layers)
    arch = model.space.smallest()
    return lambda: extract(model, arch, _INPUT)


def _cost(layers: int) -> Callable[[], object]:
    model = _elastic(layers)
    arch = model.space.smallest()
    return lambda: Flops(model, _INPUT)(arch)  # a new cost, because values are kept


def _scores(layers: int) -> Callable[[], object]:
    def evaluate(network: Any) -> dict[str, float]:
        return {"mean": float(network(_INPUT).mean())}

    model = _elastic(layers)
    problem = Problem(model, costs={"params": Params(model)}, evaluate=evaluate, metric="mean", direction="maximise")
    strategy = ScoreOptions(best=1, held_out=0, trained=True)
    return lambda: strategy.search(problem, SearchSettings(random_architectures=1))


_LAYERS = (2, 4, 8, 16)

LAYERS = (
    Line("elastify: probing and proof of layouts", "layers", _LAYERS, _probing),
    Line("extract, with its check", "layers", _LAYERS, _proof, 1),
    Line("FLOPs of one architecture", "layers", _LAYERS, _cost, 1),
    Line("scores of all options (3 a layer)", "layers", _LAYERS, _scores, 2),
)
