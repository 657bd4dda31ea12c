"""Differences between runs, in words."""

import pytest

from elasticnas.checkpoint import first_difference


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"a": 1}, {"a": 1}, ""),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, "a.c was 2, is 3"),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": None}}, "a.c is new"),
        ({"a": 1, "b": None}, {"a": 1}, "b is gone"),
        ([1], [2], " was [1], is [2]"),
    ],
)
def test_the_first_difference_is_named(before, now, said):
    assert first_difference(before, now) == said
