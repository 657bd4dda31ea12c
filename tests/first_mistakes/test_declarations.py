"""Spaces that are declared wrongly, and architectures that are made wrongly."""

from typing import Annotated, Any, Literal

import pytest
import torch

import elasticnas.nn as enn
from elasticnas import PerLayer, Range, Space
from tests.first_mistakes.model import Layered, Sizes, refused


def declared(annotation: Any, **namespace):
    """The choices of a space with the field ``hidden``."""
    return type("X", (Space,), {"__annotations__": {"hidden": annotation}, "__module__": __name__, **namespace}).axes()


def unannotated(value):
    return type("X", (Space,), {"hidden": value, "__module__": __name__})


CASES = [
    (
        (
            "X.hidden: <class 'int'> is no choice; use Literal[...], Annotated[int, Range(...)], bool, "
            "Annotated[tuple[..., ...], PerLayer(n)] or another Space, and a plain attribute (ClassVar) for what "
            "is fixed"
        ),
        lambda: declared(int),
    ),
    (
        (
            "X.hidden: <class 'str'> is no choice; use Literal[...], Annotated[int, Range(...)], bool, "
            "Annotated[tuple[..., ...], PerLayer(n)] or another Space, and a plain attribute (ClassVar) for what "
            "is fixed"
        ),
        lambda: declared(str),
    ),
    ("X.hidden: [64, 32] is no type; write hidden: Literal[64, 32]", lambda: declared([64, 32])),
    ("X.hidden: (64, 32) is no type; write hidden: Literal[64, 32]", lambda: declared((64, 32))),
    ("X.hidden: 64 is no type; write hidden: Literal[64]", lambda: declared(64)),
    ("X.hidden: range(0, 2) is no type; write hidden: Literal[0, 1]", lambda: declared(range(2))),
    (
        "X.hidden: Range(low=1, high=4, step=1) is no type; write hidden: Annotated[int, Range(1, 4)]",
        lambda: declared(Range(1, 4)),
    ),
    (
        ("X.hidden: Range(low=8, high=16, step=4) is no type; write hidden: Annotated[int, Range(8, 16, step=4)]"),
        lambda: declared(Range(8, 16, 4)),
    ),
    (
        ("X.hidden: PerLayer(count=3) is no type; write hidden: Annotated[tuple[Literal[64, 32], ...], PerLayer(3)]"),
        lambda: declared(PerLayer(3)),
    ),
    (
        (
            "X.hidden: typing.Optional[typing.Literal[64, 32]] is no choice; use Literal[...], Annotated[int, "
            "Range(...)], bool, Annotated[tuple[..., ...], PerLayer(n)] or another Space, and a plain attribute "
            "(ClassVar) for what is fixed"
        ),
        lambda: declared(Literal[64, 32] | None),
    ),
    (
        (
            "X.hidden: tuple[typing.Literal[8, 4], ...] is no choice; use Literal[...], Annotated[int, "
            "Range(...)], bool, Annotated[tuple[..., ...], PerLayer(n)] or another Space, and a plain attribute "
            "(ClassVar) for what is fixed"
        ),
        lambda: declared(tuple[Literal[8, 4], ...]),
    ),
    (
        (
            "X.hidden: PerLayer(3) belongs to a tuple of choices; write Annotated[tuple[Literal[64, 32], ...], "
            "PerLayer(3)]"
        ),
        lambda: declared(Annotated[list[Literal[8, 4]], PerLayer(3)]),
    ),
    (
        (
            "X.hidden: PerLayer(2) belongs to a tuple of choices; write Annotated[tuple[Literal[64, 32], ...], "
            "PerLayer(2)]"
        ),
        lambda: declared(Annotated[int, PerLayer(2)]),
    ),
    (
        "X.hidden: PerLayer('depht') needs an integer choice named 'depht'",
        lambda: declared(Annotated[tuple[Literal[8, 4], ...], PerLayer("depht")]),
    ),
    (
        ("PerLayer[(<class 'bool'>, 3)]: PerLayer is called, Annotated[tuple[Literal[256, 128], ...], PerLayer(4)]"),
        lambda: PerLayer[bool, 3],
    ),
    (
        (
            "PerLayer(True): give the number of layers or the name of the field that holds it, such as "
            'Annotated[tuple[Literal[256, 128], ...], PerLayer(4)] or PerLayer("depth")'
        ),
        lambda: PerLayer(True),
    ),
    (
        (
            "PerLayer(2.5): give the number of layers or the name of the field that holds it, such as "
            'Annotated[tuple[Literal[256, 128], ...], PerLayer(4)] or PerLayer("depth")'
        ),
        lambda: PerLayer(2.5),
    ),
    (
        (
            "X.hidden: <class 'float'> is no choice; use Literal[...], Annotated[int, Range(...)], bool, "
            "Annotated[tuple[..., ...], PerLayer(n)] or another Space, and a plain attribute (ClassVar) for what "
            "is fixed"
        ),
        lambda: declared(Annotated[float, Range(1, 4)]),
    ),
    (
        "Range(low=64, high=32, step=1): low <= high, step >= 1 and a step that lands on high are needed",
        lambda: Range(64, 32),
    ),
    (
        ('X cannot be declared like this (AssertionError: literal "expected" cannot be empty, obj=typing.Literal[()])'),
        lambda: declared(Literal[()]),
    ),
    (
        "X.hidden: the option range(0, 2) is no plain value such as 64 or 'relu'; write Literal[0, 1]",
        lambda: declared(Literal[range(2)]),
    ),
    ("X.hidden: the default 5 is none of [8, 4]", lambda: declared(Literal[8, 4], hidden=5)),
    (
        "X.at: 'at' is a method of Space; give the field another name",
        lambda: declared(Literal[8, 4], at=property(lambda self: 1)),
    ),
    (
        (
            "X.hidden = 64 declares no choice: write hidden: Literal[64], or hidden: ClassVar[...] = ... for "
            "what is fixed"
        ),
        lambda: unannotated(64),
    ),
    (
        (
            "X.hidden = [64, 32] declares no choice: write hidden: Literal[64, 32], or hidden: ClassVar[...] = "
            "... for what is fixed"
        ),
        lambda: unannotated([64, 32]),
    ),
    (
        (
            "X.hidden = typing.Literal[64, 32] declares no choice: write hidden: Literal[64, 32], or hidden: "
            "ClassVar[...] = ... for what is fixed"
        ),
        lambda: unannotated(Literal[64, 32]),
    ),
    (
        (
            "X.hidden = 'relu' declares no choice: write hidden: Literal['relu'], or hidden: ClassVar[...] = ... "
            "for what is fixed"
        ),
        lambda: unannotated("relu"),
    ),
    (
        (
            "X.hidden = Range(low=1, high=4, step=1) declares no choice: write hidden: Annotated[int, Range(1, "
            "4)], or hidden: ClassVar[...] = ... for what is fixed"
        ),
        lambda: unannotated(Range(1, 4)),
    ),
    ("X declares no choice: add a field such as hidden: Literal[128, 64]", lambda: type("X", (Space,), {}).axes()),
    (
        "hidden is no size: its options are ['64', '32']; a size is an integer, Literal[64, 32]",
        lambda: enn.Linear(declared(Literal["64", "32"]).hidden, 3),
    ),
    (
        "hidden is no size: its options are [64.0, 32.0]; a size is an integer, Literal[64, 32]",
        lambda: enn.Linear(declared(Literal[64.0, 32.0]).hidden, 3),
    ),
    (
        "hidden is no size: its options are [64, None]; give it to a Mixture",
        lambda: enn.Linear(declared(Literal[64, None]).hidden, 3),
    ),
    ("Sizes: hidden: Field required; depth: Field required", lambda: Sizes()),
    ("Sizes: depth: Field required", lambda: Sizes(hidden=8)),
    ("Sizes: hidden: Input should be 8 or 4 (got 40)", lambda: Sizes(hidden=40, depth=1)),
    ("Sizes: hidden: Input should be 8 or 4 (got '8')", lambda: Sizes(hidden="8", depth=1)),
    ("Sizes: hidden: Field required; hiden: unknown, did you mean 'hidden'? (got 8)", lambda: Sizes(hiden=8, depth=1)),
    ("Sizes(8, 1): fields are given by name, Sizes(hidden=8, depth=1)", lambda: Sizes(8, 1)),
    ("Sizes(8): fields are given by name, Sizes(hidden=..., depth=...)", lambda: Sizes(8)),
    (
        "Sizes({'hidden': 8, 'depth': 1}): fields are given by name, Sizes(**{'hidden': 8, 'depth': 1})",
        lambda: Sizes({"hidden": 8, "depth": 1}),
    ),
    ("Sizes: hidden: Input should be 8 or 4 (got tensor(8))", lambda: Sizes(hidden=torch.tensor(8), depth=1)),
    (
        "Layered: inner: Tuple should have at least 3 items after validation, not 2 (got (8, 8))",
        lambda: Layered(inner=(8, 8)),
    ),
    ("Layered: inner: Input should be a valid tuple (got 8)", lambda: Layered(inner=8)),
    (
        (
            "Layered: inner.2: Input should be 8 or 4 (got 5); inner: Tuple should have at least 3 items after "
            "validation, not 2 (got (8, 8, 5))"
        ),
        lambda: Layered(inner=(8, 8, 5)),
    ),
    (
        (
            "Space.sample() missing 1 required positional argument: 'rng': write Space.sample(random.Random(3)): "
            "the generator, not the seed, is given"
        ),
        lambda: Sizes.sample(),
    ),
    (
        (
            "Space.sample() got an unexpected keyword argument 'seed': write Space.sample(random.Random(3)): the "
            "generator, not the seed, is given"
        ),
        lambda: Sizes.sample(seed=3),
    ),
    ("Sizes.sample(3): give a generator, such as random.Random(3)", lambda: Sizes.sample(3)),
    (
        (
            "Space.from_assignment() got an unexpected keyword argument 'hidden': write "
            "Space.from_assignment({'hidden': 64, ...}), or the class itself with its fields, Space(hidden=64, ...)"
        ),
        lambda: Sizes.from_assignment(hidden=8, depth=1),
    ),
    (
        "Sizes: the choice 'hidden' has no value; give it one, and 'hiden' is none, did you mean 'hidden'?",
        lambda: Sizes.from_assignment({"hiden": 8, "depth": 1}),
    ),
]


@pytest.mark.parametrize(("line", "call"), CASES)
def test_a_wrong_declaration_says_what_to_write(line, call):
    refused(line, call)
