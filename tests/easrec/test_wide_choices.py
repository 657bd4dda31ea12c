"""The kind of scores as a choice of the architecture: the law of scores and losses, and formulas by hand."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import elasticnas
from easrec.config import Config, ModelConfig, TrainConfig
from easrec.data import Batch
from easrec.losses import BatchLoss
from easrec.model import build, supernet
from easrec.searching import encoder_flops
from easrec.sizes import sizes_head, sizes_name, sizes_text
from easrec.space import space_for
from easrec.streaming import Streamer
from elasticnas.cost import Flops
from elasticnas.errors import AxisError, ConfigError
from elasticnas.extraction import Sameness
from elasticnas.testing import assert_mask_slice_equal
from tests.easrec.test_wide import ITEMS, batch_of_ids, sampled, small

KINDS = ("dot", "cosine")
TEMPERATURE = 0.3
LOSSES = {
    "softmax": {"loss": "softmax"},
    "binary": {"loss": "binary"},
    "sampled": {"loss": "sampled", "sampled_items": 7},
    "uncorrected": {"loss": "sampled", "sampled_items": 7, "sampled_from": "uniform", "sampled_correction": False},
}


def choosing(layers=2, wide=None, **changes):
    return small(layers, {"scores": KINDS, **(wide or {})}, temperature=TEMPERATURE, **changes)


def with_scores(arch, kind):
    return type(arch)(**{**arch.model_dump(), "scores": kind})


def made(config, causal=True):
    torch.manual_seed(0)
    return supernet(config, ITEMS, causal).double().eval()


class Scores(nn.Module):
    """The scores of the next item, without padding."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, inputs):
        return self.model.next_item(inputs, (inputs > 0).sum(1))[:, 1:]


@pytest.mark.parametrize("causal", [True, False])
def test_scores_keep_the_law(causal):
    model = Scores(made(choosing(), causal))
    archs = sampled(choosing(), 3)
    archs = [with_scores(arch, kind) for arch, kind in zip(archs, ("dot", "cosine", "cosine"), strict=True)]
    for arch in archs:
        assert_mask_slice_equal(model, arch, batch_of_ids(), others=archs)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_by_hand(kind):
    model, ids = made(choosing()), batch_of_ids()
    arch = with_scores(sampled(choosing(), 1)[0], kind)
    lengths = (ids > 0).sum(1)
    with elasticnas.axes_of(model).at(arch):
        y, found = model.last(ids, lengths), model.next_item(ids, lengths)
    rows = model.items.weight[:, : arch.hidden]
    expected = y @ rows.T if kind == "dot" else F.cosine_similarity(y[:, None], rows[None], -1) / TEMPERATURE
    torch.testing.assert_close(found[:, 1:], expected[:, 1:], rtol=1e-9, atol=1e-9)
    assert bool((found[:, 0] == -torch.inf).all())


@pytest.mark.parametrize("kind", KINDS)
def test_an_extracted_network_is_one_of_its_kind(kind):
    """Its weights fit the network of ``model.scores`` without the choice, which gives the same scores and losses."""
    model, ids = made(choosing()), batch_of_ids()
    for arch in sampled(choosing(), 3):
        arch = with_scores(arch, kind)
        plain = elasticnas.extract(model, arch, ids)
        config = small(2, scores=kind, temperature=TEMPERATURE)
        fields = {name: value for name, value in arch.model_dump().items() if name != "scores"}
        other = build(config, ITEMS, space_for(config)(**fields), True).double().eval()
        other.load_state_dict(plain.state_dict())
        built = build(choosing(), ITEMS, arch, True).double().eval()
        built.load_state_dict(plain.state_dict())
        lengths = (ids > 0).sum(1)
        for network in (plain, built):
            assert torch.equal(network.next_item(ids, lengths), other.next_item(ids, lengths))
            assert torch.equal(loss(network, "softmax"), loss(other, "softmax"))


def loss(model, name, form="causal"):
    counts = np.arange(ITEMS + 1) % 4
    inputs = batch_of_ids()
    targets = inputs.roll(-1, 1)
    targets[:, -1] = 3
    targets = targets * (inputs > 0)
    if form == "prefixes":
        targets = targets[:, 0]
    torch.manual_seed(5)  # of the sampled items
    return BatchLoss(TrainConfig(form=form, **LOSSES[name]), counts)(model, Batch(inputs, targets))


def one_hot(arch):
    return {
        name: torch.tensor([float(option == type(arch).assignment(arch)[name]) for option in options])
        for name, options in type(arch).choices().items()
    }


