"""SASRec, SASRecF and FDSA against torch by hand, their law, and attention as a choice of the space."""

import itertools
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import elasticnas
from easrec.artifact import Recommender
from easrec.config import Config, ModelConfig
from easrec.data import ItemFeatures
from easrec.model import build, supernet
from easrec.searching import encoder_flops
from easrec.space import space_for
from elasticnas.errors import ConfigError
from elasticnas.testing import assert_mask_slice_equal

ITEMS = 6
# item 3 has no feature, items 2, 4 and 6 have two
FEATURES = ItemFeatures(
    np.array([0, 0, 1, 3, 3, 5, 6, 8]), np.array([1, 1, 2, 2, 3, 1, 2, 3], dtype=np.int32), ["", "a", "b", "c"], ["g"]
)
SMALL = {"hidden": 8, "inner": 12, "length": 7, "layers": 2, "heads": 2}
SMALL |= {"hidden_pruning": (0, 0.5), "inner_pruning": (0, 0.5)}
BACKBONES = ("sasrec", "sasrecf", "fdsa")
KINDS = ("softmax", "linrec", "hstu", ("softmax", "hstu"))


def settings(backbone, attention="softmax", **more):
    kind = {"attention": attention} if isinstance(attention, str) else {"attention_choices": attention}
    return ModelConfig(**{**SMALL, **kind, "backbone": backbone, **more})


def made(config, causal=True):
    torch.manual_seed(0)
    model = supernet(config, ITEMS, causal, FEATURES).double().eval()
    with torch.no_grad():  # start values hide mistakes: embeddings are small, norms alike
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1 or name in ("items.weight", "positions.weight", "features.table.weight"):
                parameter.normal_()
        model.items.weight[0] = 0
        if model.features is not None:
            model.features.table.weight[0] = 0
    return model


def batch_of_ids():
    ids = torch.randint(1, ITEMS + 1, (3, 6), generator=torch.Generator().manual_seed(0))
    ids[0, 4:] = 0
    return ids


def hand_attention(w, x):
    q, k, v = (x @ w[f"{name}.weight"].T + w[f"{name}.bias"] for name in ("query", "key", "value"))
    heads = []
    for head in range(2):
        part = slice(head * q.shape[-1] // 2, (head + 1) * q.shape[-1] // 2)
        logits = q[..., part] @ k[..., part].transpose(-1, -2) / (q.shape[-1] // 2) ** 0.5
        later = torch.ones(x.shape[1], x.shape[1]).triu(1).bool()
        heads.append(logits.masked_fill(later, float("-inf")).softmax(-1) @ v[..., part])
    return torch.cat(heads, -1) @ w["out.weight"].T + w["out.bias"]


def hand_norm(w, name, x):
    return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])


def below(w, prefix):
    return {name.removeprefix(f"{prefix}."): value for name, value in w.items() if name.startswith(f"{prefix}.")}


def hand_layers(w, layers, norm, x):
    x = hand_norm(w, norm, x)
    for number in range(2):
        own = {name.replace("candidates.shared.", ""): v for name, v in below(w, f"{layers}.layers.{number}").items()}
        x = hand_norm(own, "attention_norm", x + hand_attention(below(own, "attention"), x))
        inner = F.gelu(x @ own["up.weight"].T + own["up.bias"])
        x = hand_norm(own, "norm", x + inner @ own["down.weight"].T + own["down.bias"])
    return x


def by_hand(backbone, w, ids):
    """What a backbone computes, from the weights of its plain network."""
    items, positions = w["items.weight"][ids], w["positions"][: ids.shape[1]]
    if backbone == "sasrec":
        return hand_layers(w, "layers", "norm", items + positions)
    sums = torch.zeros(ITEMS + 1, items.shape[-1], dtype=items.dtype)
    for item in range(ITEMS + 1):
        for feature in FEATURES.ids[FEATURES.offsets[item] : FEATURES.offsets[item + 1]]:
            sums[item] += w["features.table.weight"][int(feature)]
    features = sums[ids]
    fuse = {name.split("project.")[1]: value for name, value in below(w, "fuse").items()}
    if backbone == "sasrecf":
        both = torch.cat([items, features], -1) @ fuse["weight"].T + fuse["bias"]
        return hand_layers(w, "layers", "norm", both + positions)
    one = hand_layers(w, "layers", "norm", items + positions)
    other = hand_layers(w, "feature_layers", "feature_norm", features + positions)
    return torch.cat([one, other], -1) @ fuse["weight"].T + fuse["bias"]


