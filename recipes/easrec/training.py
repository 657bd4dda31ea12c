"""Training of a plain network with early stopping, resumable at any step."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from easrec.config import Config
from easrec.data import Batch, Sequences, Split, count_batches, training_batches
from easrec.evaluation import Evaluator
from easrec.losses import BatchLoss
from easrec.model import EASRecModel
from easrec.shares import own_rows, vary_dropout
from elasticnas.parallel import Kind, wrapped_as
from elasticnas.run import PlainState, Run, Stateful, drive
from elasticnas.search import PlainTraining

__all__ = ["Trained", "early_stopping_value", "epoch_batches", "learning_rate", "train"]


@dataclass(frozen=True)
class Trained:
    """Result of a training; the network has the weights of the best epoch."""

    network: EASRecModel
    best_epoch: int
    epochs: int
    seconds: float
    history: list[dict[str, Any]]


def epoch_batches(
    sequences: Sequences, config: Config, batch: int, device: torch.device
) -> Callable[[int], Iterator[Batch]]:
    """Return a function from an epoch number to its batches on the device, with the rows of this process."""

    def batches(epoch: int) -> Iterator[Batch]:
        train = config.train
        for item in training_batches(sequences, config.model.length, batch, train.unit, train.form, config.seed, epoch):
            yield own_rows(item).to(device)

    return batches


def early_stopping_value(report: Mapping[str, Mapping[str, float]], early_stopping_metric: str) -> float:
    """Return the metric for early stopping, named ``"protocol/metric@k"``."""
    protocol, _, metric = early_stopping_metric.partition("/")
    return report[protocol][metric]


def learning_rate(step: int, steps: int, config: Config) -> float:
    """Compute the learning rate at a step of retraining: constant, or linear warm-up and cosine decay to 0."""
    train = config.train
    if train.schedule == "constant":
        return train.learning_rate
    warmup = max(1, round(train.warmup * steps))
    if step < warmup:
        return train.learning_rate * (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    return train.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


class _Epochs:
    """Training in epochs with validation between them; keeps the weights of the best epoch."""

    def __init__(
        self,
        network: EASRecModel,
        split: Split,
        validation: Evaluator,
        config: Config,
        device: torch.device,
        parallel: Kind | None = None,
    ) -> None:
        self.network, self.config, self._validation, self._device = network, config, validation, device
        train = config.train
        self._sequences = split.training
        self.steps = steps = self._count(0) * train.epochs
        self._training = PlainTraining(
            wrapped_as(network, parallel),
            BatchLoss(train, split.training.counts(split.items)).weighted,
            epoch_batches(split.training, config, train.batch, device),
            steps=steps,
            rate=lambda step: learning_rate(step, steps, config),
            clip_norm=train.clip_norm,
            seed=config.seed,
            identity={"config": config.recorded()},
        )
        self.identity = self._training.identity
        self.kept = PlainState(epoch=0, history=[], best={}, best_epoch=-1, losses=[])

    @property
    def step(self) -> int:
        """Number of training steps done."""
        return self._training.step

    @step.setter
    def step(self, step: int) -> None:
        self._training.step = step

    @property
    def done(self) -> bool:
        """Whether all epochs are done, or the metric has not improved for ``patience`` validations."""
        kept, train = self.kept, self.config.train
        since = [record for record in kept["history"] if record["epoch"] > kept["best_epoch"]]
        return bool(kept["epoch"] >= train.epochs or len(since) >= train.patience)

    def advance(self) -> dict[str, Any]:
        """Train on one batch; validate after the last batch of an epoch."""
        figures, kept, train = self._training.advance(), self.kept, self.config.train
        kept["losses"].append(figures["loss"])
        if self._training.stream.position == self._count(kept["epoch"]):
            kept["epoch"] += 1
            if kept["epoch"] % train.validate_every == 0 or kept["epoch"] == train.epochs:
                self._validate()
        best = {"best": max(record["metric"] for record in kept["history"])} if kept["history"] else {}
        return figures | best | {"epoch": kept["epoch"]}

    @lru_cache(maxsize=1)  # noqa: B019 - lives as long as the training
    def _count(self, epoch: int) -> int:
        """Return the number of batches of an epoch."""
        train, length = self.config.train, self.config.model.length
        return count_batches(self._sequences, length, train.batch, train.unit, train.form, self.config.seed, epoch)

    def _validate(self) -> None:
        self.network.eval()
        kept, report = self.kept, self._validation.evaluate(self.network.next_item, self._device, shared=True)
        metric = early_stopping_value(report, self.config.early_stopping_metric)
        better = all(metric > record["metric"] for record in kept["history"])
        shown = {p: {m: v for m, v in values.items() if m.endswith("@10")} for p, values in report.items()}
        loss = sum(kept["losses"]) / len(kept["losses"])
        kept["history"].append({"epoch": kept["epoch"], "loss": loss, "metric": metric, "validation": shown})
        kept["losses"] = []
        if better:
            kept["best"] = {name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()}
            kept["best_epoch"] = kept["epoch"]

    def parts(self) -> dict[str, Stateful]:
        """Return the parts of a checkpoint."""
        return {**self._training.parts(), "kept": self.kept}


def train(
    network: EASRecModel,
    split: Split,
    validation: Evaluator,
    config: Config,
    device: torch.device,
    run: Run | None = None,
) -> Trained:
    """Train on all users' training parts; stop early by the validation metric; keep the best weights.

    Args:
        network: A plain network, trained in place.
        split: Training parts of the users.
        validation: Evaluator for early stopping.
        config: Settings of the run.
        device: Device of the training.
        run: Folder, checkpoints and progress of the training; None stores nothing.

    Raises:
        SearchError: The loss or a gradient is not finite.
        CheckpointError: The checkpoint is damaged or belongs to another run.
    """
    run = run or Run()
    work = _Epochs(network.to(device), split, validation, config, device, run.parallel)
    vary_dropout(config.seed, config.model.dropout)
    seconds = drive(work, run, "train", config.checkpoint_steps)
    kept = work.kept
    network.load_state_dict(kept["best"])
    network.eval()
    return Trained(network, kept["best_epoch"], kept["epoch"], seconds, kept["history"])
