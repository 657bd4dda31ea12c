"""Spaces: choices, rules, derived sizes, and going through architectures."""

import itertools
import math
import random
from typing import Annotated, ClassVar, Literal

import pytest
import torch
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st
from pydantic import model_validator

from elasticnas import PerLayer, Range, Space
from elasticnas.errors import ArchitectureError, SpaceError
from elasticnas.testing import architectures, inputs, spaces
from tests.nn import spaces as s

relaxed = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


class Encoder(Space):
    hidden: Literal[128, 96, 64]
    heads: Literal[4, 2]
    depth: Literal[1, 2]

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads

    @model_validator(mode="after")
    def wide_needs_heads(self):
        if self.hidden == 128 and self.heads == 2:
            raise ValueError("hidden=128 needs heads=4")
        return self


class Nested(Space):
    encoder: Encoder
    kind: Literal["softmax", "linrec"]
    wide: bool


class Tied(Space):
    depth: Literal[1, 2, 3]
    inner: Annotated[tuple[Literal[256, 128], ...], PerLayer("depth")]


class Fixed(Space):
    inner: Annotated[tuple[Literal[3, 2, 1], ...], PerLayer(2)]
    width: Annotated[int, Range(32, 64, step=16)]
    ratio: ClassVar[int] = 4


def test_an_architecture_is_an_instance():
    arch = Encoder(hidden=96, heads=4, depth=2)
    assert arch.head_dim == 24 and hash(arch) == hash(Encoder(hidden=96, heads=4, depth=2))
    assert arch.model_dump_json() == '{"hidden":96,"heads":4,"depth":2}'
    with pytest.raises(ArchitectureError, match="frozen"):
        arch.hidden = 64
    with pytest.raises(ArchitectureError, match="hidden=128 needs heads=4"):
        Encoder(hidden=128, heads=2, depth=1)
    with pytest.raises(ArchitectureError):
        Encoder(hidden=96, heads=4, depth=2, other=1)


def test_choices_are_named_by_dotted_paths():
    assert Nested.choices() == {
        "encoder.hidden": (128, 96, 64),
        "encoder.heads": (4, 2),
        "encoder.depth": (1, 2),
        "kind": ("softmax", "linrec"),
        "wide": (True, False),
    }
    assert list(Fixed.choices()) == ["inner.0", "inner.1", "width"]
    assert Fixed.choices()["width"] == (32, 48, 64)


def test_size_counts_what_rules_leave():
    assert Encoder.size() == (3 * 2 - 1) * 2
    assert Nested.size() == Encoder.size() * 2 * 2
    assert Tied.size() == 2 + 4 + 8
    assert Fixed.size() == 3 * 3 * 3


def test_full_sizes_are_the_largest_over_valid_architectures():
    axes = Encoder.axes()
    assert (axes.hidden.size, axes.head_dim.size) == (128, 48)  # 128 // 2 is forbidden
    assert axes.head_dim.options == (16, 24, 32, 48)
    nested = Nested.axes()
    assert nested.encoder.head_dim.size == 48 and nested.kind.options == ("softmax", "linrec")


def test_a_size_of_layers_that_are_not_there_takes_its_smallest_option():
    axes = Tied.axes()
    with axes.at(Tied(depth=1, inner=(256,))):
        assert [axis.at() for axis in axes.inner] == [256, 128, 128]


@relaxed
@given(space=spaces())
def test_enumerate_gives_size_many_different_architectures(space):
    found = list(space.enumerate())
    assert len(found) == len(set(found)) == space.size()
    assert {space.largest(), space.smallest()} <= set(found)
    assert space.sample(random.Random(0)) in found


@relaxed
@given(data=st.data())
def test_architectures_go_through_yaml_json_and_plain_data(data):
    space = data.draw(spaces())
    arch = data.draw(architectures(space))
    assert space.from_yaml(arch.to_yaml()) == arch
    assert space.model_validate_json(arch.model_dump_json()) == arch
    assert space.from_assignment(space.assignment(arch)) == arch


@relaxed
@given(data=st.data())
def test_neighbours_differ_in_one_choice_and_come_back(data):
    space = data.draw(spaces())
    arch = data.draw(architectures(space))
    values = space.assignment(arch)
    for other in space.neighbours(arch):
        common = space.present(arch) & space.present(other)
        assert other != arch and sum(space.assignment(other)[name] != values[name] for name in common) == 1
        # a layer that is added starts at its first option, so the way back may lead elsewhere
        assert space.present(arch) != space.present(other) or arch in space.neighbours(other)


def test_neighbours_move_two_choices_where_a_rule_demands_it():
    class Paired(Space):
        width: Literal[8, 4]
        inner: Literal[16, 8]

        @model_validator(mode="after")
        def together(self):
            if self.inner != 2 * self.width:
                raise ValueError("inner is twice the width")
            return self

    assert Paired.neighbours(Paired(width=8, inner=16)) == [Paired(width=4, inner=8)]
    assert Paired.size() == 2 and Paired.smallest() == Paired(width=4, inner=8)


