"""Hypothesis strategies for spaces and architectures."""

import random
from typing import Annotated, Any, Literal, get_args

import torch
from hypothesis import strategies as st
from pydantic import create_model, model_validator
from torch import Tensor

from elasticnas.errors import ArchitectureError
from elasticnas.space import PerLayer, Range, Space

__all__ = ["architectures", "inputs", "spaces"]


def architectures(space: type[Space]) -> st.SearchStrategy[Any]:
    """Return a strategy for valid architectures of a space; the largest and smallest are frequent.

    Failures shrink towards the first options.
    """
    free = st.fixed_dictionaries({name: st.sampled_from(options) for name, options in space.choices().items()})
    seeds = st.integers(0, 2**32 - 1)

    def build(assignment: dict[str, Any], seed: int) -> Any:
        try:
            return space.from_assignment(assignment)
        except ArchitectureError:  # a rule forbids the combination: draw a valid one
            return space.sample(random.Random(seed))

    drawn = st.builds(build, free, seeds)
    return st.one_of(st.just(space.largest()), st.just(space.smallest()), drawn, drawn)


def inputs(*shape: int, dtype: torch.dtype = torch.float64) -> st.SearchStrategy[Tensor]:
    """Return a strategy for normally distributed tensors of small, ordinary or large scale, or all zeros.

    Args:
        *shape: The shape, batch first for :func:`elasticnas.testing.assert_mask_slice_equal`.
        dtype: A floating-point dtype.
    """

    def draw(seed: int, scale: float) -> Tensor:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * scale

    return st.builds(draw, st.integers(0, 2**32 - 1), st.sampled_from([1.0, 1e-3, 30.0, 0.0]))


@st.composite
def spaces(draw: st.DrawFn, nested: bool = True, rules: bool = True) -> type[Space]:
    """Draw spaces with one to four choices: literals, ranges, branches, per-layer choices, a nested space, a rule."""
    fields: dict[str, Any] = {}
    sizes = st.lists(st.integers(1, 64), min_size=1, max_size=4, unique=True)
    for number in range(draw(st.integers(1, 3))):
        fields[f"width{number}"] = (Literal[tuple(draw(sizes))], ...)
    kind = draw(st.sampled_from(["none", "range", "branch", "per-layer", "tied", "nested", "rule"]))
    if kind == "range":
        low, step = draw(st.integers(1, 8)), draw(st.integers(1, 4))
        fields["ranged"] = (Annotated[int, Range(low, low + step * draw(st.integers(0, 3)), step)], ...)
    elif kind == "branch":
        fields["branch"] = (Literal["left", "right"], ...)
    elif kind == "per-layer":
        fields["inner"] = (_per_layer(draw(sizes), draw(st.integers(1, 3))), ...)
    elif kind == "tied":
        fields["depth"] = (Literal[1, 2, 3], ...)
        fields["inner"] = (_per_layer(draw(sizes), "depth"), ...)
    elif kind == "nested" and nested:
        fields["part"] = (draw(spaces(nested=False, rules=False)), ...)
    if kind == "rule" and rules and len(fields) > 1:
        return create_model("Drawn", __base__=Space, __validators__={"ordered": _ordered(draw, fields)}, **fields)
    return create_model("Drawn", __base__=Space, **fields)


def _ordered(draw: st.DrawFn, fields: dict[str, Any]) -> Any:
    """Return a rule that forbids the largest option of one choice together with the smallest of another."""
    first, second = draw(st.permutations(list(fields)))[:2]
    most, least = max(get_args(fields[first][0])), min(get_args(fields[second][0]))

    def check(self: Any) -> Any:
        if getattr(self, first) == most and getattr(self, second) == least and len(get_args(fields[first][0])) > 1:
            raise ValueError(f"{first}={most} is not allowed with {second}={least}")
        return self

    return model_validator(mode="after")(check)


def _per_layer(sizes: Any, count: int | str) -> Any:
    option: Any = Literal[tuple(sizes)]
    return Annotated[tuple[option, ...], PerLayer(count)]
