"""Train a plain network with early stopping, resumable at any step."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from easrec.config import Config
from easrec.data import Batch, Sequences, Split, count_batches, training_batches
from easrec.evaluation import Evaluator
from easrec.losses import BatchLoss
from easrec.model import EASRec
from elasticnas.run import Run, drive
from elasticnas.search import PlainTraining

__all__ = ["Trained", "epoch_batches", "learning_rate", "steered", "train"]


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


class _Epochs:
    """Plain training in epochs, validated between them; the weights of the best are kept."""

    def __init__(
        self, network: EASRec, split: Split, validation: Evaluator, config: Config, device: torch.device
    ) -> None:
        self.network, self.config, self._validation, self._device = network, config, validation, device
        train = config.train
        self._sequences = split.training
        self._in_epoch = self._count(0)
        self.steps = steps = self._in_epoch * train.epochs
        self._training = PlainTraining(
            network,
            BatchLoss(train, split.training.counts(split.items)),
            epoch_batches(split.training, config, train.batch, device),
            steps=steps,
            rate=lambda step: learning_rate(step, steps, config),
            clip_norm=train.clip_norm,
            seed=config.seed,
            identity={"config": config.model_dump(mode="json")},
        )
        self.identity = self._training.identity
        self.epoch = self.step = 0
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, torch.Tensor] = {}
        self.best_epoch = -1
        self._losses: list[float] = []

    @property
    def done(self) -> bool:
        """Whether all epochs are over, or the last validations brought nothing."""
        since = [record for record in self.history if record["epoch"] > self.best_epoch]
        return self.epoch >= self.config.train.epochs or len(since) >= self.config.train.patience

    def advance(self) -> dict[str, Any]:
        """One batch, and the validation where it ends an epoch."""
        figures = self._training.advance()
        self.step = self._training.step
        self._losses.append(figures["loss"])
        if self._training.stream.position == self._in_epoch:
            self.epoch += 1
            self._in_epoch = self._count(self.epoch)
            train = self.config.train
            if self.epoch % train.validate_every == 0 or self.epoch == train.epochs:
                self._validate()
        best = {"best": max(record["metric"] for record in self.history)} if self.history else {}
        return figures | best | {"epoch": self.epoch}

    def _count(self, epoch: int) -> int:
        """Batches of an epoch."""
        train, length = self.config.train, self.config.model.length
        return count_batches(self._sequences, length, train.batch, train.unit, train.form, self.config.seed, epoch)

    def _validate(self) -> None:
        self.network.eval()
        report = self._validation.evaluate(self.network.next_item, self._device)
        metric = steered(report, self.config.steer)
        better = all(metric > record["metric"] for record in self.history)
        self.history.append(
            {
                "epoch": self.epoch,
                "loss": sum(self._losses) / len(self._losses),
                "metric": metric,
                "validation": {
                    p: {m: v for m, v in values.items() if m.endswith("@10")} for p, values in report.items()
                },
            }
        )
        self._losses = []
        if better:
            self.best = {name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()}
            self.best_epoch = self.epoch

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain data."""
        own = ("epoch", "history", "best", "best_epoch", "_losses", "_in_epoch")
        return {"training": self._training.state_dict(), **{name: getattr(self, name) for name in own}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to where it was."""
        self._training.load_state_dict(state["training"])
        self.step = self._training.step
        vars(self).update({name: value for name, value in state.items() if name != "training"})


def train(
    network: EASRec,
    split: Split,
    validation: Evaluator,
    config: Config,
    device: torch.device,
    run: Run | None = None,
) -> Trained:
    """Train on all users' training parts; stop early by the validation metric; keep the best weights.

    Args:
        network: A plain network, trained in place.
        split: Leave-one-out split.
        validation: Early stopping follows it.
        config: The run's settings.
        device: Where it runs.
        run: Where it is kept and how it goes on; None keeps nothing.

    Raises:
        SearchError: The loss or a gradient is not finite.
        CheckpointError: The checkpoint is damaged or belongs to another run.
    """
    work = _Epochs(network.to(device), split, validation, config, device)
    seconds = drive(work, run or Run(), "train", config.checkpoint_steps)
    network.load_state_dict(work.best)
    network.eval()
    return Trained(network, work.best_epoch, work.epoch, seconds, work.history)