def test_sampling_is_seeded_and_reaches_everything():
    draws = [Encoder.sample(random.Random(0)) for _ in range(3)]
    assert draws[0] == draws[1] == draws[2]
    rng = random.Random(1)
    assert len({Encoder.sample(rng) for _ in range(300)}) == Encoder.size()


def test_a_large_space_is_counted_without_going_through_it():
    class Large(Space):
        inner: Annotated[tuple[Literal[1, 2, 3, 4, 5, 6, 7, 8], ...], PerLayer(12)]
        heads: Literal[1, 2]

    assert Large.size() == 8**12 * 2
    assert Large.largest().inner == (8,) * 12
    assert len(list(itertools.islice(Large.enumerate(), 5))) == 5


def test_rules_over_too_much_refuse_to_count_and_still_sample():
    class Knotted(Space):
        inner: Annotated[tuple[Literal[1, 2, 3, 4], ...], PerLayer(12)]

        @model_validator(mode="after")
        def falls(self):
            if sum(self.inner) > 40:
                raise ValueError("too wide in all")
            return self

    with pytest.raises(SpaceError, match="rules tie 12 choices with more than 1,000,000 combinations; sample instead"):
        Knotted.size()
    assert sum(Knotted.sample(random.Random(0)).inner) <= 40


def test_rules_over_many_layers_leave_every_option_that_some_architecture_has():
    """10 ** 5 completions and more are not gone through: a walk finds one."""

    class Falling(Space):
        width: Annotated[tuple[Literal[tuple(range(1, 33))], ...], PerLayer(12)]

        @model_validator(mode="after")
        def narrowing(self):
            if any(a < b for a, b in itertools.pairwise(self.width)):
                raise ValueError("narrowing")
            return self

    assert [axis.options for axis in Falling.axes().width] == [tuple(range(1, 33))] * 12

    class Steps(Space):
        """Following layers differ by 1 or 2: no architecture has all choices at one share of their range."""

        depth: Literal[2, 6, 7, 8]
        width: Annotated[tuple[Literal[1, 2, 3, 4, 5, 6, 7, 8], ...], PerLayer("depth")]

        @model_validator(mode="after")
        def near(self):
            if any(abs(a - b) not in (1, 2) for a, b in itertools.pairwise(self.width)):
                raise ValueError("steps of 1 or 2")
            return self

    assert [axis.options for axis in Steps.axes().width] == [tuple(range(1, 9))] * 8


def test_what_no_architecture_has_is_no_option(monkeypatch):
    class Strict(Space):
        width: Annotated[tuple[Literal[1, 2, 3, 4], ...], PerLayer(4)]

        @model_validator(mode="after")
        def narrowing(self):
            if any(a <= b for a, b in itertools.pairwise(self.width)):
                raise ValueError("narrowing")
            return self

    for few in (64, 10):  # all at once, and after a walk that leads nowhere
        monkeypatch.setattr("elasticnas.space.completer._FEW", few)
        monkeypatch.setattr("elasticnas.space.completer._MOVES", 100)
        assert [axis.options for axis in Strict.axes().width] == [(4 - layer,) for layer in range(4)]
    monkeypatch.undo()

    class Heads(Space):
        """One rule forbids 128 // 2 by itself, another ties it to 12 layers."""

        hidden: Literal[128, 96]
        heads: Literal[4, 2]
        inner: Annotated[tuple[Literal[1, 2, 3, 4], ...], PerLayer(12)]

        @property
        def head_dim(self) -> int:
            return self.hidden // self.heads

        @model_validator(mode="after")
        def wide(self):
            if self.hidden == 128 and self.heads == 2:
                raise ValueError("hidden=128 needs heads=4")
            return self

        @model_validator(mode="after")
        def small(self):
            if self.hidden + sum(self.inner) > 128 + 40:
                raise ValueError("too wide in all")
            return self

    assert Heads.axes().head_dim.options == (24, 32, 48)
    assert Heads.axes().inner[3].options == (1, 2, 3, 4)


def test_an_option_that_may_be_impossible_is_refused_rather_than_dropped():
    class Unsure(Space):
        inner: Annotated[tuple[Literal[1, 2, 3, 4], ...], PerLayer(12)]

        @model_validator(mode="after")
        def never_the_widest_first(self):
            if sum(self.inner) < 100 and self.inner[0] == 4:
                raise ValueError("not 4 in the first layer")
            return self

    assert Unsure.axes().inner[1].options == (1, 2, 3, 4)
    with pytest.raises(SpaceError, match=r"^Unsure: no architecture with inner\.0=4 was found in 10,000 steps"):
        _ = Unsure.axes().inner[0].options


def test_json_schema_knows_the_options():
    assert Encoder.json_schema()["properties"]["hidden"]["enum"] == [128, 96, 64]


def test_the_axes_of_a_choice_tell_true_from_one():
    class Mixed(Space):
        on: bool
        count: Literal[0, 1]

    arch = Mixed(on=True, count=1)
    assert Mixed.indices(arch) == {"on": 0, "count": 1}


