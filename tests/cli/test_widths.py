"""Commands print names and figures whole at any width; test_tables of easrec has the tables of evaluate and run."""

from importlib import import_module
from types import SimpleNamespace

import pytest

from easrec.config import Config
from elasticnas.plugins import RECIPES, SPACES, STRATEGIES
from tests.cli.test_plugins import install
from tests.rendering import WIDTHS, cells

ITEM, USER = "a-long-id-of-an-item-0123456789", "a-long-id-of-a-user-from-a-shop-9876543210"


@pytest.fixture(params=WIDTHS)
def width(request, monkeypatch):
    monkeypatch.setattr("elasticnas.report.console.WIDTH", request.param)
    return request.param


def whole(answer, width):
    """The output of a command that succeeded; it keeps to the width and is not cut."""
    code, printed, said = answer
    assert (code, said) == (0, "") and "…" not in printed and "..." not in printed
    assert max(map(len, printed.splitlines())) <= width
    return printed


@pytest.fixture
def saved(monkeypatch):
    """A run with one user and two items, which are recommended to everyone."""
    answer = [(ITEM, 12345.678), ("[b]", -0.25)]
    recommender = SimpleNamespace(
        recommend=lambda histories, top, *_, **__: [answer for _ in histories],
        known=lambda items: (items, []),
        numbers=lambda items: [1 for _ in items],
        item_ids=["", ITEM, "[b]"],
        config=Config(),
        network=SimpleNamespace(time_bias="none"),
    )
    for name in ("recommend", "ids"):
        monkeypatch.setattr(import_module(f"easrec.cli.{name}"), "recommender_of", lambda *_: recommender)
    monkeypatch.setattr(import_module("easrec.cli.ids"), "data_of", lambda _: SimpleNamespace(user_ids=[USER]))


def test_recommended_items_and_scores_are_whole(main, saved, width):
    history = f"{ITEM},other"
    rows = cells(whole(main("easrec", "recommend", "--history", history), width))
    assert " ".join(row[0] for row in rows if len(row) == 1).split() == [history]
    assert [" ".join(row).split() for row in rows if row[0][0] in "r12"] == [
        ["rank", "item", "score"],
        ["1", ITEM, "12345.678"],
        ["2", "[b]", "-0.250"],
    ]


def test_ids_are_whole(main, saved, width):
    assert whole(main("easrec", "ids", "users"), width) == f"{USER}\n"
    assert whole(main("easrec", "ids", "items"), width) == f"{ITEM}\n[b]\n"


def test_choices_and_options_of_a_space_are_whole(main, tmp_path, width):
    options = [1024 - 16 * n for n in range(30)]
    path = tmp_path / "wide.yaml"
    path.write_text(f"name: Wide\nfields: {{hidden_size_of_the_encoder: {options}, depth: [2, 1]}}\n")
    printed = whole(main("space", "show", path), width)
    table = printed[: printed.index("architectures: 60\n")]
    words = table.replace(",", "").split()
    assert [int(word) for word in words if word.isdigit()] == [*options, 2, 1]
    assert {"Wide", "hidden_size_of_the_encoder", "depth"} <= {*words}
    assert "largest:  Wide(hidden_size_of_the_encoder=1024, depth=2)" in printed


def test_plug_ins_are_whole(main, tmp_path, monkeypatch, width):
    monkeypatch.syspath_prepend(str(tmp_path))
    points = [(SPACES, "a-tower = towers_of_a_group:Tower"), (RECIPES, "a-tower = towers_of_a_group:recipe")]
    points.append((STRATEGIES, "a-guess-at-random = towers_of_a_group:Guess"))
    install(tmp_path, "towers-of-a-group", "towers_of_a_group", points)
    words = whole(main("plugins"), width).split()
    for word in ("spaces", "strategies", "recipes", "a-guess-at-random", "easrec", "easrec.plugin:recipe"):
        assert word in words
    for _, point in points:
        at = words.index(point.split(" = ")[1])
        assert words[at + 1 : at + 3] == ["(towers-of-a-group", "1.2)"]
