"""parts: what a comparison of searches on prepared interactions is made of, without files and console."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from easrec.config import Config, ModelConfig
from easrec.data import Interactions, Split
from easrec.evaluation import Evaluator
from easrec.evaluation.metrics import per_user
from easrec.model import EASRecModel, build, supernet
from easrec.pipeline import evaluators
from easrec.searching import problem_of
from easrec.times import require_times
from elasticnas.errors import ConfigError
from elasticnas.search import Problem

__all__ = ["Parts", "parts", "scaled_sizes"]

_DEPTH = 2  # layers of the uniformly scaled network
_RATIO = 2  # its inner size, divided by its hidden size


@dataclass(frozen=True)
class Parts:
    """The arguments of :class:`elasticnas.study.Study`, which other comparisons need too.

    Attributes:
        problem: The supernet with initial weights, loss, batches, the metric on validation targets, and FLOPs.
        build: Builds the plain network of an architecture or of a result of ``scaled``, with random weights.
        scaled: Returns the sizes of the uniformly scaled network for a factor in (0, 1]: see :func:`scaled_sizes`.
        test: Returns the metric of each test user, in the order of the users, by the metric's name.
        example: A full sequence ``(1, N)``, with its times if they are used, to count FLOPs and to check extraction.
    """

    problem: Problem[Any]
    build: Callable[[Any], EASRecModel]
    scaled: Callable[[float], SimpleNamespace]
    test: Callable[[Any], Mapping[str, NDArray[np.float64]]]
    example: tuple[Tensor | None, ...]


def parts(data: Interactions, config: Config, seed: int, device: torch.device | None = None) -> Parts:
    """Return the parts of a comparison over the wide space.

    Args:
        data: Prepared interactions.
        config: Settings with ``model.space=wide``; the metric is ``early_stopping_metric``, such as
            ``unseen/ndcg@10``, on validation targets in the problem and on test targets in ``test``.
        seed: Seed of initial weights, batches and negatives, in place of that of the settings.
        device: Device of supernet and batches; None for the CPU.

    Raises:
        BudgetError: No architecture meets the budget.
        ConfigError: ``model.space`` is not wide, or the network uses features or times and the data has none.
        DataError: Fewer than two users have enough interactions to train on.
    """
    if config.model.space != "wide":
        raise ConfigError(f"model.space={config.model.space}: the parts of a comparison need model.space=wide")
    split, where = Split(data, config.model.uses_times), device or torch.device("cpu")
    require_times(config.model, data)
    config = config.updated({"seed": seed})
    features, causal = data.features, config.train.form == "causal"
    found = evaluators(split, config)

    torch.manual_seed(seed)
    model = supernet(config.model, split.items, causal, features)
    problem = problem_of(model, split, found["validation"], config, where)
    problem.limits()
    return Parts(
        problem,
        lambda sizes: build(config.model, split.items, sizes, causal, features),
        lambda factor: scaled_sizes(config.model, factor),
        lambda network: _of_users(network, found["test"], config.early_stopping_metric),
        model.example(torch.ones(1, config.model.length, dtype=torch.long)),
    )


def scaled_sizes(model: ModelConfig, factor: float) -> SimpleNamespace:
    """Return the sizes of a hand-made network: two equal layers without gates, all widths times ``factor``.

    The attention is as wide as the network, up to a whole number of heads, and the inner size is twice the hidden
    size, as in the paper. Kind of scores and bias by time are those of the largest network of the space. At 1 the
    network has more FLOPs than that network, so that some factor gives any number of FLOPs.
    """
    wide = model.wide
    widest = max(wide.hidden) * max(2.0, model.layers / _DEPTH)
    hidden = max(1, round(factor * widest))
    kind = "softmax" if "softmax" in wide.attention else wide.attention[0]
    each = {
        "attention": kind,
        "heads": max(1, round(hidden / wide.head_dim)),
        "inner": _RATIO * hidden,
        "gates": 0,
    }
    whole: dict[str, Any] = ({"scores": wide.scores[0]} if wide.scores else {}) | (
        {"time_bias": True} if wide.time_bias else {}
    )
    layers = {name: (value,) * _DEPTH for name, value in each.items()}
    return SimpleNamespace(hidden=hidden, depth=_DEPTH, **whole, **layers)


def _of_users(network: Any, test: Evaluator, metric: str) -> dict[str, NDArray[np.float64]]:
    protocol, _, name = metric.partition("/")
    kind, _, cutoff = name.partition("@")
    device = next(network.parameters()).device
    network.eval()
    report = test.evaluate(network.next_item, device, protocols=[protocol])
    return {metric: per_user(report.ranks[protocol], kind, int(cutoff))}
