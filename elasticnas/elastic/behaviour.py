"""Behaviour: what a built model computes if single units of a tensor are kept, or units are permuted."""

import contextlib
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_map

from elasticnas.elastic.exact import ExactMode
from elasticnas.elastic.trial import tensors_of
from elasticnas.elastic.writes import no_writes

__all__ = ["UNKNOWN", "Behaviour", "Dim", "Gate", "Links", "agree"]

Dim = tuple[str, int]
"""A dimension of a tensor: name of the tensor and number of the dimension."""

Links = dict[Dim, npt.NDArray[np.int8]]
"""Which units of each dimension still matter if only one unit of another dimension is kept: 0 no, 1 yes, 2 unknown."""

UNKNOWN = 2


@dataclass(frozen=True)
class Gate:
    """A dimension of which one unit is kept at a time.

    Attributes:
        dim: The dimension.
        kinds: The kind of each unit, if only the other units of the same kind are removed; None to remove all others.
        alike: Names of the tensors that are reduced with it: those that only differ from it in their layer.
    """

    dim: Dim
    kinds: tuple[int, ...] | None = None
    alike: tuple[str, ...] = ()


# gradients relative to those of other tensors; rounding is 1e-16
_ZERO, _SURE = 1e-13, 1e-8
_CHUNK_NUMBERS = 20_000_000  # gradients held at once
_AT_ONCE = 512  # units of a dimension that are measured together
_CHEAP_NUMBERS = 3_000_000


