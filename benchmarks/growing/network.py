"""Training steps, evaluation and recommendations by users, items, positions, depth and candidates."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from speed.interactions import random_split
from speed.long_sequences import attention
from speed.scale import Scale
from speed.step import Step

from easrec.artifact import Recommender
from easrec.config import Config, ModelConfig, TrainConfig
from easrec.data import Batch
from easrec.evaluation import Evaluator
from easrec.losses import BatchLoss
from easrec.model import EASRecModel, build, supernet
from easrec.space import space_for
from elasticnas import axes_of
from growing.line import Line

__all__ = ["CANDIDATES", "DEPTH", "ITEMS", "POSITIONS", "USERS"]

_SCALE = Scale(hidden=64, inner=128, length=50, layers=2)
_WINDOWS = 8
_ASKED = 64  # users who get recommendations from a large catalogue


def _network(config: ModelConfig, items: int) -> EASRecModel:
    return build(config, items, space_for(config).largest(), True)


def _plain(**changes: Any) -> ModelConfig:
    return _SCALE.config(gate_layers=0, attention="softmax", **changes)


def _batch(items: int) -> Batch:
    draw = partial(torch.randint, 1, items + 1, (_WINDOWS, _SCALE.length))
    return Batch(draw(), draw())


def _step(model: EASRecModel, items: int, scope: Any = None, loss: Literal["softmax", "sampled"] = "softmax") -> Step:
    counts = np.ones(items + 1, dtype=np.int64)
    return Step(model, BatchLoss(TrainConfig(loss=loss), counts), _batch(items), scope)


def _evaluation(users: int) -> Callable[[], object]:
    split, network = random_split(_SCALE, users), _network(_plain(), _SCALE.items).eval()
    evaluator = Evaluator(split.history("test"), split.targets("test"), None, _SCALE.length, items=split.items)
    return lambda: evaluator.evaluate(network.next_item, protocols=("full", "unseen"))


def _recommendation(users: int, items: int) -> Callable[[], object]:
    config, names = _plain(), ["", *map(str, range(1, items + 1))]
    arch = space_for(config).largest()
    recommender = Recommender(_network(config, items), arch, Config(model=config), names)
    histories = [list(map(str, row)) for row in torch.randint(1, items + 1, (users, _SCALE.length)).tolist()]
    return lambda: recommender.recommend(histories, 10)


def _training(loss: Literal["softmax", "sampled"], items: int) -> Step:
    return _step(_network(_plain(), items), items, loss=loss)


def _deep(layers: int) -> Step:
    return _step(_network(_plain(layers=layers), _SCALE.items), _SCALE.items)


def _relaxed(layers: int, candidates: int, mixing: Literal["block", "mask"]) -> Step:
    """Return a step of a supernet with all options in use."""
    fractions = tuple(each / 16 for each in range(candidates))
    config = _plain(layers=layers, mixing=mixing, hidden_pruning=fractions, inner_pruning=fractions)
    model = supernet(config, _SCALE.items, True)
    axes = axes_of(model)
    uniform = {name: torch.full((len(options),), 1 / len(options)) for name, options in axes.space.choices().items()}
    return _step(model, _SCALE.items, partial(axes.relaxed, uniform))


def _attention(kind: Literal["linrec", "softmax"], length: int) -> Callable[[], None]:
    return attention(_SCALE, kind, length)


_USERS = (500, 1_000, 2_000, 4_000, 8_000)
_ITEMS = (3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
_POSITIONS = (50, 200, 1_000, 5_000, 20_000)
_DEPTHS = (1, 2, 4, 8, 16)

USERS = (
    Line("evaluation, `full` and `unseen`", "users", _USERS, _evaluation, 1),
    Line("10 recommendations to each", "users", _USERS, lambda users: _recommendation(users, _SCALE.items), 1),
)
ITEMS = (
    Line("training step, softmax over all items", "items", _ITEMS, partial(_training, "softmax"), 1),
    Line("training step, sampled softmax", "items", _ITEMS, partial(_training, "sampled")),
    Line(f"10 recommendations to {_ASKED} users", "items", _ITEMS, partial(_recommendation, _ASKED), 1),
)
POSITIONS = (
    Line("LinRec, forward and backward", "N", _POSITIONS, partial(_attention, "linrec"), 1),
    Line("softmax attention, forward and backward", "N", _POSITIONS, partial(_attention, "softmax"), 2),
)
DEPTH = (
    Line("training step of a plain network", "layers", _DEPTHS, _deep, 1),
    Line("training step of a supernet, soft masks", "layers", _DEPTHS, lambda n: _relaxed(n, 3, "mask"), 1),
    Line("training step of a supernet, mixed by block", "layers", _DEPTHS, lambda n: _relaxed(n, 3, "block"), 1),
)
CANDIDATES = (
    Line("training step, soft masks", "candidates", (1, 2, 4, 8), lambda n: _relaxed(4, n, "mask"), 0),
    Line("training step, mixed by block", "candidates", (1, 2, 4, 8), lambda n: _relaxed(4, n, "block"), 1),
)
