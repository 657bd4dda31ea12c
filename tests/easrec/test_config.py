import pytest

from easrec.config import Config, ModelConfig
from easrec.presets import load_preset, preset_names
from elasticnas.errors import ConfigError


def test_the_presets_are_there():
    assert preset_names() == ["authors", "default", "demo", "douban", "gowalla", "ml-1m", "paper", "wide"]


@pytest.mark.parametrize(
    ("name", "hidden", "length", "candidates"),
    [
        ("ml-1m", 128, 200, ((64, 128), (96, 192), (128, 256))),
        ("paper", 128, 200, ((64, 128), (96, 192), (128, 256))),
        ("gowalla", 64, 100, ((16, 64), (32, 128), (64, 256))),
        ("douban", 128, 100, ((32, 64), (64, 128), (128, 256))),
        ("authors", 64, 100, ((16, 64), (32, 128), (64, 256))),
    ],
)
def test_presets_hold_table_ii(name, hidden, length, candidates):
    config = load_preset(name)
    model = config.model
    assert (model.hidden, model.inner, model.length) == (hidden, 256, length)
    assert (model.layers, model.heads, model.dropout, config.train.learning_rate) == (4, 4, 0.2, 1e-3)
    assert model.sizes() == candidates
    if name == "paper":
        assert (config.search.batch, config.train.batch, config.train.unit) == (1024, 2048, "targets")
        assert (config.search.penalty, config.search.penalty_weight, config.search.temperature) == (
            "dynamic",
            0.1,
            "literal",
        )
        assert (model.attention, model.key_norm, model.gate_position, model.mixing) == (
            "linrec",
            "column",
            "before",
            "block",
        )
    if name == "authors":
        assert (model.key_norm, model.gate_position, model.mixing) == ("token", "after", "mask")
        assert config.search.relaxation == "tempered" and not config.train.inherit


def test_grid_candidates_are_every_combination():
    assert len(ModelConfig(candidates="grid").sizes()) == 9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.leyers": 2}, "unknown setting 'model.leyers', did you mean 'model.layers'?"),
        ({"nothing": 1}, "unknown setting 'nothing'"),
        ({"model.layers": 0}, "model.layers: Input should be greater than or equal to 1"),
        ({"model.heads": 3}, "heads=3 does not divide every hidden size"),
        ({"model.hidden_pruning": [0.0, 0.3]}, "does not leave whole numbers of 128 units"),
        ({"model.mixing": "mask", "model.weights": "separate"}, "needs mixing=block"),
        ({"early_stopping_metric": "unseen/ndcg@7"}, "is not computed"),
    ],
)
def test_wrong_settings_are_one_line(changes, message):
    with pytest.raises(ConfigError) as error:
        Config().updated(changes)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_unknown_preset():
    with pytest.raises(ConfigError, match="the presets are authors, default"):
        load_preset("ml1m")