def pass_of(model, name):
    model.zero_grad(set_to_none=True)
    found = loss(model, name)
    found.backward()
    return found.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_keep_the_law(name):
    model = made(choosing())
    axes = elasticnas.axes_of(model)
    for number, arch in enumerate(sampled(choosing(), 4)):
        arch = with_scores(arch, KINDS[number % 2])
        with axes.at(arch):
            expected, gradients = pass_of(model, name)
        for scope in (axes.masked(arch), axes.relaxed(one_hot(arch))):
            with scope:
                found, others = pass_of(model, name)
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
            for parameter, gradient in others.items():
                same = gradients.get(parameter, torch.zeros_like(gradient))
                torch.testing.assert_close(gradient, same, rtol=1e-8, atol=1e-9, msg=parameter)
        plain = elasticnas.extract(model, arch, batch_of_ids())
        found, own = pass_of(plain, name)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(
            own["items.weight"], gradients["items.weight"][:, : arch.hidden], rtol=1e-8, atol=1e-9
        )


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_by_torch(kind):
    model, ids = made(choosing()), batch_of_ids()
    arch = with_scores(sampled(choosing(), 1)[0], kind)
    targets = ids.roll(-1, 1)
    targets[:, -1] = 3
    real = ids > 0
    with elasticnas.axes_of(model).at(arch):
        y, found = model(ids)[real], loss(model, "softmax")
    targets = (targets * real)[real]
    rows = model.items.weight[1:, : arch.hidden]
    logits = y @ rows.T if kind == "dot" else F.cosine_similarity(y[:, None], rows[None], -1) / TEMPERATURE
    counted = targets > 0
    expected = F.cross_entropy(logits[counted], targets[counted] - 1)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_relaxed_losses_are_expected_ones(name):
    """The loss is the mean of those of the two kinds, and so is its derivative by the probabilities."""
    model = made(choosing())
    axes, arch = elasticnas.axes_of(model), sampled(choosing(), 1)[0]
    of_kind = []
    for kind in KINDS:
        with axes.at(with_scores(arch, kind)):
            of_kind.append(loss(model, name).detach())
    share = torch.tensor([0.3, 0.7], dtype=torch.float64, requires_grad=True)
    with axes.relaxed(one_hot(arch) | {"scores": share}):
        mixed = loss(model, name)
    torch.testing.assert_close(mixed.detach(), 0.3 * of_kind[0] + 0.7 * of_kind[1], rtol=1e-9, atol=1e-9)
    mixed.backward()
    torch.testing.assert_close(share.grad, torch.stack(of_kind), rtol=1e-9, atol=1e-9)
    assert (of_kind[0] - of_kind[1]).abs() > 1e-3


def test_one_loss_of_several_architectures_is_refused():
    model = made(choosing())
    archs = [with_scores(arch, kind) for arch, kind in zip(sampled(choosing(), 3), [*KINDS, "dot"], strict=True)]
    same = [with_scores(archs[0], kind) for kind in [*KINDS, "dot"]]
    with (
        elasticnas.axes_of(model).masked(same),
        pytest.raises(AxisError, match="compute the loss in a scope for each"),
    ):
        loss(model, "softmax", "prefixes")


def test_the_choice_doubles_the_space_and_changes_no_cost():
    config, without = choosing(), small(2)
    space = space_for(config)
    assert space.size() == 2 * space_for(without).size()
    assert space.largest().scores == "dot"
    assert space_for(choosing(wide={"scores": ("cosine", "dot")})).largest().scores == "cosine"
    model = supernet(config, ITEMS, True)
    cost, counted = encoder_flops(model), Flops(model, torch.ones(1, 9, dtype=torch.long))
    same = Sameness(model).canonical
    for arch in sampled(config, 6):
        both = [with_scores(arch, kind) for kind in KINDS]
        assert [cost(each) for each in both] == [counted(arch)] * 2
        assert [same(each) for each in both] == both
        assert len({sizes_name(each) for each in both}) == len({sizes_text(each) for each in both}) == 2


def test_the_expected_cost_does_not_depend_on_the_kind():
    few = {"gates": (0, 2), "hidden": (6, 12)}
    config, without = choosing(1, few), small(1, few)
    choices = space_for(config).choices()
    uniform = {name: torch.full((len(of),), 1 / len(of), dtype=torch.float64) for name, of in choices.items()}
    others = {name: share for name, share in uniform.items() if name != "scores"}
    found = encoder_flops(supernet(config, ITEMS, True)).expected(uniform)
    plain = encoder_flops(supernet(without, ITEMS, True)).expected(others)
    assert float(found) == pytest.approx(float(plain), rel=1e-9)


def test_sizes_in_words():
    config = choosing()
    layers = {"attention": ("softmax", "none"), "heads": (2, 1), "inner": (5, 8), "gates": (2, 0)}
    arch = space_for(config)(hidden=8, depth=2, **layers, scores="cosine")
    assert sizes_head(config) == "hidden, layers, scores"
    assert (sizes_text(arch), sizes_name(arch)) == ("8, S2/5g2 N/8, cosine", "8-S2.5g2-N.8-cosine")


def test_a_network_with_cosines_is_streamed():
    network = build(choosing(), ITEMS, with_scores(space_for(choosing()).sample(random.Random(0)), "cosine"), True)
    network, items = network.double().eval(), batch_of_ids()[2].tolist()
    streamer = Streamer(network)
    stream, _ = streamer.start([items[:3]])
    scores = streamer.update(stream, torch.tensor(items[3:4]))
    whole = network.next_item(torch.tensor([items[:4]]), torch.tensor([4]))
    torch.testing.assert_close(scores, whole, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model.wide.scores": ["dot"]}, r"wide.scores=\['dot'\]: two different kinds .*set model.scores for one"),
        ({"model.wide.scores": ["dot", "dot"]}, "two different kinds are needed"),
        ({"model.wide.scores": ["dot", "cosine"], "model.scores": "cosine"}, "scores=cosine is not used"),
        ({"model.space": "paper", "model.wide.scores": ["dot", "cosine"]}, "set model.space=wide"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message) as raised:
        Config().updated({"model.space": "wide", **settings})
    assert "\n" not in str(raised.value)


def test_records_without_the_choice_do_not_change():
    config = Config().updated({"model.space": "wide", "model.wide.norm": "post"})
    assert "scores" not in config.recorded()["model"]["wide"]
    chosen = config.updated({"model.wide.scores": list(KINDS)})
    assert chosen.recorded()["model"]["wide"]["scores"] == list(KINDS)
    assert Config.model_validate(chosen.recorded()) == chosen
    assert "scores" not in space_for(ModelConfig(space="wide", layers=2)).model_fields
