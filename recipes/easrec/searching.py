"""The search stage: Algorithm 1 over the supernet, by the library's searcher."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from easrec.config import Config
from easrec.data import Sequences, Split, count_batches, hold_out_users
from easrec.evaluation import Evaluator
from easrec.losses import BatchLoss
from easrec.model import EASRec
from easrec.training import epoch_batches
from elasticnas.cost import Budget, Flops
from elasticnas.search import (
    STRATEGIES,
    BilevelSearcher,
    DualAscent,
    Dynamic,
    Fixed,
    Gumbel,
    NoPenalty,
    Penalty,
    Problem,
    Progress,
    ProxylessNAS,
    RecNAS,
    Relaxation,
    SearchResult,
    SearchSettings,
    Softmax,
    StraightThrough,
    Strategy,
    Temperature,
    Tempered,
)

__all__ = ["encoder_flops", "search_architecture"]


def encoder_flops(model: EASRec) -> Flops:
    """FLOPs of the encoder at length N, batch 1; scoring the items is not counted."""
    example = torch.ones(1, model.config_length, dtype=torch.long)
    return Flops(model, example)


def search_architecture(
    model: EASRec,
    split: Split,
    validation: Evaluator,
    config: Config,
    device: torch.device,
    checkpoint: Path | None = None,
    resume: bool = False,
    identity: Mapping[str, Any] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> SearchResult:
    """Search the supernet; its weights are trained in place.

    Weights learn from the training parts of most users, alpha and beta from those of the held-out users; validation
    targets only rank architectures, test targets are not seen.

    Args:
        model: The supernet.
        split: Whose training parts are batched.
        validation: Ranks architectures, by ``config.steer``.
        config: Settings; ``search.strategy`` is not ``none``.
        device: Where the supernet runs, and stays.
        checkpoint: File to keep the search in, None for none.
        resume: Continue the search that the file holds, if there is one.
        identity: What else the file must agree with to be continued.
        progress: Called as the search goes on.

    Returns:
        The found architecture and the best of a random search, with costs in FLOPs and metrics on validation targets.

    Raises:
        BudgetError: No architecture meets the budget; the message names the smallest reachable cost.
        CheckpointError: The file is damaged, or of another search.
        DataError: Fewer than two users have something to train on.
        PluginError: ``spos`` needs a package that is not installed.
        SearchError: The loss or the metric is not finite.
    """
    search, train = config.search, config.train
    training, held_out = _sequences(split, config)
    per_epoch = count_batches(training, config.model.length, search.batch, train.unit, train.form, config.seed)
    steps = per_epoch * search.epochs
    cost = encoder_flops(model)
    settings = SearchSettings(
        steps=steps,
        update_every=search.update_every,
        warmup_steps=round(search.warmup * steps),
        weight_lr=search.learning_rate,
        architecture_lr=search.architecture_lr,
        order=search.order,
        clip_norm=train.clip_norm,
        evaluate_every=per_epoch,
        patience=search.patience,
        random_architectures=search.random_architectures,
        checkpoint_every=config.checkpoint_steps,
        seed=config.seed,
    )

    def evaluate(network: Any) -> dict[str, float]:
        report = validation.evaluate(network.next_item, device)
        return {f"{protocol}/{name}": value for protocol, found in report.items() for name, value in found.items()}

    problem = Problem(
        model=model.to(device),
        loss=BatchLoss(train, split.training.counts(split.items)),
        train=epoch_batches(training, config, search.batch, device),
        held_out=epoch_batches(held_out, config, search.batch, device),
        cost=cost,
        evaluate=evaluate,
        metric=config.steer,
        maximise=True,
        budget=search.budget,
    )
    who = {"config": config.model_dump(mode="json"), **(identity or {})}
    if search.strategy == "easrec":
        searcher = BilevelSearcher(
            **vars(problem), settings=settings, relaxation=_relaxation(config, steps), penalty=_penalty(config, cost)
        )
        return searcher.run(checkpoint, resume, who, progress)
    weighted: dict[str, Callable[[float], Strategy]] = {"proxylessnas": ProxylessNAS, "recnas": RecNAS}
    make = weighted.get(search.strategy)
    strategy = STRATEGIES[search.strategy]() if make is None else make(_weight(config, cost))
    return strategy.search(problem, settings, checkpoint=checkpoint, resume=resume, identity=who, progress=progress)


def _sequences(split: Split, config: Config) -> tuple[Sequences, Sequences]:
    """What the weight steps see, and what the architecture steps see."""
    if config.search.architecture_data == "training":
        return split.training, split.training
    held_out = hold_out_users(split.training.lengths, config.search.held_out_users, config.seed)
    return split.training.take(~held_out), split.training.take(held_out)


def _relaxation(config: Config, steps: int) -> Relaxation:
    schedule = Temperature() if config.search.temperature == "literal" else Temperature.over(steps)
    if config.search.relaxation == "softmax":
        return Softmax()
    kinds: dict[str, Callable[[Temperature], Relaxation]] = {
        "gumbel": Gumbel,
        "tempered": Tempered,
        "straight-through": StraightThrough,
    }
    return kinds[config.search.relaxation](schedule)


def _penalty(config: Config, cost: Flops) -> Penalty:
    search = config.search
    if search.penalty == "dual":
        largest = cost(cost.space.largest())
        limit = largest if search.budget is None else Budget.parse(search.budget, cost).limit
        return DualAscent(min(1.0, limit / largest))
    weight = _weight(config, cost)
    kinds: dict[str, Callable[[], Penalty]] = {
        "dynamic": lambda: Dynamic(weight, "depth"),
        "fixed": lambda: Fixed(weight),
        "none": NoPenalty,
    }
    return kinds[search.penalty]()


def _weight(config: Config, cost: Flops) -> float:
    """lambda for costs divided by the largest network's, whatever the setting divides by."""
    largest, smallest = cost(cost.space.largest()), cost(cost.space.smallest())
    units = {"largest": largest, "range": largest - smallest, "flops": 1.0}
    return config.search.penalty_weight * largest / (units[config.search.cost_unit] or largest)  # no range: one size
