"""What is found in large spaces, what belongs to a space, and which names its fields may bear."""

import itertools
import random
from collections import Counter
from functools import cached_property
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, Field, create_model, model_validator

from elasticnas import PerLayer, Space
from elasticnas.axes import Axes
from elasticnas.errors import ArchitectureError, SpaceError
from tests.space.brute_force import nearest, valid


def ruled(refuses, *, layers=12, options=(4, 3, 2, 1)):
    """A space of layers that a rule narrows down."""

    def rule(arch):
        if refuses(arch.inner):
            raise ValueError("refused")
        return arch

    fields: dict[str, Any] = {"inner": (Annotated[tuple[Literal[options], ...], PerLayer(layers)], ...)}
    return create_model("Ruled", __base__=Space, __validators__={"rule": model_validator(mode="after")(rule)}, **fields)


def singly_better(arch, better):
    """The architectures in which one layer has a better option."""
    for position, width in enumerate(arch.inner):
        for option in better(width):
            yield (*arch.inner[:position], option, *arch.inner[position + 1 :])


def test_the_largest_is_found_far_from_the_extreme():
    space = ruled(lambda inner: sum(inner) > 24)
    largest = space.largest()
    assert sum(largest.inner) == 24 and space.smallest().inner == (1,) * 12
    assert all(sum(inner) > 24 for inner in singly_better(largest, lambda width: range(width + 1, 5)))


def test_the_smallest_is_found_far_from_the_extreme():
    space = ruled(lambda inner: sum(inner) < 36)
    assert sum(space.smallest().inner) == 36
    assert all(sum(inner) < 36 for inner in singly_better(space.smallest(), lambda width: range(1, width)))


@pytest.mark.parametrize(
    "refuses", [lambda w: any(a < b for a, b in itertools.pairwise(w)), lambda w: list(w) != sorted(w)[::-1]]
)
def test_non_increasing_widths_are_sampled(refuses):
    space = ruled(refuses, options=(5, 4, 3, 2, 1))
    drawn = [space.sample(random.Random(seed)).inner for seed in range(20)]
    assert all(list(inner) == sorted(inner, reverse=True) for inner in drawn) and len(set(drawn)) > 10
    assert drawn[3] == space.sample(random.Random(3)).inner
    assert space.largest().inner == (5,) * 12 and space.smallest().inner == (1,) * 12


def test_what_is_rare_is_drawn_with_the_probabilities_of_what_is_frequent():
    """One in 4,096 assignments is valid: rejection gives up, the list of ways has the rest, each of them as often."""

    class Rare(Space):
        inner: Annotated[tuple[Literal[0, 1], ...], PerLayer(16)]
        depth: Literal[1, 2]
        layers: Annotated[tuple[Literal[1, 2, 3], ...], PerLayer("depth")]

        @model_validator(mode="after")
        def zero(self):
            if any(self.inner[:15]) or (self.inner[15] and self.depth == 2):
                raise ValueError("zero")
            return self

    rng = random.Random(0)
    drawn = Counter((arch.inner[15], arch.layers) for arch in (Rare.sample(rng) for _ in range(3000)))
    # of 2 * 2 * 9 assignments a third is not valid; those of depth 1 have 3 assignments of the second layer each
    expected = {(last, (x,)): 3 / 27 for last in (0, 1) for x in (1, 2, 3)}
    expected |= {(0, layers): 1 / 27 for layers in itertools.product((1, 2, 3), repeat=2)}
    assert drawn.keys() == expected.keys()
    # five standard deviations
    assert all(abs(drawn[key] - 3000 * p) < 5 * (3000 * p * (1 - p)) ** 0.5 for key, p in expected.items())


def test_the_nearest_is_exact_where_few_are_nearer():
    space = ruled(lambda inner: inner.count(4) > 10 or sum(inner) % 3 == 1, layers=12)
    assert space.largest().inner == min(
        (inner for inner in itertools.product((4, 3, 2), repeat=12) if inner.count(4) <= 10 and sum(inner) % 3 != 1),
        key=lambda inner: (48 - sum(inner), [4 - width for width in inner]),
    )


@pytest.mark.parametrize("layers", [3, 12])
def test_nothing_valid_is_said_soon(layers):
    space = ruled(lambda inner: sum(inner) < 1000, layers=layers)
    for find in (space.largest, space.smallest, lambda: space.sample(random.Random(0))):
        with pytest.raises(SpaceError, match="no valid architecture") as raised:
            find()
        assert "\n" not in str(raised.value) and "loosen" in str(raised.value)
    with pytest.raises(
        SpaceError, match="reject all of them" if layers == 3 else "found in 10,000 draws, but there may be one"
    ):
        space.sample(random.Random(0))