@pytest.mark.parametrize(
    ("message", "declare"),
    [
        ("'sample' is a method of Space; give the field another name", {"sample": Literal[1, 2]}),
        ("declares no choice", {}),
        ("is no choice; use Literal", {"hidden": int}),
        ("is no choice; use Literal", {"hidden": float}),
        (
            "PerLayer('depth') needs an integer choice named 'depth'",
            {"inner": Annotated[tuple[Literal[1, 2], ...], PerLayer("depth")]},
        ),
    ],
)
def test_wrong_declarations_are_refused_in_words(message, declare):
    with pytest.raises(SpaceError) as raised:
        type("Wrong", (Space,), {"__annotations__": declare, "__module__": __name__}).choices()
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("method", "given"), [("at", None), ("masked", []), ("relaxed", {"hidden": torch.ones(1)}), ("named", "hidden")]
)
def test_scopes_of_an_architecture_are_refused_in_words(method, given):
    arch = Fixed.largest()
    with pytest.raises(ArchitectureError) as raised:
        getattr(arch, method)(arch if given is None else given)
    assert str(raised.value) == (
        f"{arch!r}.{method}: the sizes of an architecture are fixed; make axes, Fixed.axes(), build the model from "
        f"them, and call axes.{method}"
    )


@pytest.mark.parametrize("given", [(4, 2, 1), (1, 4, 2), (1, 4, 0)])
def test_empty_ranges_are_refused(given):
    with pytest.raises(SpaceError, match="low <= high, step >= 1 and a step that lands on high"):
        Range(*given)


@pytest.mark.parametrize(
    ("message", "values"),
    [
        ("hidden: Input should be 128, 96 or 64 (got 100)", {"hidden": 100, "heads": 4, "depth": 1}),
        ("depth: Field required", {"hidden": 96, "heads": 4}),
        ("rule: hidden=128 needs heads=4", {"hidden": 128, "heads": 2, "depth": 1}),
    ],
)
def test_wrong_architectures_are_one_line(message, values):
    import yaml

    with pytest.raises(ArchitectureError) as raised:
        Encoder.from_yaml(yaml.safe_dump(values))
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_a_layer_count_that_does_not_fit_is_refused():
    with pytest.raises(ArchitectureError, match="inner has 1 entries, but depth is 2"):
        Tied(depth=2, inner=(128,))


def test_rules_that_forbid_everything_say_so():
    class Nothing(Space):
        hidden: Literal[2, 1]

        @model_validator(mode="after")
        def never(self):
            raise ValueError("no")

    with pytest.raises(SpaceError, match=r"Nothing has no valid architecture: Nothing\.never reject all of them"):
        Nothing.sample(random.Random(0))
    with pytest.raises(SpaceError, match="no valid architecture"):
        Nothing.largest()


def test_a_property_that_fails_everywhere_is_an_error():
    class Fails(Space):
        hidden: Literal[2, 1]

        @property
        def half(self) -> int:
            return self.hidden // 0

    with pytest.raises(SpaceError, match=r"Fails\.half: the property fails on every architecture"):
        _ = Fails.axes().half


def test_present_names_the_layers_that_are_there():
    assert Tied.present(Tied(depth=2, inner=(128, 128))) == {"depth", "inner.0", "inner.1"}
    assert s.Widths.present(s.Widths.largest()) == {"hidden", "inner"}


def test_a_rule_is_found_however_deep_it_reads():
    class Deep(Space):
        a: Literal[tuple(range(64))]
        b: Literal[tuple(range(20))]
        c: Literal[1, 2]
        free: Literal[1, 2, 3]

        @model_validator(mode="after")
        def one_corner(self):
            if self.a == 63 and self.b == 19 and self.c == 2:
                raise ValueError("not this one")
            return self

    assert Deep.size() == (64 * 20 * 2 - 1) * 3
    assert sum(1 for _ in Deep.enumerate()) == Deep.size()


def test_a_rule_that_reads_all_fields_at_once():
    class AtOnce(Space):
        a: Literal[1, 2, 3]
        b: Literal[1, 2, 3]

        @model_validator(mode="after")
        def ordered(self):
            values = self.model_dump()
            if values["a"] > values["b"]:
                raise ValueError("a <= b")
            return self

    assert AtOnce.size() == 6 == len(list(AtOnce.enumerate()))


@relaxed
@given(data=st.data())
def test_strategies_draw_what_they_say(data):
    space = data.draw(spaces())
    assert isinstance(data.draw(architectures(space)), space)
    x = data.draw(inputs(2, 3))
    assert x.shape == (2, 3) and x.dtype == torch.float64 and x.isfinite().all()


def test_spaces_with_rules_are_among_those_drawn():
    def rules_forbid_something(space):
        return space.size() < math.prod(map(len, space.choices().values())) and _ruled(space)

    found = find(spaces(), rules_forbid_something, settings=settings(deadline=None))
    assert found.size() >= 1


def _ruled(space):
    return set(space.__pydantic_decorators__.model_validators) > {"_lengths_follow_their_fields"}
