"""Settings by dotted name."""

import pytest
from pydantic import BaseModel, ConfigDict, Field

from elasticnas.errors import ConfigError
from elasticnas.settings import differences, updated


class Inner(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    steps: int = Field(default=5, ge=1)
    shares: tuple[float, ...] = (0.5,)


class Outer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    batch: int = 8
    inner: Inner = Inner()


def test_dotted_and_nested_changes():
    assert updated(Outer(), {"inner.steps": 7}) == Outer(inner=Inner(steps=7))
    assert updated(Outer(inner=Inner(shares=(0.1,))), {"inner": {"steps": 7}}).inner == Inner(steps=7, shares=(0.1,))
    assert updated(Outer(), {}) == Outer()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inner.step": 1}, "unknown setting 'inner.step', did you mean 'inner.steps'?"),
        ({"innner": 1}, "unknown setting 'innner', did you mean 'inner'?"),
        ({"steps": 1}, "unknown setting 'steps', did you mean 'inner.steps'?"),
        ({"outer.shares": 1}, "unknown setting 'outer.shares', did you mean 'inner.shares'?"),
        ({"inner.rate": 1}, "unknown setting 'inner.rate'; known are inner.steps, inner.shares"),
        ({"rate": 1}, "unknown setting 'rate'; the fields of Outer are batch, inner (the command config show "),
        ({"inner.steps.x": 1}, "unknown setting 'inner.steps.x'; the fields of Outer are batch, inner "),
        ({"inner.steps": 0}, "inner.steps"),
        ({"batch": "many"}, "batch"),
    ],
)
def test_mistakes_are_one_line(changes, message):
    with pytest.raises(ConfigError) as caught:
        updated(Outer(), changes)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_differences_from_the_defaults():
    assert differences(Outer()) == {}
    given = differences(Outer(batch=9, inner=Inner(shares=(0.1, 0.2))))
    assert given == {"batch": (9, 8), "inner.shares": ([0.1, 0.2], [0.5])}


def test_a_mapping_takes_any_name():
    class Named(BaseModel):
        options: dict[str, int] = {}
        inner: Inner = Inner()

    class Whole(BaseModel):
        named: Named = Named()

    assert updated(Whole(), {"named.options.rounds": 3}).named.options == {"rounds": 3}
    assert updated(Whole(), {"named.options": {"a": 1}}).named.options == {"a": 1}
    with pytest.raises(ConfigError, match=r"unknown setting .named\.inner\.rounds."):
        updated(Whole(), {"named.inner.rounds": 3})
