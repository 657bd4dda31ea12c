"""Validators of every kind, against every combination of options validated by pydantic itself."""

import itertools
import random
from functools import cached_property
from typing import Annotated, Any, Literal

import pytest
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    PrivateAttr,
    WrapValidator,
    field_validator,
    model_validator,
)

from elasticnas import PerLayer, Range, Space
from elasticnas.errors import SpaceError
from tests.space.brute_force import valid


def even(value: int) -> int:
    if value % 2:
        raise ValueError("even")
    return value


def small(layers: tuple[int, ...]) -> tuple[int, ...]:
    if sum(layers) > 4:
        raise ValueError("too wide")
    return layers


def not_equal_to_width(value: int, info: Any) -> int:
    if value == info.data["width"]:
        raise ValueError("differs from the width")
    return value


class AfterOnAField(Space):
    a: Annotated[int, Range(1, 6), AfterValidator(even)]
    b: Literal[1, 2]


class AfterOnElements(Space):
    depth: Literal[1, 2, 3]
    inner: Annotated[tuple[Annotated[int, Range(1, 4), AfterValidator(even)], ...], PerLayer("depth")]


class AfterOnLayers(Space):
    inner: Annotated[tuple[Literal[1, 2, 3], ...], PerLayer(3), AfterValidator(small)]
    b: Literal[1, 2]


class BeforeOnAField(Space):
    a: Annotated[Literal[1, 2, 3, 4], Field(), BeforeValidator(even)]
    b: Literal[1, 2]


class BeforeOnLayers(Space):
    inner: Annotated[tuple[Literal[1, 2, 3], ...], PerLayer(2), BeforeValidator(small)]
    b: Literal[1, 2]


class WrapOnAField(Space):
    a: Annotated[Literal[1, 2, 3, 4], Field(), WrapValidator(lambda value, handler: even(handler(value)))]
    b: Literal[1, 2]


class PlainOnAField(Space):
    a: Annotated[Literal[1, 2, 3, 4], Field(), PlainValidator(even)]
    b: Literal[1, 2]


class Constrained(Space):
    a: Annotated[int, Range(1, 6), Field(gt=2)]
    inner: Annotated[tuple[Annotated[int, Range(1, 3), Field(multiple_of=2)], ...], PerLayer(2)]


class InfoOnAField(Space):
    width: Literal[1, 2, 3]
    a: Annotated[Literal[1, 2, 3], Field(), AfterValidator(not_equal_to_width)]
    b: Literal[1, 2]


class InfoBefore(Space):
    width: Literal[1, 2, 3]
    a: Annotated[Literal[1, 2, 3], Field(), BeforeValidator(not_equal_to_width)]
    b: Literal[1, 2]


class InfoInADecorator(Space):
    width: Literal[1, 2, 3]
    a: Literal[1, 2, 3]
    b: Literal[1, 2]

    @field_validator("a")
    @classmethod
    def differs(cls, value, info):
        return not_equal_to_width(value, info) if "width" in info.data and info.field_name == "a" else value


class DecoratorOnEverything(Space):
    a: Literal[1, 2, 3]
    b: Literal[2, 4, 5]

    @field_validator("*")
    @classmethod
    def is_even(cls, value):
        return even(value)


class BeforeDecorator(Space):
    a: Literal[1, 2, 3]
    inner: Annotated[tuple[Literal[1, 2], ...], PerLayer(2)]

    @field_validator("inner", mode="before")
    @classmethod
    def starts_with_one(cls, value):
        if value[0] != 1:
            raise ValueError("starts with 1")
        return value


class PostInit(Space):
    a: Literal[1, 2, 3]
    b: Literal[1, 2]

    def model_post_init(self, context: Any) -> None:
        if self.a == 3 and self.b == 2:
            raise ValueError("not both")


class Private(Space):
    a: Literal[1, 2, 3]
    b: Literal[1, 2]
    _sum: int = PrivateAttr(default=0)

    @model_validator(mode="after")
    def adds_up(self):
        self._sum = self.a + self.b
        return self

    @model_validator(mode="after")
    def is_small(self):
        if self._sum > 3:
            raise ValueError("too large")
        return self


class Kept(Space):
    a: Literal[1, 2, 3]
    b: Literal[1, 2]

    @cached_property
    def product(self) -> int:
        return self.a * self.b

    @model_validator(mode="after")
    def is_small(self):
        if self.product > 3 or self.product == 1:
            raise ValueError("no")
        return self


class BeforeModel(Space):
    a: Literal[1, 2, 3]
    b: Literal[1, 2]

    @model_validator(mode="before")
    @classmethod
    def differs(cls, data):
        if data["a"] == data["b"]:
            raise ValueError("differs")
        return data


