"""The wide space of EASRec: the law on random architectures, distinct networks, and independent references."""

import itertools
import random

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

import elasticnas
from easrec import compiled_step
from easrec.config import Config, ModelConfig
from easrec.data import ItemFeatures
from easrec.model import build, supernet
from easrec.searching import encoder_flops
from easrec.sizes import sizes_name, sizes_text
from easrec.space import space_for
from easrec.streaming import Streamer
from elasticnas.cost import Flops, Params, params
from elasticnas.errors import ArchitectureError, ConfigError
from elasticnas.extraction import Sameness
from elasticnas.search.random_search import draws
from elasticnas.testing import assert_mask_slice_equal

ITEMS = 13
FEATURES = ItemFeatures(  # item i has the feature i % 2 + 1
    np.concatenate([[0], np.arange(ITEMS + 1)]),
    np.arange(1, ITEMS + 1, dtype=np.int32) % 2 + 1,
    ["", "a", "b"],
    ["g"],
)
WIDE = {"hidden": (6, 8, 12), "heads": (1, 2, 3), "head_dim": 4, "inner": (0, 5, 8), "gates": (0, 1, 2)}
OPTIONS = {
    "norm": ("pre", "post"),
    "gate_position": ("before", "after"),
    "gate_input": ("position", "pooled"),
    "gate_rank": (None, 3),
    "key_norm": ("column", "token"),
    "embedding_norm": (True, False),
}


def small(layers=3, wide=None, **changes):
    return ModelConfig(space="wide", layers=layers, length=9, wide={**WIDE, **(wide or {})}, **changes)


def variants(count):
    rng = random.Random(0)
    rows = [dict(zip(OPTIONS, values, strict=True)) for values in itertools.product(*OPTIONS.values())]
    return [
        (small(wide={"norm": row.pop("norm")}, **row), rng.random() < 0.7)
        for row in rng.sample([dict(row) for row in rows], count)
    ]


def batch_of_ids():
    ids = torch.randint(1, ITEMS + 1, (3, 7), generator=torch.Generator().manual_seed(0))
    ids[0, 4:] = 0
    ids[1, 6:] = 0
    return ids


@pytest.mark.parametrize(("config", "causal"), variants(16))
def test_every_variant_keeps_the_law(config, causal):
    space = space_for(config)
    torch.manual_seed(0)
    model = supernet(config, ITEMS, causal)
    axes = elasticnas.axes_of(model)
    rng = random.Random(1)
    archs = [space.sample(rng) for _ in range(3)]
    for arch in archs:
        assert_mask_slice_equal(model, arch, batch_of_ids(), outputs_size=axes.hidden, others=archs[:2])
        plain = elasticnas.extract(model, arch, example=batch_of_ids())
        built = build(config, ITEMS, arch, causal).eval()
        built.load_state_dict(plain.state_dict())
        assert torch.equal(built(batch_of_ids()), plain.eval()(batch_of_ids()))


@pytest.mark.parametrize(("config", "causal"), variants(4))
def test_the_last_position_alone(config, causal):
    space = space_for(config)
    torch.manual_seed(0)
    model = supernet(config, ITEMS, causal).double().eval()
    axes, ids, rng = elasticnas.axes_of(model), batch_of_ids(), random.Random(2)
    lengths = (ids > 0).sum(1)
    soft = {name: torch.full((len(options),), 1 / len(options)) for name, options in space.choices().items()}
    for scope in (space.largest(), soft, *(space.sample(rng) for _ in range(4))):
        with axes.relaxed(scope) if isinstance(scope, dict) else axes.at(scope):
            whole = model(ids)[torch.arange(len(ids)), lengths - 1]
            torch.testing.assert_close(model.last(ids, lengths), whole, rtol=1e-10, atol=1e-12)


