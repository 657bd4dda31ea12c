"""The bias by time as a choice of the architecture: the law, networks without times, and what the choice costs."""

import pytest
import torch

import elasticnas
from easrec import compiled_step
from easrec.config import Config, ModelConfig, TrainConfig
from easrec.data import Batch
from easrec.losses import BatchLoss
from easrec.model import build, supernet
from easrec.searching import encoder_flops
from easrec.sizes import sizes_head, sizes_name, sizes_text
from easrec.space import space_for
from easrec.streaming import Streamer
from elasticnas.cost import Flops, Params, params
from elasticnas.errors import ConfigError, DataError
from elasticnas.extraction import Sameness
from elasticnas.testing import assert_mask_slice_equal
from tests.easrec.test_wide import FEATURES, ITEMS, batch_of_ids, sampled, small

BUCKETS = 30
KINDS = ("softmax", "hstu")


def choosing(time_bias="own", layers=2, wide=None, **changes):
    wide = {"attention": KINDS, "time_bias": (False, True), **(wide or {})}
    return small(layers, wide, time_bias=time_bias, time_buckets=BUCKETS, **changes)


def always(time_bias, layers=2):
    """Settings without the choice."""
    return small(layers, {"attention": KINDS}, time_bias=time_bias, time_buckets=BUCKETS)


def using(arch, times):
    return type(arch)(**{**arch.model_dump(), "time_bias": times})


def made(config, causal=True, features=None):
    torch.manual_seed(0)
    model = supernet(config, ITEMS, causal, features).double().eval()
    for name, parameter in model.named_parameters():
        if "relative" in name:
            torch.nn.init.normal_(parameter)
    return model


def times_of(ids):
    times = torch.randint(10**6, ids.shape, generator=torch.Generator().manual_seed(0)).sort(1).values
    return times, times + 77


@pytest.mark.parametrize("time_bias", ["own", "target"])
@pytest.mark.parametrize("causal", [True, False])
def test_both_options_keep_the_law(time_bias, causal):
    config, ids = choosing(time_bias), batch_of_ids()
    model = made(config, causal)
    archs = [using(arch, number % 2 == 0) for number, arch in enumerate(sampled(config, 3))]
    for arch in archs:
        hidden = elasticnas.axes_of(model).hidden
        assert_mask_slice_equal(model, arch, ids, None, *times_of(ids), outputs_size=hidden, others=archs)
        assert elasticnas.extract(model, arch, model.example(ids)).time_bias == (
            time_bias if arch.time_bias else "none"
        )


@pytest.mark.parametrize("backbone", ["sasrecf", "fdsa"])
def test_backbones_with_features_keep_the_law(backbone):
    config, ids = choosing(backbone=backbone), batch_of_ids()
    model = made(config, True, FEATURES)
    for number, arch in enumerate(sampled(config, 2)):
        arch = using(arch, bool(number))
        hidden = elasticnas.axes_of(model).hidden
        assert_mask_slice_equal(model, arch, ids, None, *times_of(ids), outputs_size=hidden)


def test_the_last_position_alone():
    config, ids = choosing("target"), batch_of_ids()
    model, lengths, when = made(config), (ids > 0).sum(1), times_of(ids)
    axes, choices = elasticnas.axes_of(model), space_for(config).choices()
    soft = {name: torch.full((len(options),), 1 / len(options)) for name, options in choices.items()}
    archs = [using(arch, number % 2 == 0) for number, arch in enumerate(sampled(config, 3))]
    for scope in (axes.relaxed(soft), axes.masked(archs), *map(axes.at, archs)):
        with scope:
            whole = model(ids, None, *when)[torch.arange(len(ids)), lengths - 1]
            torch.testing.assert_close(model.last(ids, lengths, *when), whole, rtol=1e-10, atol=1e-12)


def test_without_the_bias_no_form_needs_times():
    config, ids = choosing(), batch_of_ids()
    model = made(config)
    axes = elasticnas.axes_of(model)
    for arch in sampled(config, 3):
        arch = using(arch, False)
        hidden = axes.hidden
        assert_mask_slice_equal(model, arch, ids, outputs_size=hidden, others=[using(sampled(config, 1)[0], False)])
        plain = elasticnas.extract(model, arch, ids)
        assert torch.equal(plain(ids), plain(ids, None, *times_of(ids)))
    with axes.at(using(arch, True)), pytest.raises(ConfigError, match=r"needs the times .*\(model.time_bias=own\)"):
        model(ids)
    for scope in (axes.masked(using(arch, True)), axes.masked([arch, arch, using(arch, True)])):
        with scope, pytest.raises(ConfigError, match="give times"):
            model(ids)


