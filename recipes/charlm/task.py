"""The task: predict the next byte."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from charlm.config import Config
from charlm.corpus import Corpus
from charlm.model import GPT, scaled
from elasticnas.study import Task

__all__ = ["task"]


def task(config: Config, corpus: Corpus, device: torch.device) -> Task:
    """Cross entropy of the next byte on training windows; bits per byte on validation and test windows."""
    seed, length = config.study.seed, config.length
    held_out = {
        part: corpus.held_out(part, length, most).to(device)
        for part, most in (("validation", config.validation_windows), ("test", config.test_windows))
    }
    return Task(
        name="charlm",
        build=lambda sizes: GPT(sizes, length),
        scaled=scaled,
        loss=_loss,
        predict=lambda network, batch: network(batch[:, :-1]),
        train=lambda epoch: (batch.to(device) for batch in corpus.windows(length, config.batch, epoch, seed)),
        validate=lambda network: _bits(network, held_out["validation"], config.batch),
        test=lambda network: _bits(network, held_out["test"], config.batch),
        metric="bits per byte",
        maximise=False,
        example=torch.zeros(1, length, dtype=torch.long),
        facts={
            "text": f"{corpus.files:,} files",
            "train": f"{len(corpus.train):,} bytes",
            **{name: f"{windows.shape[0] * length:,} bytes evaluated" for name, windows in held_out.items()},
            "length": length,
            "batch": config.batch,
            "fingerprint": corpus.fingerprint[:12],
        },
    )


def _loss(network: nn.Module, windows: Tensor) -> Tensor:
    return F.cross_entropy(network(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())


def _bits(network: nn.Module, windows: Tensor, batch: int) -> dict[str, float]:
    nats = sum(float(_loss(network, part)) * len(part) for part in windows.split(4 * batch)) / len(windows)
    return {"bits per byte": nats / math.log(2)}