class WrapModel(Space):
    a: Literal[1, 2, 3]
    b: Literal[1, 2]

    @model_validator(mode="wrap")
    @classmethod
    def differs(cls, data, handler):
        arch = handler(data)
        if arch.a == arch.b:
            raise ValueError("differs")
        return arch


class OwnInit(Space):
    a: Literal[1, 2, 3]
    b: Literal[1, 2]

    def __init__(self, **values: Any) -> None:
        if values["a"] == values["b"]:
            raise ValueError("differs")
        super().__init__(**values)


class WithInfo(Space):
    a: Literal[1, 2, 3]
    b: Literal[1, 2]

    @model_validator(mode="after")
    def differs(self, info):
        if info.context is None and self.a == self.b:
            raise ValueError("differs")
        return self


class ByAssertion(Space):
    a: Literal[1, 2, 3]
    b: Literal[1, 2]

    @model_validator(mode="after")
    def differs(self):
        assert self.a != self.b
        return self


class OneBehindTheOther(Space):
    """The second rule fails where the first one refuses."""

    a: Literal[0, 1, 2]
    b: Literal[1, 2]

    @model_validator(mode="after")
    def is_positive(self):
        if self.a == 0:
            raise ValueError("positive")
        return self

    @model_validator(mode="after")
    def divides(self):
        if self.b % self.a:
            raise ValueError("divides")
        return self


class Outer(Space):
    one: PostInit
    other: Private
    c: Literal[1, 2]
    free: Literal[1, 2, 3]

    @model_validator(mode="after")
    def same(self):
        if self.one.a == 2 and self.other.b != self.c:
            raise ValueError("same")
        return self

    @field_validator("one")
    @classmethod
    def not_one(cls, value):
        if value.a == value.b == 1:
            raise ValueError("not one")
        return value


class OpaqueInside(Space):
    part: BeforeModel
    c: Literal[1, 2, 3]

    @model_validator(mode="after")
    def differs(self):
        if self.part.a == self.c:
            raise ValueError("differs")
        return self


class Stages(Space):
    """Two numbers of layers, one rule that reads neither unless a third choice says so."""

    early: Literal[1, 2]
    late: Literal[0, 1, 2]
    strict: bool
    first: Annotated[tuple[Literal[1, 2, 3], ...], PerLayer("early")]
    second: Annotated[tuple[Literal[1, 2], ...], PerLayer("late")]

    @model_validator(mode="after")
    def narrows(self):
        if self.strict and self.second and self.second[-1] > self.first[-1]:
            raise ValueError("narrows")
        return self


class Inherited(PostInit):
    c: Literal[1, 2]

    @model_validator(mode="after")
    def differs(self):
        if self.c == self.a:
            raise ValueError("differs")
        return self


KINDS = [
    AfterOnAField,
    AfterOnElements,
    AfterOnLayers,
    BeforeOnAField,
    BeforeOnLayers,
    WrapOnAField,
    PlainOnAField,
    Constrained,
    InfoOnAField,
    InfoBefore,
    InfoInADecorator,
    DecoratorOnEverything,
    BeforeDecorator,
    PostInit,
    Private,
    Kept,
    BeforeModel,
    WrapModel,
    OwnInit,
    WithInfo,
    ByAssertion,
    OneBehindTheOther,
    Outer,
    OpaqueInside,
    Stages,
    Inherited,
]


@pytest.mark.parametrize("space", KINDS)
def test_every_kind_of_validator_is_counted_and_listed(space):
    expected = valid(space)
    total = len(list(itertools.product(*space.choices().values())))
    assert 0 < len(expected) < total
    assert space.size() == len(expected)
    found = list(space.enumerate())
    assert len(found) == len(expected) and set(found) == set(expected)
    assert {space.sample(random.Random(seed)) for seed in range(20)} <= set(expected)
    assert {space.largest(), space.smallest()} <= set(expected)


def test_a_rule_behind_a_rare_branch_is_found():
    class Rare(Space):
        width: Annotated[tuple[Literal[1, 2, 3, 4, 5], ...], PerLayer(5)]
        bits: Literal[8, 4, 2]

        @model_validator(mode="after")
        def not_eight(self):
            if all(width == 5 for width in self.width):  # noqa: SIM102 (one branch within another)
                if self.bits == 8:
                    raise ValueError("not eight bits at the widest")
            return self

    assert Rare.size() == 5**5 * 3 - 1
    widest = [arch for arch in Rare.enumerate() if set(arch.width) == {5}]
    assert sorted(arch.bits for arch in widest) == [2, 4]


