"""SharedLoss: a loss whose mean over the processes is the loss of the global batch."""

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

from torch import Tensor

from elasticnas.errors import SearchError
from elasticnas.parallel import size, total

__all__ = ["SharedLoss", "mean_and_weight"]


class SharedLoss:
    """Calls a function that returns a mean, or a mean and its weight, such as the number of targets in the batch.

    On N processes, DDP and FSDP2 average the gradients: the mean is multiplied by N times the weight and divided by the
    sum of the weights, so that the average is the mean over the global batch. In one process it is returned unchanged.

    Args:
        function: The function of a loss.
        like: Another loss of the same batch, called before, whose weight counts if the function returns none.

    Attributes:
        factor: What the last mean was multiplied by.
    """

    def __init__(self, function: Callable[..., Any], like: "SharedLoss | None" = None) -> None:
        self._function, self._like, self.factor = function, like, 1.0

    def __call__(self, *given: Any) -> Any:
        """Return the scaled mean ``()``.

        Raises:
            SearchError: The weights of the ranks have no positive, finite sum.
        """
        returned = self._function(*given)
        mean, weight = mean_and_weight(returned)
        if size() == 1 or not isinstance(mean, Tensor):
            return mean
        if self._like is not None and mean is returned:
            return mean * self._like.factor
        own = float(weight)
        whole = total([own])[0]
        if not 0 < whole < math.inf:
            raise SearchError(f"the weights that loss returns have the sum {whole}: a positive, finite one is needed")
        self.factor = own * size() / whole
        return mean * self.factor


def mean_and_weight(returned: Any) -> tuple[Any, Any]:
    """Split what a loss function returns into a mean and its weight, 1 if it returns none."""
    if isinstance(returned, tuple) and len(returned) == 2 and _is_number(returned[1]):
        return returned
    return returned, 1.0


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) or (isinstance(value, Tensor) and value.ndim == 0 and not value.requires_grad)