def test_one_layer_by_torch():
    """Softmax attention before dense layers without gates equals torch's own encoder layer, norms first."""
    config = small(layers=1, embedding_norm=False, dropout=0.0)
    arch = space_for(config)(hidden=8, depth=1, attention=("softmax",), heads=(2,), inner=(5,), gates=(0,))
    torch.manual_seed(0)
    network = build(config, ITEMS, arch, True).double().eval()
    layer = nn.TransformerEncoderLayer(8, 2, 5, 0.0, "gelu", batch_first=True, norm_first=True).double().eval()
    part, dense = network.layers.layers[0].attention.chosen(), network.layers.layers[0].dense.module
    with torch.no_grad():
        own = part.attention
        layer.self_attn.in_proj_weight.copy_(torch.cat([own.query.weight, own.key.weight, own.value.weight]))
        layer.self_attn.in_proj_bias.copy_(torch.cat([own.query.bias, own.key.bias, own.value.bias]))
        for theirs, ours in (
            (layer.self_attn.out_proj, own.out),
            (layer.linear1, dense.up),
            (layer.linear2, dense.down),
            (layer.norm1, part.norm),
            (layer.norm2, dense.norm),
        ):
            ours.weight.add_(0.1)
            theirs.load_state_dict(ours.state_dict())
        ids = batch_of_ids()
        x = network.items(ids) + network.positions[: ids.shape[1]]
        causal = nn.Transformer.generate_square_subsequent_mask(ids.shape[1], dtype=torch.float64)
        expected = network.last_norm(layer(x, src_mask=causal))
        torch.testing.assert_close(network(ids), expected, rtol=1e-10, atol=1e-12)


def test_size_counts_networks_once():
    """By enumeration, against (kinds * heads + 1) * (inner * gates + 1) - 1 options of a layer."""
    config = small(layers=2, wide={"hidden": (6, 8), "heads": (1, 2), "inner": (0, 5), "gates": (0, 2)})
    each = (3 * 2 + 1) * (1 * 2 + 1) - 1
    space = space_for(config)
    archs = list(space.enumerate())
    assert space.size() == 2 * (each + each**2) == len(set(archs))

    def written(arch):
        layers = [
            (
                None if arch.attention[i] == "none" else (arch.attention[i], arch.heads[i]),
                None if arch.inner[i] == 0 else (arch.inner[i], arch.gates[i]),
            )
            for i in range(arch.depth)
        ]
        assert (None, None) not in layers
        return arch.hidden, tuple(layers)

    assert len(set(map(written, archs))) == len(archs)


def test_the_default_space_has_over_a_billion_networks():
    config = ModelConfig(space="wide", layers=8)
    each = (3 * 4 + 1) * (4 * 3 + 1) - 1
    assert space_for(config).size() == 7 * sum(each**depth for depth in range(1, 9)) > 10**9


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"attention": ("none",), "inner": (0,)}, "layer 0 has neither attention nor dense layers"),
        ({"attention": ("none",), "heads": (2,)}, r"heads\[0\] is 2, but it has no effect where attention is 'none'"),
        ({"inner": (0,), "gates": (1,)}, r"gates\[0\] is 1, but it has no effect where inner is 0"),
    ],
)
def test_what_does_nothing_is_refused(layer, message):
    space = space_for(small())
    whole = {"attention": ("softmax",), "heads": (1,), "inner": (5,), "gates": (0,)}
    with pytest.raises(ArchitectureError, match=message):
        space(hidden=8, depth=1, **{**whole, **layer})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model.space": "wide", "model.hidden": 64}, "space=wide does not use hidden"),
        ({"model.wide.norm": "post"}, "set model.space=wide"),
        ({"model.space": "wide", "model.wide.heads": [2, 1]}, "ascending"),
        ({"model.space": "wide", "model.wide.attention": ["none", "hstu"]}, "cannot be none"),
    ],
)
def test_settings_of_the_other_space_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Config().updated(settings)


def test_records_of_the_papers_space_do_not_change():
    """Runs and models of the paper's space are recorded as before the wide space was added."""
    recorded = Config().recorded()["model"]
    assert not {"space", "wide"} & recorded.keys() and recorded["hidden"] == 128
    wide = Config().updated({"model.space": "wide", "model.wide.norm": "post"}).recorded()["model"]
    assert wide["space"] == "wide" and wide["wide"]["norm"] == "post"
    assert Config.model_validate({"model": wide}).model.wide.norm == "post"