@pytest.mark.parametrize("time_bias", ["own", "target"])
@pytest.mark.parametrize("times", [True, False])
def test_a_network_is_that_of_the_settings_without_the_choice(time_bias, times):
    config, other = choosing(time_bias), always(time_bias if times else "none")
    model, ids = made(config), batch_of_ids()
    for arch in sampled(config, 3):
        arch = using(arch, times)
        fields = {name: value for name, value in arch.model_dump().items() if name != "time_bias"}
        same = build(other, ITEMS, space_for(other)(**fields), True).double().eval()
        plain = elasticnas.extract(model, arch, model.example(ids)).eval()
        built = build(config, ITEMS, arch, True).double().eval()
        built.load_state_dict(plain.state_dict())
        state = {name.replace("relative.bias", "relative"): value for name, value in plain.state_dict().items()}
        same.load_state_dict(state)
        given = (None, *times_of(ids)) if times else ()
        expected = same(ids, *given)
        assert torch.equal(plain(ids, *given), expected) and torch.equal(built(ids, *given), expected)


def test_a_relaxed_bias_is_scaled_by_its_probability():
    config, ids = choosing(), batch_of_ids()
    model = made(config)
    axes, arch = elasticnas.axes_of(model), using(sampled(config, 1)[0], True)
    space, own = type(arch), type(arch).assignment(arch)
    soft = {
        name: torch.tensor([float(option == own[name]) for option in of], dtype=torch.float64)
        for name, of in space.choices().items()
    }
    assert space.choices()["time_bias"] == (True, False)
    soft["time_bias"] = torch.tensor([0.25, 0.75], dtype=torch.float64, requires_grad=True)
    with axes.relaxed(soft):
        found = model(ids, None, *times_of(ids))[..., : arch.hidden]
    found.sum().backward()
    assert soft["time_bias"].grad is not None and soft["time_bias"].grad[0] != 0
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "relative" in name:
                parameter.mul_(0.25)
    with axes.at(arch):
        torch.testing.assert_close(found, model(ids, None, *times_of(ids)), rtol=1e-9, atol=1e-9)


def test_losses_take_batches_with_and_without_times():
    """The batches of a run have times, which networks without the bias ignore."""
    config, ids = choosing("target"), batch_of_ids()
    model = made(config)
    arch = sampled(config, 1)[0]
    targets = torch.where(ids > 0, ids.roll(-1, 1).clamp_min(1), 0)
    loss = BatchLoss(TrainConfig(), torch.ones(ITEMS + 1, dtype=torch.long).numpy())
    timed, untimed = Batch(ids, targets, times_of(ids)), Batch(ids, targets)
    axes = elasticnas.axes_of(model)
    with axes.at(using(arch, False)):
        without = loss(model, timed)
        assert torch.equal(without, loss(model, untimed))
    with axes.at(using(arch, True)):
        assert (loss(model, timed) - without).abs() > 1e-5
        with pytest.raises(ConfigError, match="needs the times"):
            loss(model, untimed)


def test_what_is_not_used_costs_nothing(monkeypatch):
    config = choosing(layers=3)
    model = made(config)
    cost, counted = encoder_flops(model), Flops(model, model.example(torch.ones(1, 9, dtype=torch.long)))
    same = Sameness(model).canonical
    for arch in sampled(config, 4):
        on, off = using(arch, True), using(arch, False)
        assert cost(on) == counted(on) and cost(off) == counted(off)
        networks = [elasticnas.extract(model, each, model.example(batch_of_ids())) for each in (on, off)]
        numbers = [sum(each.numel() for each in network.parameters()) for network in networks]
        assert [Params(model)(each) for each in (on, off)] == numbers
        assert numbers[0] - numbers[1] == arch.depth * BUCKETS
        assert (same(on), same(off)) == (on, off)
        assert len({sizes_name(each) for each in (on, off)}) == len({sizes_text(each) for each in (on, off)}) == 2
    monkeypatch.setattr(params, "extract_unverified", None)
    assert Params(model)(on) - Params(model)(off) == arch.depth * BUCKETS


def test_the_choice_doubles_the_space():
    config = choosing()
    assert space_for(config).size() == 2 * space_for(always("own")).size()
    assert space_for(config).largest().time_bias is True and space_for(config).smallest().time_bias is False


