"""Extreme options of the wide space: a single one, none at all, an odd width of heads; each is right or refused."""

import random

import pytest
import torch

import elasticnas
from easrec.config import Config
from easrec.model import build, supernet
from easrec.searching import encoder_flops
from easrec.space import space_for
from elasticnas.cost import Flops
from elasticnas.errors import ConfigError
from elasticnas.testing import assert_mask_slice_equal
from tests.easrec.test_wide import ITEMS, batch_of_ids, small

ATTENDING = 3 * 3  # kinds with scores or states, numbers of heads


@pytest.mark.parametrize(
    ("wide", "networks"),  # networks of one layer, for each hidden size
    [
        ({"inner": (0,)}, ATTENDING),
        ({"inner": (0,), "gates": (1, 2)}, ATTENDING),
        ({"inner": (0,), "attention": ("softmax",)}, 3),
        ({"inner": (0,), "attention": ("hstu",), "heads": (2,), "gates": (0,)}, 1),
        ({"inner": (5,), "attention": ("linrec",), "heads": (1,), "gates": (2,)}, 1),
        ({"inner": (5, 8), "gates": (1,)}, 2 * (ATTENDING + 1)),
        ({"inner": (0, 5), "gates": (0, 2), "attention": ("softmax", "none")}, 3 * (1 + 2) + 2),
        ({"head_dim": 1}, (ATTENDING + 1) * (1 + 2 * 3) - 1),
        ({"head_dim": 5, "hidden": (7,)}, (ATTENDING + 1) * (1 + 2 * 3) - 1),
    ],
)
def test_extreme_options_keep_the_law(wide, networks):
    config = small(layers=2, wide=wide)
    space = space_for(config)
    hidden = len(config.wide.hidden)
    assert space.size() == hidden * (networks + networks**2)
    torch.manual_seed(0)
    model = supernet(config, ITEMS, True)
    axes, rng = elasticnas.axes_of(model), random.Random(0)
    archs = [space.largest(), space.smallest(), space.sample(rng)]
    cost, counted = encoder_flops(model), Flops(model, torch.ones(1, 9, dtype=torch.long))
    for arch in archs:
        assert_mask_slice_equal(model, arch, batch_of_ids(), outputs_size=axes.hidden, others=archs)
        plain = elasticnas.extract(model, arch, example=batch_of_ids())
        build(config, ITEMS, arch, True).load_state_dict(plain.state_dict())
        assert cost(arch) == counted(arch)


def test_a_network_without_dense_layers_has_no_parameters_of_them():
    config = small(layers=2, wide={"inner": (0,)})
    assert not [name for name, _ in supernet(config, ITEMS, True).named_parameters() if "dense" in name]


@pytest.mark.parametrize(
    ("wide", "message"),
    [
        ({"attention": ["none"]}, r"wide.attention=\['none'\]: .*list softmax, linrec or hstu first"),
        ({"attention": []}, r"wide.attention=\[\]: different options are needed, at least one"),
        ({"inner": []}, r"wide.inner=\[\]: different options are needed, at least one"),
        ({"heads": [2, 2]}, r"wide.heads=\[2, 2\]: different options are needed, at least one"),
        ({"inner": [64, 0]}, r"wide.inner=\[64, 0\]: list the options in ascending order"),
        ({"gates": [3]}, r"wide.gates.0: .*0, 1 or 2 \(got 3\)"),
        ({"hidden": [0]}, r"wide.hidden.0: .*greater than or equal to 1 \(got 0\)"),
    ],
)
def test_options_that_make_no_network_are_refused(wide, message):
    with pytest.raises(ConfigError, match=message) as raised:
        Config().updated({"model": {"space": "wide", "wide": wide}})
    assert "\n" not in str(raised.value)