def test_rules_that_have_nothing_in_common_are_counted_apart():
    """Six stages of 6 ** 4 combinations each: 4.7e18 together."""

    class Stage(Space):
        width: Annotated[tuple[Literal[1, 2, 3, 4, 5, 6], ...], PerLayer(4)]

        @model_validator(mode="after")
        def narrows(self):
            if any(a < b for a, b in itertools.pairwise(self.width)):
                raise ValueError("narrows")
            return self

    class Six(Space):
        a: Stage
        b: Stage
        c: Stage
        d: Stage
        e: Stage
        f: Stage

    # multisets of 4 out of 6: C(9, 4)
    assert Stage.size() == 126 and Six.size() == 126**6


def test_layers_that_are_not_there_have_no_rules():
    class Filtered(Space):
        depth: Literal[1, 2]
        inner: Annotated[tuple[Annotated[Literal[1, 3], Field(), AfterValidator(even)], ...], PerLayer("depth")]
        b: Literal[1, 2]

    assert Filtered.size() == 0 and list(Filtered.enumerate()) == []


@pytest.mark.parametrize("mode", ["field", "annotated", "layers", "model", "instance", "none", "written", "dictionary"])
def test_a_validator_that_changes_a_value_is_refused(mode):
    def up(value):
        return value + value % 2

    class Plain(Space):
        a: Literal[1, 2, 3, 4]
        inner: Annotated[tuple[Literal[1, 2], ...], PerLayer(2)]
        b: Literal[1, 2]

    def model_rule(arch):
        if mode == "instance":
            return arch.model_copy(update={"a": 4})
        if mode == "none":
            return None
        if mode == "written":
            object.__setattr__(arch, "a", 4)
        if mode == "dictionary":
            arch.__dict__["a"] = 4
        return arch

    body = {
        "field": {"rule": field_validator("a")(lambda cls, value: up(value))},
        "annotated": {"__annotations__": {"a": Annotated[Literal[1, 2, 3, 4], Field(), AfterValidator(up)]}},
        "layers": {"rule": field_validator("inner")(lambda cls, value: tuple(sorted(value)))},
        "model": {"rule": model_validator(mode="before")(lambda cls, data: data | {"a": up(data["a"])})},
    }.get(mode, {"rule": model_validator(mode="after")(model_rule)})
    space = type("Changing", (Plain,), body | {"__module__": __name__})
    with pytest.raises(SpaceError, match="chang") as raised:
        space.size()
    assert "\n" not in str(raised.value) and "must return its argument or raise ValueError" in str(raised.value)
    with pytest.raises(SpaceError, match=r"a validator changes|returns"):
        space.from_assignment({"a": 1, "inner.0": 2, "inner.1": 1, "b": 1})


def test_a_rule_that_fails_names_itself_and_what_it_was_given():
    class Typo(Space):
        a: Literal[2, 1]
        b: Literal[1, 2]

        @model_validator(mode="after")
        def fits(self):
            if self.a == 1:
                raise self.missing
            return self

    for call in (Typo.size, Typo.smallest, lambda: Typo.from_assignment({"a": 1, "b": 1})):
        with pytest.raises(SpaceError, match=r"UnknownNameError: .*missing.*a rule must raise ValueError") as raised:
            call()
        assert "Typo" in str(raised.value) and "\n" not in str(raised.value)


def test_a_rule_that_looks_at_more_than_the_architecture_is_refused():
    class Strange(Space):
        a: Literal[1, 2]
        b: Literal[1, 2]

        @model_validator(mode="after")
        def only_here(self):
            if type(self) is Strange and self.a == 1:
                raise ValueError("no")
            return self

    with pytest.raises(SpaceError, match=r"Strange\.only_here cannot be counted"):
        Strange.size()
    with pytest.raises(SpaceError, match=r"Strange\.only_here cannot be counted"):
        list(Strange.enumerate())


def test_what_reads_the_memory_of_a_tuple_is_no_silent_answer():
    class Formatted(Space):
        inner: Annotated[tuple[Literal[1, 2], ...], PerLayer(2)]

        @model_validator(mode="after")
        def not_both(self):
            if "%d%d" % self.inner == "22":  # noqa: UP031
                raise ValueError("not both")
            return self

    with pytest.raises(SpaceError, match=r"Formatted\.not_both fails"):
        Formatted.size()


def test_too_many_ways_are_refused_at_once_and_never_guessed():
    class Knotted(Space):
        inner: Annotated[tuple[Literal[1, 2, 3, 4], ...], PerLayer(24)]
        free: Literal[1, 2]

        @model_validator(mode="after")
        def falls(self):
            if sum(self.inner) == 24 and self.free == 2:
                raise ValueError("no")
            return self

    for count in (Knotted.size, lambda: next(Knotted.enumerate())):
        with pytest.raises(SpaceError, match="rules tie 25 choices with more than 1,000,000 combinations"):
            count()
    assert {item.choice.name for item in Knotted.info().architectures.tied} == set(Knotted.choices())
