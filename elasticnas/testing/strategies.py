"""Hypothesis strategies for spaces and architectures."""

import random
from typing import Annotated, Any, Literal

from hypothesis import strategies as st
from pydantic import create_model

from elasticnas.space import PerLayer, Range, Space

__all__ = ["architectures", "spaces"]


def architectures(space: type[Space]) -> st.SearchStrategy[Any]:
    """Valid architectures of a space; the largest and the smallest often."""
    drawn = st.integers(0, 2**32 - 1).map(lambda seed: space.sample(random.Random(seed)))
    return st.one_of(st.just(space.largest()), st.just(space.smallest()), drawn, drawn)


@st.composite
def spaces(draw: st.DrawFn, nested: bool = True) -> type[Space]:
    """Spaces with one to four choices: literals, ranges, branches, per-layer choices, a nested space, a rule."""
    fields: dict[str, Any] = {}
    sizes = st.lists(st.integers(1, 64), min_size=1, max_size=4, unique=True)
    for number in range(draw(st.integers(1, 3))):
        fields[f"width{number}"] = (Literal[tuple(draw(sizes))], ...)
    kind = draw(st.sampled_from(["none", "range", "branch", "per-layer", "tied", "nested"]))
    if kind == "range":
        low, step = draw(st.integers(1, 8)), draw(st.integers(1, 4))
        fields["ranged"] = (Annotated[int, Range(low, low + step * draw(st.integers(0, 3)), step)], ...)
    elif kind == "branch":
        fields["branch"] = (Literal["left", "right"], ...)
    elif kind == "per-layer":
        fields["inner"] = (PerLayer.__class_getitem__((Literal[tuple(draw(sizes))], draw(st.integers(1, 3)))), ...)
    elif kind == "tied":
        fields["depth"] = (Literal[1, 2, 3], ...)
        fields["inner"] = (PerLayer.__class_getitem__((Literal[tuple(draw(sizes))], "depth")), ...)
    elif kind == "nested" and nested:
        fields["part"] = (draw(spaces(nested=False)), ...)
    return create_model("Drawn", __base__=Space, **fields)
