"""Per-layer choices that are absent where they have no effect, and counts of spaces whose layers have rules."""

import itertools
import random
from collections import Counter
from typing import Annotated, Literal

import pytest
from pydantic import create_model, model_validator

from elasticnas import PerLayer, Space
from elasticnas.errors import ArchitectureError, SpaceError
from elasticnas.space import component, dump_space, load_space
from tests.space.brute_force import valid


def made(count, rules=None, **more):
    """A space of two kinds of layers and none; with ``count`` a number of layers or the field that says it."""

    def each(*options, unless=None):
        return (Annotated[tuple[Literal[options], ...], PerLayer(count, unless)], ...)

    fields = {
        "kind": each("a", "b", "none"),
        "heads": each(1, 2, unless=("kind", "none")),
        "wide": (Annotated[tuple[bool, ...], PerLayer(count)], ...),
        "inner": each(7, 5, unless=("wide", False)),
    }
    if isinstance(count, str):
        fields = {count: (Literal[1, 2, 3], ...)} | fields
    return create_model("Drawn", __base__=Space, __validators__=rules or {}, **more, **fields)


def forbids(layer, forbidden):
    """A rule for one layer: these pairs of kind and wide are refused."""

    def check(self):
        if layer < len(self.kind) and (self.kind[layer], self.wide[layer]) in forbidden:
            raise ValueError(f"layer {layer} is refused")
        return self

    return model_validator(mode="after")(check)


@pytest.mark.parametrize("count", [2, "depth"])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("listed", [True, False])
def test_count_and_list_equal_brute_force(count, seed, listed, monkeypatch):
    if not listed:  # as in a space too large to list
        monkeypatch.setattr(component, "_LISTED", 0)
    rng = random.Random(seed)
    pairs = list(itertools.product(("a", "b", "none"), (True, False)))
    rules = {f"layer_{layer}": forbids(layer, rng.sample(pairs, seed)) for layer in range(3)}
    space = made(count, rules, hidden=(Literal[8, 4], ...))
    every = set(valid(space))
    assert space.size() == len(every) and set(space.enumerate()) == every
    drawn = random.Random(0)
    assert every.issuperset(space.sample(drawn) for _ in range(50))


def test_rules_that_connect_layers_are_counted_too(monkeypatch):
    monkeypatch.setattr(component, "_LISTED", 0)

    @model_validator(mode="after")
    def differ(self):
        if self.depth > 1 and self.kind[0] == self.kind[1]:
            raise ValueError("the first two layers are alike")
        return self

    @model_validator(mode="after")
    def fits(self):
        if self.hidden == 4 and self.depth == 3:
            raise ValueError("too deep")
        return self

    space = made("depth", {"differ": differ, "fits": fits}, hidden=(Literal[8, 4], ...))
    assert space.size() == len(valid(space)) > 0


def test_a_layer_without_effect_has_the_first_option():
    space = made("depth")
    given = {"depth": 2, "kind": ("none", "a"), "heads": (1, 2), "wide": (True, False), "inner": (5, 7)}
    arch = space(**given)
    names = {"depth", "kind.0", "kind.1", "heads.1", "wide.0", "wide.1", "inner.0"}
    assert space.present(arch) == names
    with pytest.raises(ArchitectureError, match=r"heads\[0\] is 2, but it has no effect where kind is 'none'"):
        space(**{**given, "heads": (2, 2)})
    with pytest.raises(ArchitectureError, match=r"inner\[1\] is 5, but .* where wide is False: .* first option, 7"):
        space(**{**given, "inner": (5, 5)})
    values = space.assignment(arch)
    assert space.from_assignment(values | {"heads.0": 2, "inner.1": 5, "heads.2": 2}) == arch
    without = {name: value for name, value in values.items() if name in names}
    assert space.from_assignment(without) == arch


def test_neighbours_differ_in_what_has_an_effect():
    space = made(1)
    arch = space(kind=("a",), heads=(2,), wide=(False,), inner=(7,))
    changes = {("b", 2, False, 7), ("none", 1, False, 7), ("a", 1, False, 7), ("a", 2, True, 7)}
    near = space.neighbours(arch)
    assert {(n.kind[0], n.heads[0], n.wide[0], n.inner[0]) for n in near} == changes and len(near) == len(changes)


def test_samples_are_uniform_over_the_choices_that_are_present():
    """Every number of layers is equally probable, and ``none`` too, though it has fewer architectures."""
    space, rng, count = made("depth"), random.Random(0), 3000
    drawn = [space.sample(rng) for _ in range(count)]
    for found, options in ((Counter(a.depth for a in drawn), 3), (Counter(a.kind[0] for a in drawn), 3)):
        expected = count / options
        assert sum((value - expected) ** 2 / expected for value in found.values()) < 13.8  # chi2, 2 degrees, p = 0.001


def test_axes_have_all_options():
    axes = made("depth").axes()
    assert axes.heads[2].options == (1, 2) and axes.inner[0].options == (5, 7)


@pytest.mark.parametrize(
    ("unless", "message"),
    [
        (("nothing", 1), "needs another per-layer field 'nothing'"),
        (("hidden", 8), "needs another per-layer field 'hidden'"),
        (("heads", 1), "needs another per-layer field 'heads'"),
        (("kind", "c"), "kind has no option 'c'"),
        ("kind", "give a per-layer field and the option"),
        (("only", 0), "only has no other option, so that heads never has an effect; leave heads out"),
    ],
)
def test_what_unless_needs(unless, message):
    with pytest.raises(SpaceError, match=message):

        class Wrong(Space):
            hidden: Literal[8, 4]
            kind: Annotated[tuple[Literal["a", "none"], ...], PerLayer(2)]
            only: Annotated[tuple[Literal[0], ...], PerLayer(2)]
            heads: Annotated[tuple[Literal[1, 2], ...], PerLayer(2, unless)]

        Wrong.choices()


def test_a_space_of_many_layers_is_counted_and_drawn():
    def each(*options, unless=None):
        return (Annotated[tuple[Literal[options], ...], PerLayer("depth", unless)], ...)

    def computes(layer):
        def check(self):
            if layer < self.depth and self.kind[layer] == "none" and self.inner[layer] == 0:
                raise ValueError("nothing")
            return self

        return model_validator(mode="after")(check)

    space = create_model(
        "Deep",
        __base__=Space,
        __validators__={f"layer_{layer}": computes(layer) for layer in range(12)},
        depth=(Literal[tuple(range(1, 13))], ...),
        kind=each("a", "b", "none"),
        heads=each(1, 2, 4, unless=("kind", "none")),
        inner=each(0, 8, 16),
    )
    layer = (2 * 3 + 1) * 3 - 1
    assert space.size() == sum(layer**depth for depth in range(1, 13))
    assert space.largest().depth == 12 and space.smallest().depth == 1
    rng = random.Random(0)
    assert len({space.sample(rng) for _ in range(50)}) > 40


def test_a_file_of_a_space_keeps_it(tmp_path):
    space = made("depth")
    path = tmp_path / "drawn.yaml"
    path.write_text(dump_space(space))
    read = load_space(str(path))
    assert read.choices() == space.choices() and read.size() == space.size() == len(valid(space))
    assert "unless:" in path.read_text()
