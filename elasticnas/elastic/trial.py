"""Trial: whether an order of units is free, that is, whether the outputs stay the same in another order."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from elasticnas.axes import Axes
from elasticnas.elastic.members import Member
from elasticnas.elastic.permutation import Orders, permuted
from elasticnas.elastic.precision import InFloat64
from elasticnas.errors import ConfigError, ExtractionError

__all__ = ["Trial", "call", "tensors_of"]

_TOLERANCE = 1e-6  # relative to the largest output, in float64; some models round to float32 by themselves
_SMALL = 1e-3  # an output this much smaller than the others may consist of rounding errors


class Trial:
    """Outputs of architectures on an example, and whether they stay the same in another order of units.

    Operations run in float64 while the model keeps its dtype, or in its own dtype if it cannot run so.

    Args:
        model: The supernet, in eval mode.
        example: Input of the largest model.
        axes: The axes.
        order_free: Outputs in which the order of units does not matter.
        raise_pending: Called after each forward pass; raises a deferred interrupt.

    Attributes:
        example: The example.
    """

    def __init__(
        self,
        model: nn.Module,
        example: object,
        axes: Axes,
        order_free: Sequence[str] = (),
        raise_pending: Callable[[], None] = lambda: None,
    ) -> None:
        self._model, self.example, self._axes = model, example, axes
        self._order_free, self._raise_pending = tuple(order_free), raise_pending
        self._wide, self._eps = True, torch.finfo(torch.float64).eps
        self._devices = sorted({p.get_device() for p in model.parameters() if p.is_cuda})
        self._before: dict[tuple[Any, ...], list[tuple[str, Tensor]]] = {}

    def start(self) -> None:
        """Run the largest architecture once.

        Raises:
            ConfigError: ``order_free`` names no output.
            ExtractionError: The forward pass writes to a parameter.
        """
        versions = {name: parameter._version for name, parameter in self._model.named_parameters()}
        largest = self._axes.space.largest()
        try:
            found = self._run(largest, self.example)
        except Exception:  # whatever an operation raises for float64
            self._wide = False
            found = self._run(largest, self.example)
        for name, parameter in self._model.named_parameters():
            if parameter._version != versions[name]:
                raise ExtractionError(
                    f"the forward pass of {type(self._model).__name__} writes to {name}: whether an order of its units "
                    "changes the output cannot be tested; remove that step from forward"
                )
        names = [name for name, _ in found]
        for wanted in self._order_free:
            if wanted != "output" and wanted not in names:
                raise ConfigError(
                    f"order_free={wanted!r} is no output of {type(self._model).__name__}: choose 'output' for all of "
                    f"them, or of {names}"
                )

    def runs(self, arch: Any, change: Callable[[Tensor], Tensor] = lambda x: x) -> bool:
        """Return whether an architecture runs on the example, or on a changed one."""
        example = tree_map(lambda x: change(x) if isinstance(x, Tensor) else x, self.example)
        try:
            self._run(arch, example)
        except Exception:  # whatever a model raises for an unsuitable input
            return False
        return True

    def outputs(self, archs: Sequence[Any]) -> list[tuple[str, Tensor]]:
        """Return the floating-point outputs of the architectures, with their names."""
        return [found for arch in archs for found in self._run(arch, self.example)]

    def is_free(self, parts: Sequence[Sequence[Member]], archs: Sequence[Any]) -> bool:
        """Return whether the outputs stay the same if each group of members gets another order.

        The outputs before are computed once for the same architectures: all permutations are undone.
        """
        key = tuple(archs)
        if key not in self._before:
            self._before[key] = self.outputs(archs)
        orders = [(part, order) for part, order in zip(parts, _random_orders(parts), strict=True)]
        with permuted(orders):
            try:
                after = self.outputs(archs)
            except Exception:  # an order that the model cannot run with is not free
                return False
        return self.same(self._before[key], after, orders)

    def same(self, before: Sequence[tuple[str, Tensor]], after: Sequence[tuple[str, Tensor]], orders: Orders) -> bool:
        """Return whether outputs are equal up to rounding, and up to the order of units where that does not matter."""
        largest = max((_largest(x) for _, x in before), default=0.0)
        tolerance = max(_TOLERANCE, self._eps**0.5)
        return len(before) == len(after) and all(
            any(
                _close(candidate, b, tolerance, largest) for candidate in (a, *(self._in_other_orders(name, a, orders)))
            )
            for (name, a), (_, b) in zip(before, after, strict=True)
        )

    def _in_other_orders(self, name: str, output: Tensor, orders: Orders) -> list[Tensor]:
        if not {"output", name} & set(self._order_free):
            return []
        return [
            output.index_select(dim, order.to(output.device))
            for _, order in orders
            for dim in range(output.ndim)
            if output.shape[dim] == len(order)
        ]

    def _run(self, arch: Any, example: object) -> list[tuple[str, Tensor]]:
        mode = InFloat64() if self._wide else None
        # a forward pass that draws noise draws the same each time, from the restored state
        with (
            warnings.catch_warnings(),
            torch.random.fork_rng(self._devices),
            self._axes.at(arch),
            mode or nullcontext(),
        ):
            warnings.filterwarnings("ignore", "Mismatch dtype", UserWarning)  # of a fused norm, in float64 by intent
            output = call(self._model, example)
        self._raise_pending()
        floating = [(name or "output", x) for name, x in tensors_of(output) if x.is_floating_point()]
        dtypes = [x.dtype for _, x in floating] if mode is None else []
        self._eps = max([self._eps, *([mode.eps] if mode else []), *(torch.finfo(dtype).eps for dtype in dtypes)])
        return floating


def call(model: nn.Module, example: object) -> Any:
    """Return the output of a model on a tensor, a tuple of arguments or a mapping of keyword arguments."""
    if isinstance(example, Mapping):
        return model(**example)
    return model(*(example if isinstance(example, tuple) else (example,)))


def tensors_of(output: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of an output in its order, with their keys or positions, such as ``logits`` or ``1.0``."""
    if isinstance(output, Tensor):
        yield name, output
    elif is_dataclass(output) and not isinstance(output, Mapping):
        yield from tensors_of(vars(output), name)
    elif isinstance(output, (Mapping, list, tuple)):
        for key, value in output.items() if isinstance(output, Mapping) else enumerate(output):
            yield from tensors_of(value, f"{name}.{key}".lstrip("."))


def _random_orders(parts: Sequence[Sequence[Member]]) -> list[Tensor]:
    generator, found = torch.Generator().manual_seed(0), []
    for part in parts:
        order = torch.randperm(part[0].units, generator=generator)
        identity = torch.equal(order, order.sort().values)
        found.append(order.flip(0) if identity else order)
    return found


def _largest(output: Tensor) -> float:
    finite = output[output.isfinite()]
    return float(finite.abs().max()) if finite.numel() else 0.0


def _close(a: Tensor, b: Tensor, tolerance: float, largest: float) -> bool:
    if a.shape != b.shape:
        return False
    equal = (a == b) | (a.isnan() & b.isnan())
    difference = torch.where(equal, 0.0, (a - b).abs())
    return float(difference.max() if difference.numel() else 0.0) <= tolerance * max(_largest(a), _SMALL * largest)