class Behaviour:
    """A model filled with random weights, in float64.

    Args:
        skeleton: The model, with parameters on the meta device and real buffers, in eval mode; it is filled.
        example: Its input.
        filled: Names of the buffers to fill too; others keep their values.

    Attributes:
        tensors: Parameters and float buffers by name.
        baseline: The outputs with the present weights.

    Raises:
        AxisError: The forward pass writes to parameters.
        ValueError: The model has no floating-point output, or not a finite one.
        Exception: Whatever the model raises for the example.
    """

    def __init__(self, skeleton: nn.Module, example: Any, filled: Collection[str] = ()) -> None:
        self.model, self._filled = skeleton, filled
        self.example = tree_map(_on_cpu, example)
        self.vectorised = True
        self.tensors: dict[str, Tensor] = {}
        self._rows: dict[tuple[int, Gate, int], Links] = {}
        self._seen: dict[tuple[int, Gate, int], frozenset[str]] = {}
        self._weights: list[Tensor] = []
        self._touched: set[str] | None = None
        self._draw(0)

    def _draw(self, seed: int) -> None:
        """Fill the model with random weights."""
        _fill(self.model, seed, self._filled)
        self.model.double()
        named = [*self.model.named_parameters(), *self.model.named_buffers()]
        self.tensors = {name: tensor.detach() for name, tensor in named if tensor.is_floating_point()}
        held = {name for name, _ in self.model.named_buffers()}
        self.parameters = [key for key in self.tensors if key not in held]
        with torch.no_grad(), no_writes(self.model):
            self.baseline = outputs = self.outputs({})
        if not outputs or not all(bool(x.isfinite().all()) for x in outputs):
            raise ValueError("the output has no finite numbers" if outputs else "the output has no numbers")
        generator = torch.Generator().manual_seed(1)
        self._weights = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in outputs]
        self._seed = seed

    def outputs(self, changed: Mapping[str, Tensor], example: Any = None) -> list[Tensor]:
        """Return the floating-point outputs with some tensors replaced; noise is the same at every call."""
        # the kernel of plain products runs for all units at once
        with _seeded(), ExactMode(), sdpa_kernel(SDPBackend.MATH):
            given = self.example if example is None else example
            tensors = {**self.tensors, **changed}
            if isinstance(given, Mapping):
                found = functional_call(self.model, tensors, (), dict(given))
            else:
                found = functional_call(self.model, tensors, given if isinstance(given, tuple) else (given,))
        return [x for _, x in tensors_of(found) if x.is_floating_point()]

    @property
    def cheap(self) -> bool:
        """Whether a pass for every unit of a dimension takes little more than a pass for some."""
        return self.vectorised and sum(tensor.numel() for tensor in self.tensors.values()) <= _CHEAP_NUMBERS

    def affects(self, name: str) -> bool:
        """Return whether a parameter has a gradient; True for other names, such as those of buffers."""
        if self._touched is None:
            given = {key: self.tensors[key].clone().requires_grad_() for key in self.parameters}
            with _quiet():
                found = torch.autograd.grad(self._loss(given, {}), list(given.values()), materialize_grads=True)
            sizes = {key: float(gradient.abs().max()) for key, gradient in zip(given, found, strict=True)}
            self._touched = {key for key, size in sizes.items() if size > _ZERO * max(sizes.values())}
        return name in self._touched or name not in self.parameters

    def links(self, source: Gate, units: Sequence[int], targets: Sequence[str], seed: int = 0) -> list[Links]:
        """Return which units of the targets matter if a single unit of the source is kept, for each given unit.

        The vectors of the same module with as many units, such as a bias, are reduced to the unit as well.

        Args:
            source: The dimension, and what is removed from it.
            units: Units of it.
            targets: Names of tensors.
            seed: Seed of the random weights.
        """
        wanted = {target for target in targets if target in self.parameters}
        missing = [unit for unit in units if not wanted <= self._seen.get((seed, source, unit), frozenset())]
        if missing:
            if seed != self._seed:
                self._draw(seed)
            size = self.tensors[source.dim[0]].shape[source.dim[1]]
            # all units at once cost little more than some
            self._measure(source, range(size) if self.cheap and size <= _AT_ONCE else missing, wanted)
        return [self._rows[seed, source, unit] for unit in units]

    def _measure(self, source: Gate, units: Sequence[int], targets: set[str]) -> None:
        wanted, gated = sorted(targets), self._with_companions(source)
        numbers = sum(self.tensors[target].numel() for target in {*wanted, *gated})
        chunk = max(1, _CHUNK_NUMBERS // max(1, numbers))
        for start in range(0, len(units), chunk):
            some = list(units[start : start + chunk])
            pieces = {key: _only(self.tensors[key], dim, some, source.kinds) for key, dim in gated.items()}
            patterns = self._gradients(pieces, wanted)
            for row, unit in enumerate(some):
                for key in gated.items() & patterns.keys():
                    patterns[key][row, unit] = UNKNOWN  # a norm does not see the scale of a single unit
                self._rows[self._seed, source, unit] = {key: value[row] for key, value in patterns.items()}
                self._seen[self._seed, source, unit] = frozenset(wanted)

    def _with_companions(self, source: Gate) -> dict[str, int]:
        """Return the tensors to reduce, with the dimension of each.

        These are the tensor, those that only differ from it in their layer, as layers may share other tensors, and the
        vectors of their modules with as many units, such as biases.
        """
        name, dim = source.dim
        size = self.tensors[name].shape[dim]
        gated = dict.fromkeys((name, *source.alike), dim)
        owners = {other.rpartition(".")[0] for other in gated}
        for other in self.parameters:
            mate = other.rpartition(".")[0] in owners and tuple(self.tensors[other].shape) == (size,)
            if mate and other not in gated:
                gated[other] = 0
        return gated

    def _gradients(self, gated: dict[str, Tensor], targets: list[str]) -> Links:
        free = {name: self.tensors[name] for name in targets if name not in gated}
        with _quiet(), _seeded():
            if self.vectorised:
                try:
                    first, second = vmap(grad(self._loss, argnums=(0, 1)), in_dims=(0, None), randomness="same")(
                        gated, free
                    )
                    return _patterns({**first, **second}, targets)
                except Exception:  # what vmap does not support, such as code that looks at values
                    self.vectorised = False
            rows = [
                self._one({name: value[row] for name, value in gated.items()}, free)
                for row in range(len(next(iter(gated.values()))))
            ]
        return _patterns({name: torch.stack([row[name] for row in rows]) for name in rows[0]}, targets)

    def _one(self, gated: dict[str, Tensor], free: dict[str, Tensor]) -> dict[str, Tensor]:
        given = {name: value.clone().requires_grad_() for name, value in {**free, **gated}.items()}
        found = torch.autograd.grad(self._loss(given, {}), list(given.values()), materialize_grads=True)
        return dict(zip(given, found, strict=True))

    def _loss(self, gated: dict[str, Tensor], free: dict[str, Tensor]) -> Tensor:
        outputs = self.outputs({**free, **gated})
        return torch.stack([(x * weight).sum() for x, weight in zip(outputs, self._weights, strict=True)]).sum()


def agree(first: npt.NDArray[np.int8], second: npt.NDArray[np.int8]) -> bool:
    """Return whether two patterns are equal wherever both are known."""
    return bool(((first == second) | (first == UNKNOWN) | (second == UNKNOWN)).all())


def _patterns(gradients: Mapping[str, Tensor], targets: Sequence[str]) -> Links:
    sizes = {name: gradients[name].abs() for name in targets if name in gradients}
    tops = torch.stack([value.flatten(1).amax(1) for value in sizes.values() if value[0].numel()])
    # the median, as norms of zeros have huge gradients
    tops = tops.masked_fill(tops == 0, torch.nan).nanmedian(0).values.nan_to_num()
    found = {}
    for name, value in sizes.items():
        for dim in range(value.ndim - 1):
            others = [other for other in range(1, value.ndim) if other != dim + 1]
            largest = value.amax(others) if others else value
            known = (largest > _SURE * tops[:, None]).to(torch.int8)
            # a tensor without a sure gradient may have one of rounding only, as below a norm of a single unit
            faint = (known.sum(1) == 0) & (largest > 0).any(1)
            between = ((largest > _ZERO * tops[:, None]) | faint[:, None]) & (known == 0)
            found[name, dim] = known.masked_fill(between, UNKNOWN).numpy()
    return found


def _only(tensor: Tensor, dim: int, units: Sequence[int], kinds: tuple[int, ...] | None) -> Tensor:
    """Return ``(len(units), *shape)``: the tensor with all but one unit of the dimension, or of its kind, set to 0."""
    size = tensor.shape[dim]
    kept = torch.eye(size, dtype=torch.bool)[list(units)]
    if kinds is not None:
        each = torch.tensor(kinds)
        kept |= each[list(units)][:, None] != each[None, :]
    shape = [len(units)] + [1] * tensor.ndim
    shape[dim + 1] = size
    return tensor * kept.view(shape)


@torch.no_grad()
def _fill(model: nn.Module, seed: int, buffers: Collection[str]) -> None:
    """Give every parameter and some buffers random values; equal ones would hide structure."""
    generator = torch.Generator().manual_seed(seed)
    for name, buffer in model.named_buffers():
        if name in buffers and buffer.is_floating_point():
            noise = torch.randn(buffer.shape, generator=generator, dtype=torch.float64)
            buffer.copy_((1 + 0.3 * noise).abs())
    made: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            if id(parameter) not in made:
                made[id(parameter)] = nn.Parameter(_drawn(parameter, generator), parameter.is_floating_point())
            module._parameters[name] = made[id(parameter)]


def _drawn(parameter: Tensor, generator: torch.Generator) -> Tensor:
    shape = parameter.shape
    if not parameter.is_floating_point():
        return torch.zeros(shape, dtype=parameter.dtype)
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    if parameter.ndim < 2:
        return 1 + 0.3 * noise
    inputs = shape[1:].numel() if parameter.ndim > 3 else shape[-1]
    scale: float = 0.8 / max(1, inputs) ** 0.5
    return noise * scale


def _on_cpu(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    value = value.detach().cpu()
    return value.double() if value.is_floating_point() else value


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    """Let a model that draws noise draw the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