class Mixed(Space):
    hidden: Literal[8, 4]
    depth: Literal[1, 2]
    inner: Annotated[tuple[Literal[2, 1], ...], PerLayer("depth")]

    @model_validator(mode="after")
    def small(self):
        if self.hidden == 4 and self.inner[0] == 2:
            raise ValueError("hidden=4 needs inner=1")
        return self


class Nested(Space):
    part: Mixed
    kind: Literal["a", "b"]


ARCH = Mixed(hidden=8, depth=2, inner=(2, 1))


@pytest.mark.parametrize(
    ("message", "arch"),
    [
        ("hidden: Input should be 8 or 4 (got 5)", ARCH.model_copy(update={"hidden": 5})),
        ("hidden=4 needs inner=1", ARCH.model_copy(update={"hidden": 4})),
        ("inner has 2 entries, but depth is 1", ARCH.model_copy(update={"depth": 1})),
        ("inner: Input should be a valid tuple", ARCH.model_copy(update={"inner": 3})),
        ("hidden is '8'", None),
        ("expected an architecture of Mixed, got 3 (int)", 3),
        ("expected an architecture of Mixed, got Nested(", Nested(part=ARCH, kind="a")),
        ("inner", Mixed.model_construct(hidden=8, depth=1)),
    ],
)
def test_what_is_no_architecture_is_refused(message, arch):
    if arch is None:
        message, arch = "hidden: Input should be 8 or 4", ARCH.model_copy(update={"hidden": "8"})
    for use in (Mixed.info().check, Mixed.assignment, Mixed.indices, Mixed.present, Mixed.neighbours):
        with pytest.raises(ArchitectureError) as raised:
            use(arch)
        assert message in str(raised.value) and "\n" not in str(raised.value)


def test_what_is_no_nested_architecture_is_refused():
    wrong = Nested(part=ARCH, kind="a")
    for part in (ARCH.model_copy(update={"hidden": 5}), None, Mixed.model_construct(hidden=8)):
        with pytest.raises(ArchitectureError, match=r"^Nested: part"):
            Nested.info().check(wrong.model_copy(update={"part": part}))
    Nested.info().check(wrong)


def test_true_and_one_are_two_options():
    class Either(Space):
        a: Literal[1, True, 2]
        b: Literal[0, False]

    assert Either.size() == 6 == len(list(Either.enumerate()))
    arch = Either(a=1, b=0)
    assert [(n.a, n.b) for n in Either.neighbours(arch)] == [(True, 0), (2, 0), (1, False)]
    assert [type(n.a) for n in Either.neighbours(arch)] == [bool, int, int]
    assert Either.indices(Either(a=True, b=False)) == {"a": 1, "b": 1}


def test_options_that_validation_cannot_tell_apart_are_refused():
    class Equal(Space):
        a: Literal[1.0, True]

    with pytest.raises(SpaceError, match=r"Equal\.a: the option 1\.0 is read as True; leave one of the two out"):
        Equal.choices()


def test_a_value_for_each_choice_is_needed():
    with pytest.raises(ArchitectureError, match="the choice 'depth' has no value; give it one"):
        Mixed.from_assignment({"hidden": 8})
    with pytest.raises(ArchitectureError, match="hidden: Input should be 8 or 4"):
        Mixed.from_assignment({"hidden": 7, "depth": 1, "inner.0": 1})


PUBLIC = sorted(name for name in dir(Axes) if not name.startswith("_"))


@pytest.mark.parametrize("name", [*PUBLIC, "sample", "model_dump"])
def test_names_that_axes_or_spaces_have_are_no_fields(name):
    message = rf"Wrong\.{name}: '{name}' is .*; give the field another name"
    with pytest.raises(SpaceError, match=message):
        type("Wrong", (Space,), {"__annotations__": {name: Literal[1, 2]}, "__module__": __name__})
    with pytest.raises(SpaceError, match=message):
        create_model("Wrong", __base__=Space, **{name: (Literal[1, 2], ...)})
    for kind in (property, cached_property):
        body = {"__annotations__": {"a": Literal[1, 2]}, "__module__": __name__, name: kind(lambda self: self.a)}
        with pytest.raises(SpaceError, match=message):
            type("Wrong", (Space,), body)


def test_a_nested_model_that_is_no_space_is_refused():
    from pydantic import BaseModel

    class Plain(BaseModel):
        a: Literal[1, 2]

    class Holder(Space):
        part: Plain

    with pytest.raises(SpaceError, match=r"Holder\.part: Plain is no Space; derive it from elasticnas\.Space"):
        Holder.choices()


