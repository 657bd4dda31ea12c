"""Results in files: versions, damage, numbers that JSON does not have."""

import json
import math

import pytest

from elasticnas.errors import ConfigError
from elasticnas.record import Figures, Record, Result, read_result


class Part(Record):
    loss: float


class Whole(Result):
    name: str
    parts: list[Part]


def test_a_result_is_read_back_with_its_format():
    whole = Whole(name="a", parts=[Part(loss=math.inf), Part(loss=0.1)])
    data = json.loads(json.dumps(whole.to_dict()))
    assert data == {"format": 2, "name": "a", "parts": [{"loss": "Infinity"}, {"loss": 0.1}]}
    assert read_result(Whole, data, "whole") == whole
    (part,) = read_result(Whole, {"format": 2, "name": "a", "parts": [{"loss": math.nan}]}, "whole").parts
    assert math.isnan(part.loss)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"name": "a", "parts": []},
            r"a whole of format 1, and this version reads 2: convert it with .*convert_results\.py of ",
        ),
        ({"format": 3, "name": "a", "parts": []}, r"a whole of format 3, and this version reads 2: convert"),
        ({"format": 2, "parts": []}, r"damaged whole, Whole: name: Field required"),
        ({"format": 2, "name": "a", "parts": [{"loss": "x"}]}, r"damaged whole, Whole: parts\.0\.loss: .*\(got 'x'\)"),
        ({"format": 2, "name": "a", "parts": [], "more": 1}, r"damaged whole, Whole: more: unknown.*\(got 1\)"),
        ([1, 2], r"damaged whole: list '\[1, 2\]' is no object"),
    ],
)
def test_what_cannot_be_read_is_one_line(data, message):
    with pytest.raises(ConfigError, match=message) as raised:
        read_result(Whole, data, "whole")
    assert "\n" not in str(raised.value)


class Told(Result):
    metrics: dict[str, float | None]
    history: list[Figures]
    facts: dict[str, object]


def test_numbers_that_json_lacks_go_there_and_back():
    figures = {"loss": math.nan, "by layer": [math.inf, {"a": -math.inf}, None, 3, "text"]}
    told = Told(metrics={"a": math.nan, "b": -math.inf, "c": None}, history=[figures], facts={"title": "NaN"})
    text = json.dumps(told.to_dict(), allow_nan=False)
    again = read_result(Told, json.loads(text), "told")
    assert repr(again.metrics) == "{'a': nan, 'b': -inf, 'c': None}"
    assert repr(again.history) == "[{'loss': nan, 'by layer': [inf, {'a': -inf}, None, 3, 'text']}]"
    assert again.facts == {"title": "NaN"}  # a text stays one
    assert json.dumps(again.to_dict(), allow_nan=False) == text


def test_results_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        Part(loss=1.0).loss = 2.0
