"""Options have the order in which they are written, although ``Literal[1, 2] == Literal[2, 1]``."""

from itertools import permutations
from typing import Annotated, Any, Generic, Literal, Tuple, TypeVar  # noqa: UP035

import pytest
from pydantic import AfterValidator, Field

from elasticnas import PerLayer, Space
from elasticnas.errors import SpaceError

KINDS = ("softmax", "hstu", "none")
T = TypeVar("T")


def same(value: str) -> str:
    return value


def declared(annotation: Any) -> type[Space]:
    return type("X", (Space,), {"__annotations__": {"kind": annotation}, "__module__": __name__})


SHARED = PerLayer(2)
KEPT = {
    "literal": lambda option: option,
    "per layer": lambda option: Annotated[tuple[option, ...], PerLayer(2)],
    "one object per layer": lambda option: Annotated[tuple[option, ...], SHARED],
    "per layer, then more": lambda option: Annotated[tuple[option, ...], PerLayer(2), "kinds"],
    "field": lambda option: Annotated[option, Field(description="kind")],
    "field, then a rule": lambda option: Annotated[option, Field(), AfterValidator(same)],
    "in layers": lambda option: Annotated[tuple[Annotated[option, Field(), AfterValidator(same)], ...], PerLayer(2)],
}
REFUSED = {
    "a rule": lambda option: Annotated[option, AfterValidator(same)],
    "a text": lambda option: Annotated[tuple[option, ...], "kinds", PerLayer(2)],
    "in layers": lambda option: Annotated[tuple[Annotated[option, "kind"], ...], PerLayer(2)],
    "tuple of typing": lambda option: Annotated[Tuple[option, ...], PerLayer(2)],  # noqa: UP006
}


@pytest.mark.parametrize("name", KEPT)
def test_every_order_of_the_options_is_kept(name):
    for order in permutations(KINDS):
        space = declared(KEPT[name](Literal[order]))
        assert all(options == order for options in space.choices().values())


@pytest.mark.parametrize("name", REFUSED)
def test_an_order_that_typing_may_have_changed_is_refused(name):
    """Whichever is first: a space must not depend on those declared before it."""
    for order in permutations(KINDS):
        with pytest.raises(SpaceError, match=r"X\.kind: .*taken another order of its options.*write") as raised:
            declared(REFUSED[name](Literal[order])).choices()
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("first", ["Field()", "Field(description='kind')"])
def test_annotations_as_text_are_like_others(first):
    """``from __future__ import annotations`` makes every annotation a text."""
    for order in permutations(KINDS):
        space = declared(f"Annotated[Literal[{order}], {first}, AfterValidator(same)]")
        derived = type("Y", (space,), {"__annotations__": {"heads": "Literal[2, 1]"}, "__module__": __name__})
        assert derived.choices() == {"kind": order, "heads": (2, 1)}
        with pytest.raises(SpaceError, match=r"X\.kind: of this Annotated"):
            declared(f"Annotated[Literal[{order}], AfterValidator(same)]").choices()


def test_a_single_option_has_no_order():
    assert declared(Annotated[Literal["softmax"], "kind"]).choices() == {"kind": ("softmax",)}


def test_a_generic_space_is_refused_with_options_as_arguments():
    class Of(Space, Generic[T]):
        kind: T

    class Derived(Of[Literal["softmax", "hstu"]]):
        heads: Literal[1, 2]

    for space in (Of[Literal["softmax", "hstu"]], Of[Literal["hstu", "softmax"]], Derived):
        with pytest.raises(SpaceError, match="of a generic space Python may have taken another order"):
            space.choices()


def test_unless_keeps_the_type_of_its_option():
    """``0 == False``, but they are different options."""

    def unless(option: object) -> object:
        numbers = Annotated[tuple[Literal[2, 1], ...], PerLayer(2, ("kind", option))]
        return numbers.__metadata__[0].unless[1]

    assert [type(unless(0)), type(unless(False))] == [int, bool]
