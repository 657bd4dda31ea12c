"""Training, evaluation and recommendations of the recipe, for the comparisons with other libraries."""

import contextlib
import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from easrec.artifact import Recommender
from easrec.config import Config
from easrec.data import Split, count_batches, prepare, read_interactions, training_batches
from easrec.evaluation import Evaluator, draw_negatives
from easrec.model import EASRecModel, build
from easrec.pipeline import evaluators
from easrec.space import space_for
from easrec.training import train
from elasticnas.run import Progress, Run
from elasticnas.runtime import configure_torch

__all__ = ["Ours", "StopTraining"]

_CPU = torch.device("cpu")


class StopTraining(Exception):
    """Raised between two steps to stop the training."""


class Ours:
    """The recipe on one file of interactions.

    Args:
        data: File in any format that the recipe reads.
        threads: Number of torch threads.
        changes: Settings that differ from the recipe's defaults and from two layers without gates.
    """

    def __init__(self, data: Path, threads: int, changes: Mapping[str, Any] | None = None) -> None:
        configure_torch(threads)
        self.changes = {"model.layers": 2, "model.gate_layers": 0, "early_stopping_metric": "full/ndcg@10"}
        self.changes |= changes or {}
        self.data = prepare(read_interactions(data))
        self.split = Split(self.data)
        self.targets = int((self.split.training.lengths - 1).clip(0).sum())

    def described(self) -> dict[str, Any]:
        """Return the counts of the data."""
        counts = self.data.statistics
        return {"users": counts.users, "items": counts.items, "interactions": counts.interactions}

    def config(self, attention: str, seed: int = 0) -> Config:
        """Return the recipe's default settings with the changes."""
        return Config().updated({**self.changes, "model.attention": attention, "seed": seed})

    def network(self, config: Config) -> EASRecModel:
        """Return a network initialised with the seed."""
        torch.manual_seed(config.seed)
        return build(config.model, self.split.items, space_for(config.model).largest(), causal=True)

    def batches(self, config: Config) -> int:
        """Return the number of batches in the first epoch."""
        settings = config.train
        return count_batches(
            self.split.training, config.model.length, settings.batch, settings.unit, settings.form, config.seed
        )

    def train(self, attention: str, batches: int, seed: int, precision: str = "float32") -> dict[str, Any]:
        """Time batches of an epoch in the recipe's training loop, after one batch of warm-up.

        Args:
            attention: Softmax or LinRec.
            batches: Number of timed batches, at most an epoch.
            seed: Seed of the order of batches.
            precision: ``train.precision``.
        """
        config = self.config(attention, seed).updated({"train.precision": precision})
        steps = min(batches + 1, self.batches(config))
        ends = self._steps(config, steps)
        return {"seconds": ends[-1] - ends[0], "targets": self._targets(config, 1, steps)}

    def epoch(self, attention: str) -> dict[str, Any]:
        """Time a complete epoch, including set-up."""
        config = self.config(attention)
        batches, started = self.batches(config), time.perf_counter()
        ends = self._steps(config, batches)
        return {"seconds": ends[-1] - started, "targets": self._targets(config, 0, batches)}

    def _steps(self, config: Config, steps: int) -> list[float]:
        """Return the end times of the first steps."""
        ends: list[float] = []

        def record_step(_: Progress) -> None:
            ends.append(time.perf_counter())
            if len(ends) == steps:
                raise StopTraining

        try:
            train(
                self.network(config),
                self.split,
                evaluators(self.split, config)["validation"],
                config,
                _CPU,
                Run(progress=record_step),
            )
        except StopTraining:
            return ends
        raise AssertionError(f"{steps} steps are more than a training has")

    def _targets(self, config: Config, first: int, last: int) -> int:
        """Return the number of targets in batches ``first`` to ``last`` of the first epoch."""
        settings = config.train
        batches = training_batches(
            self.split.training, config.model.length, settings.batch, settings.unit, settings.form, config.seed, 0
        )
        return sum(int((batch.targets > 0).sum()) for batch in islice(batches, first, last))

    def evaluate(self, attention: str, mode: str, seed: int) -> dict[str, Any]:
        """Time the evaluation of every user's test target: encoding, negatives and ranking.

        Args:
            attention: Softmax or LinRec.
            mode: ``full`` ranks among all items and among the unseen ones, ``unseen`` among these only, ``pop100``
                among 100 new negatives.
            seed: Seed of network and negatives.
        """
        config, split = self.config(attention, seed), self.split
        network = self.network(config).eval()
        started = time.perf_counter()
        negatives = None
        if mode == "pop100":
            counts = split.training.counts(split.items)
            negatives = draw_negatives(counts, split.complete(), config.negatives, seed)
        history, targets = split.history("test"), split.targets("test")
        evaluator = Evaluator(history, targets, negatives, config.model.length, config.cutoffs, items=split.items)
        protocols = ("full", "unseen") if mode == "full" else (mode,)
        evaluator.evaluate(network.next_item, protocols=protocols)
        return {"seconds": time.perf_counter() - started, "users": len(targets)}

    def recommend(self, attention: str, top: int, seed: int) -> dict[str, Any]:
        """Time recommendations of unseen items to all users, by original ids.

        Args:
            attention: Softmax or LinRec.
            top: Number of items.
            seed: Seed of the network.
        """
        config, names, history = self.config(attention, seed), self.data.item_ids, self.split.history("test")
        arch = space_for(config.model).largest()
        recommender = Recommender(self.network(config), arch, config, names)
        histories = [[names[item] for item in history[user]] for user in range(len(history))]
        started = time.perf_counter()
        found = recommender.recommend(histories, top)
        return {"seconds": time.perf_counter() - started, "users": len(found), "rows": sum(map(len, found))}

    def reach(self, attention: str, minutes: float) -> list[dict[str, float]]:
        """Train for some minutes; return times and values of each improvement of validation ``full/ndcg@10``."""
        config, risen = self.config(attention), []
        validation, started = evaluators(self.split, config)["validation"], time.perf_counter()

        def record_step(progress: Progress) -> None:
            seconds = time.perf_counter() - started
            best = progress.figures.get("best", 0.0)  # none before the first validation
            if best > (risen[-1]["metric"] if risen else 0.0):
                risen.append({"seconds": seconds, "epochs": int(progress.figures["epoch"]), "metric": best})
            if seconds > 60 * minutes:
                raise StopTraining

        with contextlib.suppress(StopTraining):
            train(self.network(config), self.split, validation, config, _CPU, Run(progress=record_step))
        return risen