class Sizes(Space):
    inner: Annotated[tuple[Literal[2048, 1536, 1024, 512], ...], PerLayer(24)]
    heads: Literal[4, 2]

    @property
    def total(self) -> int:
        return sum(self.inner)

    @property
    def pair(self) -> tuple[int, int]:
        return self.heads, 2 * self.heads

    @property
    def title(self) -> str:
        return f"{self.heads} heads"

    @property
    def fixed(self) -> int:
        return 7

    @property
    def raises(self) -> int:
        raise RuntimeError("examined")


class Whole(Space):
    part: Sizes
    width: Literal[3, 2]

    @property
    def double(self) -> int:
        return 2 * self.width


def test_a_property_that_nothing_uses_costs_nothing():
    axes, arch = Sizes.axes(), Sizes.largest()
    with axes.masked(arch):
        assert axes.inner[0].size == 2048
    assert "total" in repr(axes) and "total" in dir(axes)
    assert axes.pair[1].options == (4, 8)
    assert {axis.name for axis in axes.all()} == {*Sizes.choices(), "pair.0", "pair.1"}


def test_a_property_over_too_much_is_refused_where_it_is_used():
    way_out = (
        r"Sizes\.total depends on 24 choices with 281,474,976,710,656 combinations, and a derived size on at most "
        r"262,144: let it read fewer choices"
    )
    with pytest.raises(SpaceError, match=way_out):
        _ = Sizes.axes().total
    with pytest.raises(SpaceError, match=r"part\.total depends on 24 choices"):
        _ = Whole.axes().part.total
    with pytest.raises(SpaceError, match="fails on every architecture"):
        _ = Sizes.axes().raises


def test_what_is_no_size_has_no_axis():
    for name in ("title", "fixed", "missing"):
        with pytest.raises(AttributeError, match=f"no size '{name}'"):
            getattr(Sizes.axes(), name)
        with pytest.raises(AttributeError, match=f"no size '{name}'"):
            getattr(Whole.axes().part, name)


def test_properties_of_nested_spaces_are_named_and_used():
    axes = Whole.axes()
    assert Whole.info().properties == ("double", *(f"part.{name}" for name in Sizes.info().properties))
    assert axes.named("part.pair.1") is axes.part.pair[1] and axes.double.options == (4, 6)
    with axes.at(Whole(part=Sizes(inner=(512,) * 24, heads=2), width=2)):
        assert (axes.part.pair[1].at(), axes.double.at()) == (4, 4)
    assert {"pair", "heads", "total"} <= set(dir(axes.part))


def test_a_property_that_reads_on_a_rare_branch_depends_on_what_it_reads():
    class Rare(Space):
        width: Annotated[tuple[Literal[1, 2, 3, 4], ...], PerLayer(6)]
        bits: Literal[8, 4]

        @property
        def cost(self) -> int:
            return self.bits if set(self.width) == {4} else 1

    quantity = Rare.info().derived("cost")["cost"]
    assert {choice.name for choice in quantity.choices} == set(Rare.choices())
    assert quantity.options == (1, 4, 8)


def test_the_nearest_of_the_example_is_that_of_every_combination():
    assert Mixed.largest() == nearest(Mixed, largest=True) and Mixed.smallest() == nearest(Mixed, largest=False)
    assert len(valid(Mixed)) == Mixed.size()


def test_options_that_a_field_refuses_are_never_drawn():
    def even(value: int) -> int:
        if value % 2:
            raise ValueError("even")
        return value

    class Filtered(Space):
        depth: Literal[19, 20]
        inner: Annotated[
            tuple[Annotated[Literal[5, 4, 3, 2, 1], Field(), AfterValidator(even)], ...], PerLayer("depth")
        ]

        @model_validator(mode="after")
        def small(self):
            if sum(self.inner) > 50:
                raise ValueError("too wide")
            return self

    found = [Filtered.largest(), Filtered.smallest(), *(Filtered.sample(random.Random(seed)) for seed in range(10))]
    assert all(set(arch.inner) <= {2, 4} and sum(arch.inner) <= 50 for arch in found)
    assert sum(found[0].inner) == 50 and found[1].inner == (2,) * 19


@pytest.mark.parametrize(
    "name", ["at", "masked", "relaxed", "space", "scopes", "named", "all", "current", "derive", "origin"]
)
def test_names_of_the_axes_are_refused(name):
    with pytest.raises(SpaceError, match=f"{name}"):
        type("Named", (Space,), {"__annotations__": {name: Literal[2, 1]}, "__module__": __name__})
    with pytest.raises(SpaceError, match=f"{name}"):
        type(
            "Named",
            (Space,),
            {"__annotations__": {"w": Literal[2, 1]}, name: property(lambda self: self.w), "__module__": __name__},
        )
