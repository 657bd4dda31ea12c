"""Train a plain network with early stopping, resumable at any step."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from easrec.config import Config
from easrec.data import Batch, Sequences, Split, count_batches, training_batches
from easrec.evaluation import Evaluator
from easrec.losses import BatchLoss
from easrec.model import EASRec
from elasticnas.checkpoint import load_checkpoint, save_checkpoint
from elasticnas.errors import SearchError
from elasticnas.runtime import random_state, restore_random_state

__all__ = ["TrainProgress", "Trained", "epoch_batches", "learning_rate", "steered", "train"]


@dataclass(frozen=True)
class TrainProgress:
    """Where training is."""

    epoch: int
    epochs: int
    fraction: float
    loss: float
    metric: float
    seconds_left: float


@dataclass(frozen=True)
class Trained:
    """Outcome: the network holds the weights of the best epoch."""

    network: EASRec
    best_epoch: int
    epochs: int
    seconds: float
    history: list[dict[str, Any]]


def epoch_batches(
    sequences: Sequences, config: Config, batch: int, device: torch.device
) -> Callable[[int], Iterator[Batch]]:
    """A function from epoch number to its batches on the device."""

    def batches(epoch: int) -> Iterator[Batch]:
        train = config.train
        for item in training_batches(sequences, config.model.length, batch, train.unit, train.form, config.seed, epoch):
            yield item.to(device)

    return batches


def steered(report: Mapping[str, Mapping[str, float]], steer: str) -> float:
    """The metric that early stopping follows, ``"protocol/metric@k"``."""
    protocol, _, metric = steer.partition("/")
    return report[protocol][metric]


def learning_rate(step: int, steps: int, config: Config) -> float:
    """Learning rate at a step of retraining: constant, or linear warm-up and cosine to 0."""
    train = config.train
    if train.schedule == "constant":
        return train.learning_rate
    warmup = max(1, round(train.warmup * steps))
    if step < warmup:
        return train.learning_rate * (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    return train.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


class _Run:
    """State of a training that a checkpoint holds."""

    def __init__(self, network: EASRec, loss: BatchLoss, config: Config) -> None:
        self.network, self.loss = network, loss
        self.optimizer = torch.optim.Adam(network.parameters(), lr=config.train.learning_rate, fused=True)
        self.epoch, self.position, self.step, self.seconds = 0, 0, 0, 0.0
        self.losses: list[float] = []
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, torch.Tensor] = {}
        self.best_epoch = -1

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "position": self.position,
            "step": self.step,
            "seconds": self.seconds,
            "losses": self.losses,
            "history": self.history,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "random": random_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.position, self.step = state["epoch"], state["position"], state["step"]
        self.seconds, self.losses, self.history = state["seconds"], list(state["losses"]), list(state["history"])
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        restore_random_state(state["random"])


def train(
    network: EASRec,
    split: Split,
    validation: Evaluator,
    config: Config,
    device: torch.device,
    checkpoint: Path | None = None,
    resume: bool = False,
    identity: Mapping[str, Any] | None = None,
    progress: Callable[[TrainProgress], None] | None = None,
) -> Trained:
    """Train on all users' training parts; stop early by the validation metric; keep the best weights.

    Args:
        network: A plain network, trained in place.
        split: Leave-one-out split.
        validation: Steers early stopping.
        config: The run's settings.
        device: Where it runs.
        checkpoint: Written every few steps.
        resume: Take up the checkpoint where there is one.
        identity: What the checkpoint must agree with.
        progress: Called after every step.

    Raises:
        SearchError: The loss is not finite.
        CheckpointError: The checkpoint is damaged or belongs to another run.
    """
    settings = config.train
    who = {"config": config.model_dump(mode="json"), **(identity or {})}
    run = _Run(network.to(device), BatchLoss(settings, split.training.counts(split.items)), config)
    if checkpoint is not None and resume and checkpoint.exists():
        run.load_state_dict(load_checkpoint(checkpoint, who))
    batches = epoch_batches(split.training, config, settings.batch, device)
    per_epoch = count_batches(
        split.training, config.model.length, settings.batch, settings.unit, settings.form, config.seed
    )
    steps = per_epoch * settings.epochs
    # the clock counts this process's share; a checkpoint carries the rest
    before, started, first = run.seconds, time.perf_counter(), run.step

    def save() -> None:
        run.seconds = before + time.perf_counter() - started
        if checkpoint is not None:
            save_checkpoint(checkpoint, run.state_dict(), who)

    while run.epoch < settings.epochs and not _exhausted(run, config):
        network.train()
        for position, batch in enumerate(batches(run.epoch)):
            if position < run.position:
                continue
            loss = _step(run, batch, learning_rate(run.step, steps, config), config)
            run.losses.append(loss)
            run.position, run.step = position + 1, run.step + 1
            if run.step % config.checkpoint_steps == 0:
                save()
            if progress is not None:
                pace = (time.perf_counter() - started) / (run.step - first)
                best = max((h["metric"] for h in run.history), default=math.nan)
                left = pace * max(0, steps - run.step)
                progress(TrainProgress(run.epoch, settings.epochs, position / per_epoch, loss, best, left))
        run.epoch, run.position = run.epoch + 1, 0
        if run.epoch % settings.validate_every == 0 or run.epoch == settings.epochs:
            run.seconds = before + time.perf_counter() - started
            _validate(run, validation, config, device)
            save()
    network.load_state_dict(run.best)
    network.eval()
    run.seconds = before + time.perf_counter() - started
    return Trained(network, run.best_epoch, run.epoch, run.seconds, run.history)


def _step(run: _Run, batch: Batch, rate: float, config: Config) -> float:
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    loss = run.loss(run.network, batch)
    if not bool(torch.isfinite(loss)):
        raise SearchError(f"the training loss is {float(loss.detach())} at step {run.step}: lower train.learning_rate")
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if config.train.clip_norm is not None:
        nn.utils.clip_grad_norm_(run.network.parameters(), config.train.clip_norm)
    run.optimizer.step()
    return float(loss.detach())


def _validate(run: _Run, validation: Evaluator, config: Config, device: torch.device) -> None:
    run.network.eval()
    report = validation.evaluate(run.network.next_item, device)
    metric = steered(report, config.steer)
    better = all(metric > record["metric"] for record in run.history)
    run.history.append(
        {
            "epoch": run.epoch,
            "loss": sum(run.losses) / len(run.losses),
            "metric": metric,
            "seconds": run.seconds,
            "validation": {p: {m: v for m, v in values.items() if m.endswith("@10")} for p, values in report.items()},
        }
    )
    run.losses = []
    if better:
        run.best = {name: value.detach().cpu().clone() for name, value in run.network.state_dict().items()}
        run.best_epoch = run.epoch


def _exhausted(run: _Run, config: Config) -> bool:
    """Whether the last validations brought nothing."""
    since = [record for record in run.history if record["epoch"] > run.best_epoch]
    return len(since) >= config.train.patience
