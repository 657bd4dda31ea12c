"""Problem: a supernet with its data, costs and budgets."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic

from torch import Tensor, nn

from elasticnas.axes import Axes
from elasticnas.cost import Budget, Cost
from elasticnas.elastic import ElasticModel
from elasticnas.errors import ConfigError, SearchError, did_you_mean, short_repr
from elasticnas.extraction import axes_of, check
from elasticnas.extraction.batchnorm import norms_of, recalibrated, warn_of_stale
from elasticnas.parallel import is_sharded, size, total, unwrapped
from elasticnas.run import Batches, one_epoch
from elasticnas.run.epoch import END
from elasticnas.search.arguments import require_function, require_kind, require_loss
from elasticnas.search.result import Direction
from elasticnas.search.shared_loss import mean_and_weight
from elasticnas.space.space import A

__all__ = ["Evaluate", "Loss", "Predict", "Problem"]

Loss = Callable[[nn.Module, Any], Tensor | tuple[Tensor, Tensor | float]]
Evaluate = Callable[[nn.Module], Mapping[str, float]]
Predict = Callable[[nn.Module, Any], Tensor]

_PARTS = {
    "loss": "loss(model, batch) -> scalar tensor",
    "train": "batches to train on: a DataLoader, a list, or epoch -> batches",
    "held_out": "batches that training does not see, given like train",
    "costs": 'costs by name, such as {"flops": Flops(model, example)}',
    "evaluate": 'evaluate(model) -> {"accuracy": value}, with metric= and direction=, or loss= and held_out=',
}


@dataclass(frozen=True)
class Problem(Generic[A]):
    """A supernet, its data and its limits, as plain callables: strategies do not depend on the task.

    Only ``model`` is required; a strategy that needs a missing part raises an error with its name. Type checkers infer
    the space from a typed cost, or from ``Problem[Encoder](model, ...)``. A problem has no test data.

    Attributes:
        model: The supernet. Its weights are trained in place.
        loss: ``loss(model, batch) -> ()`` tensor; batches are passed on unchanged. It may also return ``(mean,
            weight)``, such as the number of targets: held-out batches and, on several processes, gradients are then
            weighted by it.
        train: Training batches: a DataLoader, a list of batches, or ``epoch -> batches``. The global random generators
            are seeded for each epoch while its batches are made, which does not affect the model's dropout.
        held_out: Batches of data that is not in ``train``, in the same forms.
        costs: The costs by name; penalties use the first one, and fronts are sorted by it.
        evaluate: ``evaluate(model) -> {"metric": value}`` with an architecture in scope, in eval mode, without
            gradients. None: the mean loss over the held-out batches, as ``{"loss": value}``.
        metric: The metric that ranks architectures.
        direction: ``"maximise"`` or ``"minimise"`` the metric.
        budgets: Hard limits by the name of their cost: ``"50%"`` of the largest architecture's, or a number.
        calibration: Batches from which the running statistics of BatchNorm are estimated anew before each evaluation,
            by passes of ``loss`` (without a loss: batches are inputs); a few are enough. Without it, a warning.
        predict: ``predict(model, batch) -> (..., classes)`` logits, for in-place distillation.

    Raises:
        ConfigError: A part has a wrong type, a metric has no direction, or a budget has no cost.
    """

    model: ElasticModel[A] | nn.Module
    loss: "Loss | None" = None
    train: "Batches | None" = None
    held_out: "Batches | None" = None
    costs: "Mapping[str, Cost[A]] | None" = None
    evaluate: "Evaluate | None" = None
    metric: "str | None" = None
    direction: "Direction | None" = None
    budgets: "Mapping[str, str | float] | None" = None
    predict: "Predict | None" = None
    calibration: "Batches | None" = None

    def __post_init__(self) -> None:
        require_kind("Problem", self.model, nn.Module, "the supernet, such as Net(Space.axes())")
        require_loss(self.loss)
        require_function("evaluate", self.evaluate, "model")
        require_function("predict", self.predict, "model", "batch")
        if self.metric is not None and not isinstance(self.metric, str):
            raise ConfigError(f"metric={short_repr(self.metric)}: the name of what evaluate returns is needed")
        _require_named_costs(self.costs, self.budgets)
        self._require_direction()

    def _require_direction(self) -> None:
        choice = 'direction="maximise" or direction="minimise"'
        if self.direction not in (None, "maximise", "minimise"):
            raise ConfigError(f"direction={self.direction!r}: give {choice}")
        if self.evaluate is not None and self.metric is None:
            raise ConfigError(f'evaluate without a metric: give the name that it returns, metric="...", and {choice}')
        if self.metric is not None and self.direction is None:
            raise ConfigError(f"metric={self.metric!r} without a direction: give {choice}")
        if self.evaluate is None and (self.metric, self.direction) not in ((None, None), ("loss", "minimise")):
            raise ConfigError(
                f"metric={self.metric!r}, direction={self.direction!r} without evaluate: the mean held-out loss is "
                "minimised; give evaluate(model), or leave both out"
            )

    @property
    def axes(self) -> Axes:
        """The axes of the model.

        Raises:
            InactiveChoiceError: A choice changes nothing in the model.
        """
        axes = axes_of(self.model)
        check(self.model, axes)
        return axes

    @property
    def ranking(self) -> "tuple[str, Direction]":
        """Metric and direction; by default the mean held-out loss, minimised."""
        return self.metric or "loss", self.direction or "minimise"

    def require(self, user: str, *parts: str) -> None:
        """Require some parts.

        Args:
            user: What needs them, for the message.
            *parts: Names of the parts.

        Raises:
            ConfigError: A part is missing.
        """
        for part in parts:
            if getattr(self, part) is None:
                raise ConfigError(f"{user} needs Problem({part}=...): {_PARTS[part]}")

    def weights(self) -> list[nn.Parameter]:
        """Return the parameters to train.

        Raises:
            SearchError: There are none, or some are on the meta device.
        """
        weights = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        if not weights:
            raise SearchError(f"{type(self.model).__name__} has no weights to train")
        if any(weight.is_meta for weight in weights):
            raise SearchError(f"{type(self.model).__name__} has weights on meta: move it to a device, and load them")
        return weights

    def named_costs(self, user: str) -> dict[str, Cost[A]]:
        """Return the costs by name, at least one.

        Raises:
            ConfigError: There is none.
        """
        self.require(user, "costs")
        return dict(self.costs or {})

    def limits(self) -> dict[str, Budget[A]]:
        """Return the budgets by the name of their cost.

        Raises:
            BudgetError: No architecture meets a budget.
        """
        return {name: Budget.parse(given, (self.costs or {})[name]) for name, given in (self.budgets or {}).items()}

    def evaluator(self, user: str, seed: int) -> Evaluate:
        """Return ``evaluate``, or else the mean loss over the first epoch of held-out batches.

        With ``calibration``, the statistics of BatchNorm are those of the architecture in scope during the evaluation.

        Raises:
            ConfigError: The problem has neither ``evaluate`` nor ``loss`` and ``held_out``.
        """
        evaluate = self.evaluate or self._mean_loss(user, seed)
        if not norms_of(self.model):
            return evaluate
        if self.calibration is None:
            warn_of_stale(self.model, f"give {user} Problem(calibration=batches)")
            return evaluate
        calibration = self.calibration

        def with_own_statistics(model: nn.Module) -> Mapping[str, float]:
            with recalibrated(model, one_epoch(calibration, "calibration", seed), self.loss):
                return evaluate(model)

        return with_own_statistics

    def _mean_loss(self, user: str, seed: int) -> Evaluate:
        if self.loss is None or self.held_out is None:
            self.require(user, "evaluate")
        loss, held_out = self.loss, self.held_out
        assert loss is not None and held_out is not None

        def mean_loss(model: nn.Module) -> dict[str, float]:
            summed, weights = 0.0, 0.0
            for batch in _on_all_ranks(model, one_epoch(held_out, "held_out", seed)):
                value, weight = mean_and_weight(loss(model, batch))
                summed, weights = summed + _value(value) * float(weight), weights + float(weight)
            summed, weights = total([summed, weights])
            return {"loss": summed / weights}

        return mean_loss

    def identity(self) -> dict[str, Any]:
        """Return plain data that a checkpoint must match."""
        space = axes_of(self.model).space
        return {
            "space": {name: list(options) for name, options in space.choices().items()},
            "rules": sorted(space.__pydantic_decorators__.model_validators),
            "model": {name: list(value.shape) for name, value in unwrapped(self.model).state_dict().items()},
            "metric": list(self.ranking),
        }


def _on_all_ranks(model: nn.Module, batches: Iterator[Any]) -> Iterator[Any]:
    """Iterate over batches; a sharded model runs on all ranks together, so that all need equally many.

    Raises:
        SearchError: Some ranks have more batches than others.
    """
    if size() == 1 or not is_sharded(model):
        yield from batches
        return
    while True:
        batch = next(batches, END)
        ended = total([float(batch is END)])[0]
        if 0 < ended < size():
            raise SearchError("held_out has more batches on some ranks than on others: fully_shard needs equally many")
        if ended:
            return
        yield batch


def _value(loss: Any) -> float:
    """Return a held-out loss as a number; a loss that is not a scalar raises, as it is wrong for all architectures."""
    number = loss.ndim == 0 if isinstance(loss, Tensor) else isinstance(loss, (int, float))
    if not number:
        given = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else short_repr(loss)
        raise ConfigError(f"loss returns {given} on a held-out batch: a scalar tensor is needed")
    return float(loss)


def _require_named_costs(costs: Any, budgets: Any) -> None:
    if costs is not None and not (
        isinstance(costs, Mapping)
        and costs
        and all(isinstance(name, str) and isinstance(cost, Cost) for name, cost in costs.items())
    ):
        raise ConfigError(
            f'costs={short_repr(costs)}: costs by name are needed, such as {{"flops": Flops(model, example)}}'
        )
    if budgets is None:
        return
    if not isinstance(budgets, Mapping):
        raise ConfigError(
            f'budgets={short_repr(budgets)}: limits by the name of a cost are needed, such as {{"flops": "50%"}}'
        )
    for name in budgets:
        if name not in (costs or {}):
            raise ConfigError(f"budgets[{name!r}]: no cost has this name{did_you_mean(str(name), costs or {})}")
