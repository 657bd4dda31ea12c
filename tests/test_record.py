"""Results in files: versions, damage, numbers that JSON does not have."""

import json
import math

import pytest

from elasticnas.errors import ConfigError
from elasticnas.record import Record, Result, read_result


class Part(Record):
    loss: float


class Whole(Result):
    name: str
    parts: list[Part]


def test_a_result_is_read_back_with_its_format():
    whole = Whole(name="a", parts=[Part(loss=math.inf), Part(loss=0.1)])
    data = json.loads(json.dumps(whole.to_dict()))
    assert data == {"format": 2, "name": "a", "parts": [{"loss": math.inf}, {"loss": 0.1}]}
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
        ({"format": 2, "name": "a", "parts": [], "more": 1}, r"damaged whole, Whole: more: Extra inputs .*\(got 1\)"),
        ([1, 2], r"damaged whole: list '\[1, 2\]' is no object"),
    ],
)
def test_what_cannot_be_read_is_one_line(data, message):
    with pytest.raises(ConfigError, match=message) as raised:
        read_result(Whole, data, "whole")
    assert "\n" not in str(raised.value)


def test_results_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        Part(loss=1.0).loss = 2.0
