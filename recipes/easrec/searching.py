"""The search stage: runs a strategy of the library or of an installed package on the supernet."""

from inspect import signature
from typing import Any

import torch
from pydantic import ValidationError, validate_call

from easrec.config import Config
from easrec.data import Sequences, Split, count_batches, hold_out_users
from easrec.evaluation import Evaluator
from easrec.losses import BatchLoss
from easrec.model import EASRecModel
from easrec.shares import vary_dropout
from easrec.training import epoch_batches
from easrec.wide_cost import WideFlops
from elasticnas.cost import Cost, Flops
from elasticnas.errors import ConfigError, one_line
from elasticnas.plugins import STRATEGIES, load_plugin
from elasticnas.run import Run
from elasticnas.search import Problem, SearchResult, SearchSettings, Strategy

__all__ = ["encoder_flops", "problem_of", "search_architecture", "strategy_of"]


def encoder_flops(model: EASRecModel) -> Flops:
    """Return the cost of the encoder in FLOPs at length N, batch 1; scoring the items is not included."""
    example = model.example(torch.ones(1, model.config_length, dtype=torch.long))
    return WideFlops(model, example) if model.wide else Flops(model, example)


def search_architecture(
    model: EASRecModel,
    split: Split,
    validation: Evaluator,
    config: Config,
    device: torch.device,
    run: Run | None = None,
) -> SearchResult[Any]:
    """Search the supernet; its weights are trained in place.

    Weights are trained on the training parts of most users, alpha and beta on those of the held-out users. Validation
    targets are only used to rank architectures; test targets are not used.

    Args:
        model: The supernet; it is moved to the device.
        split: Training parts of the users.
        validation: Evaluator that ranks architectures, by ``config.early_stopping_metric``.
        config: Settings; ``search.strategy`` must not be ``none``.
        device: Device of the supernet.
        run: Folder, checkpoints and progress of the search; None stores nothing.

    Returns:
        The found architecture and the best of a random search, with costs in FLOPs and metrics on validation targets.

    Raises:
        BudgetError: No architecture meets the budget; the message names the smallest reachable cost.
        CheckpointError: The checkpoint is damaged, or belongs to another search.
        ConfigError: ``search.options`` has an argument that the strategy does not take.
        DataError: Fewer than two users have enough interactions to train on.
        PluginError: There is no such strategy, or it needs a package that is not installed.
        SearchError: The loss or the metric is not finite.
    """
    search, train = config.search, config.train
    problem = problem_of(model, split, validation, config, device)
    training, _ = _sequences(split, config)
    per_epoch = count_batches(training, config.model.length, search.batch, train.unit, train.form, config.seed)
    steps = per_epoch * search.epochs
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
    vary_dropout(config.seed, config.model.dropout)
    cost = problem.named_costs(search.strategy)["flops"]
    return strategy_of(config, cost).search(problem, settings, run)


def problem_of(
    model: EASRecModel, split: Split, validation: Evaluator, config: Config, device: torch.device
) -> Problem[Any]:
    """Return the problem of a search, see :func:`search_architecture`; the supernet is moved to the device."""
    search, train = config.search, config.train
    training, held_out = _sequences(split, config)

    def evaluate(network: Any) -> dict[str, float]:
        report = validation.evaluate(network.next_item, device, shared=True)
        return {f"{protocol}/{name}": value for protocol, found in report.items() for name, value in found.items()}

    cost = encoder_flops(model)
    return Problem(
        model.to(device),
        loss=BatchLoss(train, split.training.counts(split.items)).weighted,
        train=epoch_batches(training, config, search.batch, device),
        held_out=epoch_batches(held_out, config, search.batch, device),
        costs={"flops": cost},
        evaluate=evaluate,
        metric=config.early_stopping_metric,
        direction="maximise",
        budgets=None if search.budget is None else {"flops": search.budget},
    )


def strategy_of(config: Config, cost: Cost[Any]) -> Strategy:
    """Return the strategy ``search.strategy``, constructed with the search settings that it accepts.

    Raises:
        ConfigError: An argument in ``search.options`` is unknown, missing, or of a wrong type.
        PluginError: There is no such strategy.
    """
    search = config.search
    kind: type[Strategy] = load_plugin(STRATEGIES, search.strategy)
    taken = signature(kind).parameters
    named = {name: getattr(search, name) for name in ("relaxation", "temperature", "penalty")}
    offered = {"weight": _weight(config, cost), **named}
    if unknown := search.options.keys() - taken.keys():
        known = ", ".join(taken) or "none"
        raise ConfigError(f"search.options: {search.strategy} does not take {min(unknown)!r}; it takes {known}")
    given = {name: value for name, value in offered.items() if name in taken} | search.options
    return _checked(kind, given) if taken else kind()


def _checked(kind: type[Strategy], given: dict[str, Any]) -> Strategy:
    """Construct a strategy, with arguments checked against the types of its constructor."""
    made = kind.__new__(kind)
    try:
        validate_call(config={"arbitrary_types_allowed": True})(kind.__init__)(made, **given)
    except ValidationError as error:
        raise ConfigError(f"search.options: {one_line(kind, error)}") from None
    return made


def _sequences(split: Split, config: Config) -> tuple[Sequences, Sequences]:
    """Return the training sequences of the weight steps and of the architecture steps."""
    if config.search.architecture_data == "training":
        return split.training, split.training
    held_out = hold_out_users(split.training.lengths, config.search.held_out_users, config.seed)
    return split.training.take(~held_out), split.training.take(held_out)


def _weight(config: Config, cost: Cost[Any]) -> float:
    """Convert ``penalty_weight`` from ``cost_unit`` to a weight for costs relative to the largest network."""
    if config.search.cost_unit == "largest":
        return config.search.penalty_weight
    largest, smallest = cost(cost.space.largest()), cost(cost.space.smallest())
    unit = (
        largest - smallest if config.search.cost_unit == "range" else 1.0
    ) or largest  # the range is 0 with a single size
    return config.search.penalty_weight * largest / unit
