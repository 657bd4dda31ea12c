"""The study of next-byte prediction."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from elasticnas.search import Problem
from elasticnas.study import Study
from elasticnas_recipes.charlm.config import Config
from elasticnas_recipes.charlm.corpus import Corpus
from elasticnas_recipes.charlm.model import GPT, Sizes, scaled

__all__ = ["study"]

_METRIC = "bits per byte"


def study(config: Config, corpus: Corpus, device: torch.device) -> tuple[Study, dict[str, Any]]:
    """Return the study, with bits per byte as the metric, and facts of the data."""
    seed, length = config.study.seed, config.length
    held_out = {
        part: corpus.held_out(part, length, most).to(device)
        for part, most in (("validation", config.validation_windows), ("test", config.test_windows))
    }
    torch.manual_seed(seed)
    problem = Problem(
        GPT(Sizes.axes(), length).to(device),
        loss=_loss,
        predict=lambda network, batch: network(batch[:, :-1]),
        train=lambda epoch: (batch.to(device) for batch in corpus.windows(length, config.batch, epoch, seed)),
        evaluate=lambda network: {_METRIC: float(_bits(network, held_out["validation"], config.batch).mean())},
        metric=_METRIC,
        direction="minimise",
    )
    made = Study(
        problem,
        lambda sizes: GPT(sizes, length),
        scaled,
        lambda network: {_METRIC: _bits(network, held_out["test"], config.batch)},
        torch.zeros(1, length, dtype=torch.long),
        config.study,
        name="charlm",
    )
    return made, {
        "text": f"{corpus.files:,} files",
        "train": f"{len(corpus.train):,} bytes",
        **{name: f"{windows.shape[0] * length:,} bytes evaluated" for name, windows in held_out.items()},
        "length": length,
        "batch": config.batch,
        "fingerprint": corpus.fingerprint[:12],
    }


def _loss(network: nn.Module, windows: Tensor) -> Tensor:
    return F.cross_entropy(network(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())


def _bits(network: nn.Module, windows: Tensor, batch: int) -> Tensor:
    """Compute the bits per byte of each window, ``(n,)``; the metric is their mean."""

    def nats(part: Tensor) -> Tensor:
        logits = network(part[:, :-1]).transpose(1, 2)
        return F.cross_entropy(logits, part[:, 1:], reduction="none").mean(1)

    return torch.cat([nats(part) for part in windows.split(4 * batch)]).double() / math.log(2)
