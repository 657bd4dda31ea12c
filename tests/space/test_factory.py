"""How a factory of plain models is called: one rule for functions, classes, methods and partials."""

from functools import cached_property, partial
from types import SimpleNamespace
from typing import Annotated, Literal

import pytest

from elasticnas import PerLayer, Space
from elasticnas.errors import ConfigError
from elasticnas.space import Factory


class Sizes(Space):
    hidden: Literal[8, 4]
    inner: Annotated[tuple[Literal[6, 3], ...], PerLayer(2)]

    @property
    def groups(self) -> int:
        return self.hidden // 4

    @cached_property
    def label(self) -> str:
        return f"{self.hidden} wide"


ARCH = Sizes(hidden=8, inner=(3, 6))


def positional(hidden, inner):
    return hidden, inner


def of_properties(hidden, groups, label):
    return hidden, groups, label


def keyword_only(*, groups, hidden):
    return groups, hidden


def collecting(**sizes):
    return sizes


def collecting_more(groups, dropout=0.5, **sizes):
    return groups, dropout, sizes


def defaulted(hidden, groups=1, dropout=0.5):
    return hidden, groups, dropout


def all_defaulted(hidden=1, dropout=0.5):
    return hidden, dropout


def of_architecture(sizes):
    return sizes


def of_architecture_and_more(sizes, dropout=0.5, *, hidden=1):
    return sizes, dropout, hidden


def of_everything(*arguments):
    return arguments


def of_position(hidden, /):
    return hidden


class Model:
    def __init__(self, hidden, groups):
        self.made = hidden, groups


class Maker:
    def __init__(self):
        self.depth = 3

    def build(self, inner, hidden):
        return self.depth, inner, hidden

    def __call__(self, groups):
        return self.depth, groups


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (positional, (8, (3, 6))),
        (of_properties, (8, 2, "8 wide")),
        (keyword_only, (2, 8)),
        (collecting, {"hidden": 8, "inner": (3, 6)}),
        (collecting_more, (2, 0.5, {"hidden": 8, "inner": (3, 6)})),
        (defaulted, (8, 2, 0.5)),
        (all_defaulted, (8, 0.5)),
        (of_architecture, ARCH),
        (of_architecture_and_more, (ARCH, 0.5, 1)),
        (of_everything, (ARCH,)),
        (of_position, ARCH),
        (lambda hidden: hidden, 8),
        (partial(defaulted, dropout=0.1), (8, 2, 0.1)),
        (partial(of_architecture_and_more, dropout=0.1), (ARCH, 0.1, 1)),
        (partial(of_properties, 8), (8, 2, "8 wide")),
        (Maker().build, (3, (3, 6), 8)),
        (Maker(), (3, 2)),
    ],
)
def test_a_factory_gets_what_it_names(build, expected):
    assert Factory(build, Sizes)(ARCH) == expected


def test_a_class_is_a_factory():
    assert Factory(Model, Sizes)(ARCH).made == (8, 2)
    assert Factory(Model, Sizes).call(ARCH) == "Model(hidden=8, groups=2)"


def test_the_call_in_words():
    assert Factory(of_architecture, Sizes).call(ARCH) == "of_architecture(Sizes(hidden=8, inner=(3, 6)))"
    assert Factory(partial(defaulted, dropout=0.1), Sizes).call(ARCH) == "defaulted(hidden=8, groups=2)"


def test_names_are_enough():
    stand_in = SimpleNamespace(hidden=8, inner=(3, 6), groups=2, label="8 wide")
    for build in (positional, of_properties, keyword_only, collecting, collecting_more, defaulted):
        factory = Factory.of_names(build, "Sizes", ["hidden", "inner"], ["groups", "label"])
        assert factory(stand_in) == Factory(build, Sizes)(ARCH)
        assert factory.taken == Factory(build, Sizes).taken


HAS = "the fields are hidden, inner, the properties groups, label"


@pytest.mark.parametrize(
    ("message", "build"),
    [
        (f"build(hiden, depth) takes neither sizes of Sizes nor its architecture: {HAS}", "hiden, depth"),
        (f"build(hidden, depth) takes neither sizes of Sizes nor its architecture: {HAS}", "hidden, depth"),
        (f"build(dropout) takes neither sizes of Sizes nor its architecture: {HAS}", "dropout=0.5"),
        (f"build() takes neither sizes of Sizes nor its architecture: {HAS}", ""),
        (f"build(sizes) takes neither sizes of Sizes nor its architecture: {HAS}", "*, sizes"),
        (f"build(hidden, inner) takes neither sizes of Sizes nor its architecture: {HAS}", "hidden, inner, /"),
    ],
)
def test_what_fits_neither_is_refused(message, build):
    scope = {}
    exec(f"def build({build}): pass", scope)  # functions by their arguments
    with pytest.raises(ConfigError) as raised:
        Factory(scope["build"], Sizes)
    assert message in str(raised.value) and "\n" not in str(raised.value)
    assert "let it take the architecture alone" in str(raised.value)


def test_a_partial_that_fixes_a_choice_is_refused():
    with pytest.raises(
        ConfigError, match="defaulted fixes hidden=4, which Sizes has too: leave it free, or take it out"
    ):
        Factory(partial(defaulted, hidden=4), Sizes)


def test_arguments_that_python_does_not_know_are_refused():
    with pytest.raises(ConfigError, match="its arguments are not known; wrap it in a function"):
        Factory(dict, Sizes)
