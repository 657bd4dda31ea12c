"""Descent: optimizer steps with checks of losses and gradients."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from elasticnas.checkpoint import to_builtins
from elasticnas.errors import ConfigError, SearchError, describe_error, short_repr
from elasticnas.parallel import is_shard, mean, require_same, sharded_like, whole
from elasticnas.search.arguments import can_call, require_function

__all__ = ["Descent", "MakeOptimizer", "require_finite", "require_finite_gradients", "require_scalar"]

MakeOptimizer: TypeAlias = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


_COMPARED = 100  # steps from one comparison of the weights of several processes to the next
_BYPASSED = (
    "loss must call the model that it is given, and no part of it, as DDP averages gradients in its forward pass"
)


class Descent:
    """Optimizer steps: :meth:`begin`, :meth:`add` for each loss, then :meth:`finish`.

    Args:
        weights: The parameters to train.
        rate: Learning rate of Adam, which has no weight decay: decay would change units whose gradient is zero.
        clip_norm: Largest norm of the gradients; None for no clipping.
        make: Makes another optimizer, which sets its own learning rates.

    Raises:
        ConfigError: ``make`` does not return an optimizer.
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        rate: float,
        clip_norm: "float | None",
        make: "MakeOptimizer | None" = None,
    ) -> None:
        self.weights, self._clip_norm, self._own_rate = list(weights), clip_norm, make is not None
        self._finished = 0  # steps of this process
        make = make or (lambda weights: torch.optim.Adam(weights, lr=rate, fused=True))
        self.optimizer = _made(make, self.weights)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self._made = [
            {n: to_builtins(v) for n, v in group.items() if n != "params"} for group in self.optimizer.param_groups
        ]

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that a checkpoint must match; without the learning rate of Adam, which is in the settings."""
        first, *others = self._made
        values = {name: value for name, value in first.items() if self._own_rate or name != "lr"}
        further = {str(number): group for number, group in enumerate(others, 1)}
        return {"kind": type(self.optimizer).__name__, **values, **further}

    def require_current(self, weights: Sequence[Tensor], user: str) -> None:
        """Require that these are still the weights that are trained.

        Raises:
            ConfigError: They are others, as ``fully_shard`` replaces the parameters of a model.
        """
        if [id(weight) for weight in weights] != [id(weight) for weight in self.weights]:
            raise ConfigError(
                f"the model's parameters were replaced after {user} was made, as by fully_shard: make it afterwards"
            )

    def begin(self, factor: float = 1.0) -> None:
        """Clear the gradients and set the learning rates to ``factor`` of their maximum."""
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        self.optimizer.zero_grad(set_to_none=True)

    def add(self, loss: Tensor, parts: int, what: str, step: int, returned_by: str = "loss returns") -> float:
        """Add the gradients of ``loss / parts`` and return the value of the loss, the mean over the processes.

        Args:
            loss: A scalar ``()``.
            parts: Number of losses in the step.
            what: Name of the loss, for messages.
            step: The step, for messages.
            returned_by: What returns the loss, for messages.

        Raises:
            SearchError: It is not a finite, differentiable scalar.
        """
        require_scalar(loss, returned_by)
        (loss / parts).backward()
        # looked at when the backward pass is under way: before it, the device would wait for the next work
        return require_finite(mean(loss), what, step)

    def finish(self, step: int, of: str = "") -> None:
        """Clip the gradients and take the step.

        Raises:
            ConfigError: The optimizer has no step for sharded weights.
            SearchError: The gradients are not finite.
        """
        norm = torch.nn.utils.clip_grad_norm_(self.weights, self._clip_norm or math.inf)
        require_finite_gradients(norm, of, step)
        sharded = any(map(is_shard, self.weights))
        try:
            self.optimizer.step()
        except RuntimeError as error:
            if not sharded or isinstance(error, torch.OutOfMemoryError):
                raise
            raise ConfigError(
                f"{type(self.optimizer).__name__} cannot step on sharded weights ({describe_error(error)}): use "
                'another optimizer, such as AdamW, or parallel="ddp"'
            ) from None
        self._finished += 1
        if (self._finished == 1 or self._finished % _COMPARED == 0) and not sharded:
            require_same("the weights", self._sums, _BYPASSED)

    def _sums(self) -> list[float]:
        with torch.no_grad():
            return [float(value) for value in torch.stack([w.sum().to(torch.float32) for w in self.weights]).cpu()]

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the optimizer, and the settings that it was made with."""
        return {"optimizer": whole(self.optimizer.state_dict()), "made": self._made}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state, except settings that this optimizer was made with and the saved one was not."""
        own = [{k: v for k, v in group.items() if k != "params"} for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(self._sharded(state["optimizer"]))
        for group, values, now, then in zip(self.optimizer.param_groups, own, self._made, state["made"], strict=True):
            group.update({k: v for k, v in values.items() if k not in then or then[k] != now[k]})

    def _sharded(self, state: dict[str, Any]) -> dict[str, Any]:
        """Return the state of the optimizer with the shards of this process, if the weights are sharded."""
        held = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        own = {
            number: {name: sharded_like(value, held[number]) for name, value in values.items()}
            for number, values in state["state"].items()
        }
        return {**state, "state": own}


def _made(make: MakeOptimizer, weights: list[Any]) -> torch.optim.Optimizer:
    example = "lambda weights: torch.optim.SGD(weights, lr=0.1)"
    if callable(make):
        require_function("optimizer", make, "weights")
    made: Any = make(weights) if callable(make) else None
    if not isinstance(made, torch.optim.Optimizer):
        given = f"makes {type(made).__name__}" if callable(make) else f"is {type(make).__name__}"
        raise ConfigError(f"optimizer {given}: a function from weights to an optimizer is needed, such as {example}")
    if not can_call(made.step):
        raise ConfigError(
            f"optimizer makes {type(made).__name__}, whose step() needs a closure: give one that steps on gradients, "
            f"such as {example}"
        )
    ours = {id(weight) for weight in weights}
    if not any(id(held) in ours for group in made.param_groups for held in group["params"]):
        raise ConfigError(f"optimizer has none of the model's weights: make it of the weights given, such as {example}")
    return made


def require_scalar(loss: Any, returned_by: str = "loss returns") -> None:
    """Require a loss that is a differentiable tensor ``()``.

    Raises:
        SearchError: It is not.
    """
    if isinstance(loss, Tensor) and loss.ndim == 0 and loss.requires_grad:
        return
    given = f"{type(loss).__name__} {short_repr(loss)}"
    if isinstance(loss, Tensor):
        given = f"a tensor of shape {tuple(loss.shape)}"
    if isinstance(loss, Tensor) and not loss.requires_grad:
        given += " without a gradient"
    raise SearchError(f"the loss is {given}; {returned_by} a scalar tensor that depends on the weights")


def require_finite(loss: Tensor, what: str, step: int) -> float:
    """Require a finite loss ``()``, and return its value.

    Raises:
        SearchError: It is not finite.
    """
    value = float(loss.detach())
    if not math.isfinite(value):
        raise SearchError(f"the {what} is {value} at step {step}: lower the learning rate")
    return value


def require_finite_gradients(norm: Tensor, of: str, step: int) -> None:
    """Require gradients with a finite norm ``()``.

    Raises:
        SearchError: It is not finite.
    """
    if not bool(torch.isfinite(norm)):
        raise SearchError(
            f"the gradients{of} have the norm {float(norm)} at step {step} although the losses are finite: "
            "lower the learning rate, or look for a square root, a logarithm or a division at 0"
        )