@pytest.mark.parametrize("mixing", ["block", "mask"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_plain_network_is_what_torch_computes_by_hand(backbone, mixing):
    config, ids = settings(backbone, mixing=mixing, gate_layers=0), batch_of_ids()
    model, space = made(config), space_for(config)
    for candidate in (0, 1):
        plain = elasticnas.extract(model, space(candidate=candidate, depth=2), example=ids)
        with torch.no_grad():
            expected = by_hand(backbone, plain.state_dict(), ids)
            assert torch.allclose(plain(ids), expected, rtol=1e-10, atol=1e-10) and expected.std() > 0.1


def variants():
    """Every backbone with every attention and every way of mixing."""
    rng = random.Random(0)
    mixings = (("block", "shared"), ("block", "separate"), ("mask", "shared"))
    for backbone, attention, (mixing, weights) in itertools.product(BACKBONES, KINDS, mixings):
        if backbone == "sasrec" and attention in ("softmax", "linrec"):
            continue  # tests/easrec/test_model.py
        options = {"mixing": mixing, "weights": weights, "gate_layers": rng.choice((0, 0, 1, 2))}
        options["embedding_norm"] = rng.random() < 0.7
        yield pytest.param(
            settings(backbone, attention, **options),
            rng.random() < 0.6,
            id=f"{backbone}-{attention}-{mixing}-{weights}",
        )


@pytest.mark.parametrize(("config", "causal"), list(variants()))
def test_every_backbone_keeps_the_law(config, causal):
    model, space, ids = made(config, causal), space_for(config), batch_of_ids()
    rng = random.Random(1)
    archs = [space.sample(rng) for _ in range(2)]
    arch = archs[0]
    axes = elasticnas.axes_of(model)
    assert_mask_slice_equal(model, arch, ids, outputs_size=axes.hidden, others=archs)
    plain = elasticnas.extract(model, arch, example=ids)
    assert {type(m).__module__.split(".")[0] for m in plain.modules() if not list(m.children())} <= {"torch"}
    built = build(config, ITEMS, arch, causal, FEATURES).double().eval()
    built.load_state_dict(plain.state_dict())
    assert torch.equal(built(ids), plain(ids))


@pytest.mark.parametrize(
    ("attention", "shares", "chosen"),
    [
        ("softmax", {}, {}),
        (("softmax", "hstu"), {"attention": (1.0, 0.0)}, {"attention": "softmax"}),
        (("softmax", "hstu"), {"attention": (0.0, 1.0)}, {"attention": "hstu"}),
    ],
)
def test_block_mixing_of_sasrecf_is_the_weighted_sum_of_networks(attention, shares, chosen):
    """Every candidate projects its own part of items and features."""
    config, ids = settings("sasrecf", attention, layers=1), batch_of_ids()
    model, space, p = made(config), space_for(config), (0.3, 0.7)
    with torch.no_grad():
        shares = {name: torch.tensor(value, dtype=torch.float64) for name, value in (shares | {"candidate": p}).items()}
        with elasticnas.axes_of(model).relaxed(shares):
            mixed = model(ids)
        expected = torch.zeros_like(mixed)
        for candidate, share in enumerate(p):
            part = elasticnas.extract(model, space(candidate=candidate, depth=1, **chosen))(ids)
            expected[..., : part.shape[-1]] += share * part
    assert torch.allclose(mixed, expected, atol=1e-12)


def test_fdsa_mixes_both_stacks_and_then_their_projections():
    config, ids = settings("fdsa", layers=1), batch_of_ids()
    model, space, p = made(config), space_for(config), (0.3, 0.7)
    networks = [elasticnas.extract(model, space(candidate=candidate, depth=1)) for candidate in (0, 1)]
    given: list = []
    streams = [torch.zeros(3, 6, 8, dtype=torch.float64) for _ in range(2)]
    for share, network in zip(p, networks, strict=True):
        hook = network.fuse.register_forward_pre_hook(lambda module, arguments: given.append(arguments))
        with torch.no_grad():
            network(ids)
        hook.remove()
        for total, part in zip(streams, given[-1], strict=True):
            total[..., : part.shape[-1]] += share * part
    expected = torch.zeros_like(streams[0])
    with torch.no_grad():
        for share, network in zip(p, networks, strict=True):
            width = network.items.weight.shape[1]
            expected[..., :width] += share * network.fuse(streams[0][..., :width], streams[1])
        with elasticnas.axes_of(model).relaxed({"candidate": torch.tensor(p, dtype=torch.float64)}):
            assert torch.allclose(model(ids), expected, atol=1e-12)


def test_the_output_of_fdsa_is_the_mix_of_exits():
    config, ids = settings("fdsa", "hstu"), batch_of_ids()
    model, space = made(config), space_for(config)
    axes, q = elasticnas.axes_of(model), (0.3, 0.7)
    with torch.no_grad():
        with axes.relaxed({"depth": torch.tensor(q, dtype=torch.float64)}):
            mixed = model(ids)
        exits = []
        for depth in (1, 2):
            with axes.at(space(candidate=1, depth=depth)):
                exits.append(model(ids))
    assert torch.allclose(mixed, q[0] * exits[0] + q[1] * exits[1], atol=1e-12)


@pytest.mark.parametrize("mixing", ["block", "mask"])
@pytest.mark.parametrize("backbone", ["sasrecf", "fdsa"])
def test_every_share_and_every_feature_gets_a_gradient(backbone, mixing):
    config = settings(backbone, ("hstu", "softmax"), mixing=mixing)
    model = made(config)
    options = space_for(config).choices().items()
    logits = {n: torch.randn(len(o), dtype=torch.float64, requires_grad=True) for n, o in options}
    assert list(logits) == ["candidate", "depth", "attention"]
    with elasticnas.axes_of(model).relaxed({name: value.softmax(-1) for name, value in logits.items()}):
        model(batch_of_ids()).square().sum().backward()
    for value in logits.values():
        assert value.grad.isfinite().all() and value.grad.abs().min() > 1e-9
    table = model.features.table.weight.grad
    assert not table[0].any() and table[1:].abs().sum(1).min() > 0


def test_features_reach_items_and_an_item_without_any_has_the_zero_vector():
    model = made(settings("sasrecf"))
    with torch.no_grad():
        embedded = model.features(torch.arange(ITEMS + 1))
        table = model.features.table.weight
    assert not embedded[[0, 3]].any()
    assert torch.equal(embedded[2], table[1] + table[2]) and torch.equal(embedded[5], table[1])


def test_start_values_of_features():
    torch.manual_seed(0)
    table = supernet(settings("fdsa", init=0.5, hidden=64, inner=64), ITEMS, True, FEATURES).features.table.weight
    assert not table[0].any() and 0.4 < table[1:].std() < 0.6
    table = supernet(settings("fdsa", init="paper"), ITEMS, True, FEATURES).features.table.weight
    assert not table[0].any() and table[1:].any()


@pytest.mark.parametrize(("gates", "backbone"), [(0, "sasrec"), (0, "sasrecf"), (0, "fdsa"), (1, "fdsa")])
def test_flops_by_hand(gates, backbone):
    config = settings(backbone, gate_layers=gates, gate_input="position")
    flops, (n, d, inner) = encoder_flops(made(config)), (7, 4, 6)
    projections, attention, dense = 4 * 2 * n * d * d, 2 * 2 * n * n * d, 2 * 2 * n * d * inner
    layer = projections + attention + dense + (2 * n * d * (d + inner) if gates else 0)
    fuse = 0 if backbone == "sasrec" else 2 * n * 2 * d * d
    stacks = 2 if backbone == "fdsa" else 1
    for depth in (1, 2):
        assert flops(space_for(config)(candidate=0, depth=depth)) == stacks * depth * layer + fuse


def test_flops_of_each_attention():
    config = settings("sasrec", ("softmax", "hstu"), gate_layers=0)
    flops, space = encoder_flops(made(config)), space_for(config)
    softmax, hstu = (flops(space(candidate=1, depth=1, attention=kind)) for kind in ("softmax", "hstu"))
    assert hstu - softmax == 2 * 7 * 8 * 8  # the gate


def test_a_choice_of_attention_is_a_field_and_the_first_is_the_largests():
    space = space_for(settings("sasrec", ("hstu", "linrec")))
    assert space.choices()["attention"] == ("hstu", "linrec") and space.size() == 2 * 2 * 2
    assert space.largest().attention == "hstu"
    assert "attention" not in space_for(settings("sasrec", "hstu")).choices()


@pytest.mark.parametrize("choices", [["hstu"], ["hstu", "hstu"], []])
def test_a_choice_needs_two_kinds(choices):
    with pytest.raises(ConfigError, match="two different kinds or more are needed; set attention for one"):
        Config().updated({"model.attention_choices": choices})
    with pytest.raises(ConfigError, match=r"model\.attention_choices"):
        Config().updated({"model.attention_choices": ["softmax", "other"]})


def test_a_backbone_with_features_is_refused_without():
    message = "model.backbone=fdsa embeds features of items and the data has none: give --items FILE"
    config = Config().updated({"model": SMALL | {"backbone": "fdsa"}})
    with pytest.raises(ConfigError, match=message):
        supernet(config.model, ITEMS, True)
    arch = space_for(config.model).smallest()
    network = build(config.model, ITEMS, arch, True, FEATURES)
    with pytest.raises(ConfigError, match=message):
        Recommender(network, arch, config, [""] * 7)
