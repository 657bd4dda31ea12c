"""Training time to a level of accuracy, ours and RecTools', epochs alternating, without the time of evaluations."""

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from benchmarks.peers.ours import Ours, StopTraining
from benchmarks.peers.peer import Peer
from easrec.evaluation import Evaluator
from easrec.pipeline import evaluators
from easrec.training import train
from elasticnas.run import Run

__all__ = ["first_at", "ndcg", "race"]

_PROTOCOL, _TOP = "unseen", 10


def ndcg(lists: Mapping[str, Sequence[str]], targets: Mapping[str, str]) -> float:
    """Return the mean NDCG of one target per user: 1 / log2(rank + 1), or 0 outside the list."""
    ranks = [
        lists[user].index(target) + 1 if target in lists.get(user, ()) else math.inf for user, target in targets.items()
    ]
    return sum(1 / math.log2(rank + 1) for rank in ranks) / len(ranks)


def first_at(points: Sequence[Mapping[str, float]], level: float) -> Mapping[str, float] | None:
    """Return the first evaluation that reaches the level; None if there is none."""
    return next((point for point in points if point["metric"] >= level), None)


class _Climb:
    """Evaluations of a training until a level or a limit: seconds of training, epochs and metric of each."""

    def __init__(self, name: str, level: float, limit_s: float) -> None:
        self.points: list[dict[str, float]] = []
        self._name, self._level, self._limit_s = name, level, limit_s

    def note(self, seconds: float, metric: float) -> None:
        epochs = len(self.points) + 1
        self.points.append({"seconds": seconds, "epochs": epochs, "metric": metric})
        print(f"  {self._name}, epoch {epochs}: {metric:.4f} after {seconds:.0f} s", flush=True)

    @property
    def seconds(self) -> float:
        return self.points[-1]["seconds"] if self.points else 0.0

    @property
    def ended(self) -> bool:
        return first_at(self.points, self._level) is not None or self.seconds > self._limit_s


class _OffTheClock:
    """Our validation; neither its time nor that of ``between`` counts.

    Args:
        evaluator: Ranks the validation targets.
        climb: Receives every value; training stops when it has ended.
        between: Called after every evaluation.
    """

    def __init__(self, evaluator: Evaluator, climb: _Climb, between: Callable[[], None]) -> None:
        self._evaluator, self._climb, self._between = evaluator, climb, between
        self.started = time.perf_counter()

    def evaluate(self, score: Callable[..., torch.Tensor], device: torch.device, **given: Any) -> Any:
        paused = time.perf_counter()
        report = self._evaluator.evaluate(score, device, protocols=(_PROTOCOL,), **given)
        self._climb.note(paused - self.started, report[_PROTOCOL][f"ndcg@{_TOP}"])
        self._between()
        if self._climb.ended:
            raise StopTraining
        self.started += time.perf_counter() - paused
        return report


def race(ours: Ours, peer: Peer, level: float, minutes: float, seed: int) -> dict[str, Any]:
    """Train both from random weights until each has the validation's NDCG@10, or has trained for some minutes.

    Args:
        ours: The recipe.
        peer: RecTools, opened.
        level: NDCG@10 under the protocol ``unseen``.
        minutes: Limit of the training of each side; an epoch is completed.
        seed: Seed of both networks.
    """
    own, theirs = (_Climb(name, level, 60 * minutes) for name in ("ours", "RecTools"))
    names, stage = ours.data.item_ids, ours.split
    users = stage.users("validation").tolist()
    targets = {str(user): names[item] for user, item in zip(users, stage.targets("validation"), strict=True)}

    def epoch_of_peer() -> None:
        answer = peer.ask("epoch", top=_TOP, seed=seed)
        theirs.note(theirs.seconds + answer["seconds"], ndcg(answer["lists"], targets))

    def catch_up() -> None:
        while not theirs.ended and theirs.seconds < own.seconds:
            epoch_of_peer()

    config = ours.config("softmax", seed)
    network = ours.network(config)
    validation = _OffTheClock(evaluators(ours.split, config)["validation"], own, catch_up)
    with contextlib.suppress(StopTraining):
        train(network, ours.split, validation, config, torch.device("cpu"), Run())  # type: ignore[arg-type]
    while not theirs.ended:
        epoch_of_peer()
    return {"seed": seed, "own": own.points, "rectools": theirs.points}