def sampled(config, count, seed=3):
    rng = random.Random(seed)
    return [space_for(config).sample(rng) for _ in range(count)]


@pytest.mark.parametrize(
    "config", [small(), ModelConfig(hidden=16, inner=16, heads=2, attention_choices=("softmax", "linrec", "hstu"))]
)
def test_parameters_are_counted_without_extraction(config, monkeypatch):
    """Extracting a network for each of thousands of costs takes minutes."""
    model, space, rng = supernet(config, ITEMS, True), space_for(config), random.Random(0)
    archs = [space.largest(), space.smallest(), *(space.sample(rng) for _ in range(8))]
    expected = [sum(each.numel() for each in elasticnas.extract(model, arch).parameters()) for arch in archs]
    monkeypatch.setattr(params, "extract_unverified", None)
    assert [Params(model)(arch) for arch in archs] == expected


def test_costs_of_layers_add_up():
    """The sum over layers against a count of the whole extracted network."""
    for config in (small(layers=4), small(layers=3, wide={"inner": (5, 8)}), small(layers=1)):
        model = supernet(config, ITEMS, True)
        cost, counted = encoder_flops(model), Flops(model, torch.ones(1, 9, dtype=torch.long))
        for arch in (space_for(config).largest(), space_for(config).smallest(), *sampled(config, 6)):
            assert cost(arch) == counted(arch)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("gate_input", ["position", "pooled"])
def test_streams_equal_the_network_over_the_whole_history(norm, gate_input):
    config = small(wide={"norm": norm}, gate_input=gate_input)
    for arch in sampled(config, 8):
        torch.manual_seed(0)
        network = build(config, ITEMS, arch, True).double().eval()
        streamer, items = Streamer(network), batch_of_ids()[2].tolist()
        stream, scores = streamer.start([items[:3]])
        for seen in range(3, 8):
            whole = network.next_item(torch.tensor([items[:seen]]), torch.tensor([seen]))
            torch.testing.assert_close(scores, whole, rtol=1e-9, atol=1e-9)
            if seen < 7:
                scores = streamer.update(stream, torch.tensor(items[seen : seen + 1]))


