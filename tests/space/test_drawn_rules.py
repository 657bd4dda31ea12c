"""Rules of every shape: what a space counts, lists and finds is what pydantic accepts, one by one."""

import copy
import itertools
import math
import operator
import random
from functools import cached_property
from typing import Annotated, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import field_validator, model_validator

from elasticnas import PerLayer, Space
from elasticnas.errors import SpaceError
from tests.space.brute_force import nearest, valid


class Part(Space):
    x: Literal[1, 2]
    y: Literal["s", "t"]

    @property
    def twice(self) -> int:
        return 2 * self.x

    @cached_property
    def kept(self) -> int:
        return self.x + (self.y == "t")


class Base(Space):
    a: Literal[1, 3, 2]
    on: bool
    w: Annotated[tuple[Literal[3, 1, 2], ...], PerLayer(2)]
    depth: Literal[0, 2, 1]
    v: Annotated[tuple[Literal[1, 2], ...], PerLayer("depth")]
    part: Part

    @property
    def total(self) -> int:
        return sum(self.w) + self.part.twice


def unpacked(arch):
    first, *rest = arch.w
    return first - len(rest)


def matched(arch):
    match arch.v:
        case (first, second):
            return first * second
        case (only,):
            return only
        case _:
            return 0


READINGS = [
    lambda arch: arch.a,
    lambda arch: getattr(arch, "depth"),  # noqa: B009
    lambda arch: int(arch.on),
    lambda arch: arch.w[0],
    lambda arch: arch.w[-1],
    lambda arch: sum(arch.w),
    lambda arch: sum(arch.w[1:]),
    lambda arch: len(arch.v),
    lambda arch: len(arch.v[1:]),
    lambda arch: sum(arch.v),
    lambda arch: max(arch.w),
    lambda arch: sorted(arch.w)[0],
    lambda arch: arch.w[::-1][0],
    lambda arch: arch.w.count(2),
    lambda arch: arch.w.index(max(arch.w)),
    lambda arch: int(2 in arch.v),
    lambda arch: int(arch.w == (3, 1)),
    lambda arch: int((2, 1) < arch.w),  # noqa: SIM300 (the layers on the right)
    lambda arch: int(arch.v != arch.w[:1]),
    lambda arch: int(arch.w > arch.v),
    lambda arch: len(arch.w + arch.v),
    lambda arch: sum((1,) + arch.v),  # noqa: RUF005
    lambda arch: sum(arch.v * 2),
    lambda arch: len({arch.w, (1, 1)}),
    lambda arch: sum(x * y for x, y in zip(arch.w, arch.v, strict=False)),
    lambda arch: sum(a > b for a, b in itertools.pairwise(arch.w)),
    lambda arch: sum(reversed(arch.w)),
    lambda arch: sum(position * width for position, width in enumerate(arch.v)),
    lambda arch: math.prod(arch.w),
    lambda arch: max(*arch.w),
    lambda arch: int(bool(arch.v)),
    lambda arch: next(iter(arch.v), 0),
    lambda arch: len(str(arch.v)),
    unpacked,
    matched,
    lambda arch: sum(copy.deepcopy(arch.w)),
    lambda arch: arch.part.x,
    lambda arch: int(arch.part.y == "t"),
    lambda arch: arch.part.twice,
    lambda arch: arch.part.kept,
    lambda arch: arch.total,
    lambda arch: arch.model_dump()["a"],
    lambda arch: sum(arch.model_dump()["w"]),
    lambda arch: arch.model_dump(include={"depth"})["depth"],
    lambda arch: len(arch.model_dump_json()),
    lambda arch: arch.__dict__["a"],
    lambda arch: vars(arch)["depth"],
    lambda arch: dict(arch)["a"],
    lambda arch: sum(value for _, value in arch if type(value) is int),
    lambda arch: arch.model_copy(update={"a": 1}).depth,
    lambda arch: copy.copy(arch).a,
    lambda arch: int(arch == arch.model_copy(update={"a": 1})),
    lambda arch: int(arch.part == Part(x=1, y="s")),
    lambda arch: len({arch, arch.model_copy(update={"on": True})}),
    lambda arch: len(repr(arch)),
    lambda arch: sum(getattr(arch, name) for name in type(arch).model_fields if name in ("a", "depth")),
    lambda arch: int(isinstance(arch, Base) and issubclass(arch.__class__, Base)),
]
EVERY = valid(Base)
COMPARISONS = [operator.eq, operator.ne, operator.lt, operator.gt]


@st.composite
def refusals(draw, readings=READINGS):
    """Refuses where some comparisons hold, each made only where those before it do."""
    conditions = draw(
        st.lists(
            st.tuples(st.sampled_from(readings), st.sampled_from(COMPARISONS), st.integers(0, 4)),
            min_size=1,
            max_size=4,
        )
    )

    def refuse(arch):
        if all(compare(read(arch), number) for read, compare, number in conditions):
            raise ValueError("refused")
        return arch

    return refuse


@st.composite
def drawn_spaces(draw):
    """The base with rules of its own, of its part, and of its fields."""
    in_part = [lambda part: part.x, lambda part: part.twice, lambda part: part.kept, lambda part: int(part.y == "s")]
    in_layers = [sum, len, lambda w: w[0], lambda w: w[-1] - w[0], max]
    part = type("Part", (Part,), after(draw(st.lists(refusals(in_part), max_size=1))) | {"__module__": __name__})
    rules = after(draw(st.lists(refusals(), max_size=3)))
    for n, rule in enumerate(draw(st.lists(refusals(in_layers), max_size=1))):
        rules[f"layers{n}"] = field_validator("w")(lambda cls, value, rule=rule: rule(value))
    return type("Drawn", (Base,), {**rules, "__annotations__": {"part": part}, "__module__": __name__})


def after(rules):
    return {f"rule{number}": model_validator(mode="after")(rule) for number, rule in enumerate(rules)}


def listed(space):
    found = [arch.model_dump_json() for arch in space.enumerate()]
    assert len(set(found)) == len(found) == space.size()
    return set(found)


@pytest.mark.parametrize("position", range(len(READINGS)))
def test_every_way_to_read_an_architecture(position):
    """A rule forbids its largest value, behind one branch and before another."""
    read = READINGS[position]
    most = max(read(arch) for arch in EVERY if arch.on and arch.part.y == "s")

    def rule(arch):
        if arch.on and read(arch) == most and arch.part.y == "s":
            raise ValueError("refused")
        return arch

    space = type("Base", (Base,), after([rule]) | {"__module__": __name__})
    expected = {arch.model_dump_json() for arch in valid(space)}
    assert listed(space) == expected and len(expected) < len(EVERY)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(space=drawn_spaces(), seed=st.integers(0, 99))
def test_what_a_space_holds_is_what_pydantic_accepts(space, seed):
    expected = valid(space)
    assert listed(space) == {arch.model_dump_json() for arch in expected}
    if expected:
        assert space.largest() == nearest(space, largest=True)
        assert space.smallest() == nearest(space, largest=False)
        assert space.sample(random.Random(seed)) in expected
    else:
        for find in (space.largest, space.smallest, lambda: space.sample(random.Random(seed))):
            with pytest.raises(SpaceError, match="no valid architecture"):
                find()
