"""The judge of elastify on families of models, and the command that runs it."""

import json
import sys

import pytest
import torch
from torch import nn

from elasticnas.errors import AxisError
from tests.conftest import ROOT
from tests.elastic.zoo.family import Family

sys.path.append(str(ROOT / "benchmarks"))  # as the script finds its own modules

import families as script
import verdict


class Gated(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.up, self.down = nn.Linear(6, 2 * inner), nn.Linear(inner, 6)

    def forward(self, x):
        gate, value = self.up(x).chunk(2, -1)
        return self.down(gate.sigmoid() * value)


def plain(inner):
    return nn.Sequential(nn.Linear(6, inner), nn.Tanh(), nn.Linear(inner, 6))


def family(build=plain, layouts=None, example="input", **settings):
    return Family(
        name="by hand",
        build=build,
        full={"inner": 8},
        spaces={"inner": {"inner": 6}},
        example=lambda sizes: {example: torch.linspace(-1, 1, 18, dtype=torch.float64).reshape(3, 6)},
        layouts=layouts or {},
        package="torch",
        **settings,
    )


def test_a_model_filled_like_elastifys_is_right_and_one_filled_otherwise_is_wrong():
    right = verdict.judge(family(), "inner")
    assert (right.verdict, right.why, right.warned) == ("right and quiet", "", ())
    assert right.forward == right.gradients == 0
    swapped = family(
        layouts={"2.weight": {1: "outer * first"}}, derive=lambda s: {"outer": 2, "first": s["inner"] // 2}
    )
    wrong = verdict.judge(swapped, "inner")
    assert wrong.verdict == "wrong"
    assert wrong.forward > 0.01


def refusing(message, accepts=None):
    """An elastify that raises without the rules that it accepts."""
    from elasticnas import elastify

    def refuse(build, space, rules=None, example=None):
        if accepts is None or rules != accepts:
            raise AxisError(message)
        return elastify(build, space, rules)

    return refuse


def test_proposed_rules_are_tried_once_as_they_are(monkeypatch):
    gated = family(Gated, {"up.*": {0: "2 * inner"}}, example="x")
    rules = {"up.weight": "(2 inner) _"}
    message = f"up.weight is cut wrongly: give {rules=}, or another size"
    monkeypatch.setattr(verdict, "elastify", refusing(message, rules))
    found = verdict.judge(gated, "inner")
    assert (found.verdict, found.rules) == ("right by the pasted rule", rules)
    assert found.first_error == f"AxisError: {message}"
    monkeypatch.setattr(verdict, "elastify", refusing(message, {"other": "(2 inner) _"}))
    found = verdict.judge(gated, "inner")
    assert (found.verdict, found.why) == ("refused", f"AxisError: {message}")
    monkeypatch.setattr(verdict, "elastify", refusing("no layout is right"))
    found = verdict.judge(gated, "inner")
    assert (found.verdict, found.rules) == ("refused", None)


def test_an_error_that_is_none_of_elasticnas_is_a_crash(monkeypatch):
    refused = verdict.judge(family(example="no_such_argument"), "inner")
    assert refused.verdict == "refused" and "no_such_argument" in refused.why

    def crash(*arguments, **keywords):
        raise RuntimeError("torn apart")

    monkeypatch.setattr(verdict, "elastify", crash)
    found = verdict.judge(family(), "inner")
    assert found.verdict == "crashed"
    assert "torn apart" in found.why


def test_rules_are_read_from_a_message():
    read = verdict.proposed_rules
    assert read('give rules={"a": "(2 b) _", "c": "{d}"} or less') == {"a": "(2 b) _", "c": "{d}"}
    assert read("give rules={'a': '_'}; then again") == {"a": "_"}
    assert read("no rules") is None
    assert read("rules={broken") is None


@pytest.mark.parametrize(("small", "follows"), [({"heads": 3, "hidden": 24}, 24), ({"heads": 3, "hidden": 20}, 20)])
def test_sizes_that_follow_the_choice_are_properties(small, follows):
    case = Family("two", plain, {"heads": 4, "hidden": 32}, {"heads": small}, lambda sizes: {}, package="torch")
    space = verdict.sizes_space(case, "heads")
    assert list(space.model_fields) == ["heads"]
    assert (space(heads=4).hidden, space(heads=3).hidden) == (32, follows)


def test_a_run_goes_on_where_the_last_one_ended(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(script, "families", lambda: iter([family()]))
    monkeypatch.setattr(script, "_families", {})
    script.main([str(tmp_path)])
    assert "by hand, inner: right and quiet" in capsys.readouterr().out
    script.main([str(tmp_path)])
    printed = capsys.readouterr().out
    assert "by hand" not in printed
    assert json.loads(printed)["right and quiet"] == 1
    page = (tmp_path / "families.md").read_text()
    assert "1 families, 1 cases" in page
    assert "| by hand |  |  |  |  | right |  |" in page
    assert len(json.loads((tmp_path / "families.json").read_text())["cases"]) == 1