def test_compiled_streams_equal_the_network(monkeypatch):
    monkeypatch.setattr(compiled_step, "compiled", lambda program: program.module())
    config = small()
    for arch in sampled(config, 4):
        torch.manual_seed(0)
        network, items = build(config, ITEMS, arch, True).double().eval(), batch_of_ids()
        streamer = Streamer(network, compiled=True)
        stream, _ = streamer.start(items[1:3, :3].tolist())
        for seen in (4, 5):
            scores = streamer.update(stream, items[1:3, seen - 1])
            whole = network.next_item(items[1:3, :seen], torch.tensor([seen, seen]))
            torch.testing.assert_close(scores, whole, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("time_bias", ["own", "target"])
def test_times_keep_the_law_and_reach_every_attention(time_bias):
    config = small(wide={"attention": ("softmax", "hstu", "none")}, time_bias=time_bias)
    torch.manual_seed(0)
    model = supernet(config, ITEMS, True).double()
    for name, parameter in model.named_parameters():
        if "relative" in name:
            torch.nn.init.normal_(parameter)
    ids = batch_of_ids()
    times = torch.randint(10**6, ids.shape, generator=torch.Generator().manual_seed(0)).sort(1).values
    given, archs = (ids, None, times, times + 77), sampled(config, 3)
    for arch in archs:
        hidden = elasticnas.axes_of(model).hidden
        assert_mask_slice_equal(model, arch, *given, outputs_size=hidden, others=archs)
    for kind in ("softmax", "hstu"):
        arch = space_for(config)(hidden=8, depth=1, attention=(kind,), heads=(1,), inner=(0,), gates=(0,))
        network = elasticnas.extract(model, arch).eval()
        assert (network(*given) - network(ids, None, times * 50, times * 50 + 77)).abs().max() > 1e-3
    with pytest.raises(ValidationError, match="time_bias=own: linrec has no scores to add it to"):
        small(time_bias="own")


def test_events_with_times_are_streamed():
    config = small(wide={"attention": ("softmax", "hstu", "none")}, time_bias="own")
    times = list(range(0, 80_000, 10_000))
    for arch in sampled(config, 4):
        torch.manual_seed(0)
        network = build(config, ITEMS, arch, True).double().eval()
        streamer, items = Streamer(network), batch_of_ids()[2].tolist()
        stream, scores = streamer.start([items[:3]], [times[:3]])
        for seen in range(3, 7):
            when = torch.tensor([times[:seen]])
            whole = network.next_item(torch.tensor([items[:seen]]), torch.tensor([seen]), when, when)
            torch.testing.assert_close(scores, whole, rtol=1e-9, atol=1e-9)
            scores = streamer.update(stream, torch.tensor(items[seen : seen + 1]), torch.tensor(times[seen : seen + 1]))


@pytest.mark.parametrize("backbone", ["sasrecf", "fdsa"])
def test_backbones_with_features_keep_the_law(backbone):
    config = small(layers=2, backbone=backbone)
    torch.manual_seed(0)
    model = supernet(config, ITEMS, True, FEATURES)
    archs = sampled(config, 2)
    for arch in archs:
        hidden = elasticnas.axes_of(model).hidden
        assert_mask_slice_equal(model, arch, batch_of_ids(), outputs_size=hidden, others=archs)


@pytest.mark.parametrize(
    ("layers", "text", "name"),
    [
        ([("softmax", 2, 5, 2)] * 2 + [("none", 1, 8, 0)], "8, 2xS2/5g2 N/8", "8-2xS2.5g2-N.8"),
        ([("hstu", 3, 0, 0)], "8, H3", "8-H3"),
    ],
)
def test_sizes_in_words(layers, text, name):
    attention, heads, inner, gates = zip(*layers, strict=True)
    fields = {"attention": attention, "heads": heads, "inner": inner, "gates": gates}
    arch = space_for(small())(hidden=8, depth=len(layers), **fields)
    assert (sizes_text(arch), sizes_name(arch)) == (text, name)


def test_no_architecture_is_the_network_of_another():
    """What running modules read tells all architectures apart."""
    config = small()
    same = Sameness(supernet(config, ITEMS, True)).canonical
    assert all(same(arch) == arch for arch in sampled(config, 30))


def test_expected_cost_by_enumeration():
    """Choices without effect have no part in the expectation, combinations that are refused are left out."""
    config = small(layers=1, wide={"gates": (0, 2), "hidden": (6, 12)})
    cost, space = encoder_flops(supernet(config, ITEMS, True)), space_for(config)
    draw = torch.Generator().manual_seed(0)
    shares = {
        name: torch.rand(len(options), generator=draw, dtype=torch.float64).softmax(0)
        for name, options in space.choices().items()
    }
    total, mean = 0.0, 0.0
    for options in itertools.product(*(range(len(each)) for each in space.choices().values())):
        chosen = {name: each[at] for (name, each), at in zip(space.choices().items(), options, strict=True)}
        if (chosen["attention.0"], chosen["inner.0"]) == ("none", 0):
            continue
        weight = float(np.prod([float(shares[name][at]) for name, at in zip(shares, options, strict=True)]))
        total, mean = total + weight, mean + weight * cost(space.from_assignment(chosen))
    assert float(cost.expected(shares)) == pytest.approx(mean / total, rel=1e-9)


def test_random_architectures_within_a_budget():
    config = small(layers=4)
    cost = encoder_flops(supernet(config, ITEMS, True))
    limit = cost(space_for(config).largest()) / 10
    found = list(itertools.islice(draws(space_for(config), cost, lambda arch: cost(arch) <= limit, seed=0), 40))
    assert len(set(found)) == 40 and max(map(cost, found)) <= limit
    assert len({arch.depth for arch in found}) > 1