def test_sizes_in_words():
    config = choosing(wide={"scores": ("dot", "cosine")})
    layers = {"attention": KINDS, "heads": (2, 1), "inner": (5, 0), "gates": (2, 0)}
    arch = space_for(config)(hidden=8, depth=2, **layers, scores="dot", time_bias=False)
    assert sizes_head(config) == "hidden, layers, scores, times"
    assert sizes_text(arch) == "8, S2/5g2 H1, dot, no times"
    assert sizes_name(arch) == "8-S2.5g2-H1-dot-no-times"
    assert sizes_text(using(arch, True)) == "8, S2/5g2 H1, dot, times"


@pytest.mark.parametrize("time_bias", ["own", "target"])
def test_a_network_without_the_bias_is_streamed_without_times(time_bias):
    config = choosing(time_bias)
    network = build(config, ITEMS, using(sampled(config, 1)[0], False), True).double().eval()
    streamer, items = Streamer(network), batch_of_ids()[2].tolist()
    stream, _ = streamer.start([items[:3]])
    scores = streamer.update(stream, torch.tensor(items[3:4]))
    whole = network.next_item(torch.tensor([items[:4]]), torch.tensor([4]))
    torch.testing.assert_close(scores, whole, rtol=1e-9, atol=1e-9)
    with pytest.raises(DataError, match=rf"\(model.time_bias={time_bias}, and the architecture .* time_bias=False\)"):
        streamer.start([items[:3]], [[1, 2, 3]])


def test_a_network_with_the_bias_is_streamed_with_times():
    config = choosing()
    network = build(config, ITEMS, using(sampled(config, 1)[0], True), True).double().eval()
    streamer, items, times = Streamer(network), batch_of_ids()[2].tolist(), list(range(0, 80_000, 10_000))
    stream, _ = streamer.start([items[:3]], [times[:3]])
    scores = streamer.update(stream, torch.tensor(items[3:4]), torch.tensor(times[3:4]))
    when = torch.tensor([times[:4]])
    whole = network.next_item(torch.tensor([items[:4]]), torch.tensor([4]), when, when)
    torch.testing.assert_close(scores, whole, rtol=1e-9, atol=1e-9)
    with pytest.raises(DataError, match="uses the times of events"):
        streamer.start([items[:3]])


def test_compiled_streams_equal_the_network(monkeypatch):
    monkeypatch.setattr(compiled_step, "compiled", lambda program: program.module())
    config, items = choosing(wide={"scores": ("dot", "cosine")}), batch_of_ids()
    for number, arch in enumerate(sampled(config, 2)):
        arch = type(arch)(**arch.model_dump() | {"scores": "cosine", "time_bias": bool(number)})
        network = build(config, ITEMS, arch, True).double().eval()
        streamer, times = Streamer(network, compiled=True), times_of(items)[0]
        stream, _ = streamer.start(items[1:3, :3].tolist(), times[1:3, :3].tolist() if number else None)
        for seen in (4, 5):
            scores = streamer.update(stream, items[1:3, seen - 1], times[1:3, seen - 1] if number else None)
            when = (times[1:3, :seen],) * 2 if number else ()
            whole = network.next_item(items[1:3, :seen], torch.tensor([seen, seen]), *when)
            torch.testing.assert_close(scores, whole, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model.time_bias": "none"}, "time_bias=none declares none: set model.time_bias to own or target"),
        ({"model.wide.time_bias": [True]}, r"wide.time_bias=\[True\]: give \[false, true\] for a choice"),
        ({"model.wide.time_bias": [True, False]}, r"give \[false, true\] for a choice"),
        ({"model.wide.attention": ["softmax", "none"]}, "leave none out of wide.attention"),
        ({"model.wide.attention": ["softmax", "linrec"]}, "linrec has no scores to add it to"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings, message):
    right = {
        "model.space": "wide",
        "model.time_bias": "own",
        "model.wide.attention": ["softmax", "hstu"],
        "model.wide.time_bias": [False, True],
    }
    assert Config().updated(right).model.wide.time_bias == (False, True)
    with pytest.raises(ConfigError, match=message) as raised:
        Config().updated(right | settings)
    assert "\n" not in str(raised.value)


def test_records_without_the_choice_do_not_change():
    wide = Config().updated({"model.space": "wide", "model.wide.norm": "post"}).recorded()["model"]["wide"]
    assert "time_bias" not in wide
    assert "time_bias" not in space_for(ModelConfig(space="wide", layers=2)).model_fields
