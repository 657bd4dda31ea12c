import itertools
import random

import numpy as np
import pytest
import torch

import elasticnas
from easrec.config import ModelConfig, TrainConfig
from easrec.data import Batch
from easrec.losses import BatchLoss
from easrec.model import build, supernet
from easrec.space import space_for
from elasticnas.testing import assert_mask_slice_equal

ITEMS = 13
SMALL = {
    "hidden": 16,
    "inner": 32,
    "length": 9,
    "layers": 2,
    "heads": 2,
    "hidden_pruning": (0, 0.25, 0.5),
    "inner_pruning": (0, 0.5, 0.75),
}
OPTIONS = {
    "candidates": ("paired", "grid"),
    "weights": ("shared", "separate"),
    "mixing": ("block", "mask"),
    "gate_position": ("before", "after"),
    "gate_layers": (0, 1, 2),
    "gate_input": ("position", "pooled"),
    "gate_rank": (None, 3),
    "attention": ("softmax", "linrec"),
    "key_norm": ("column", "token"),
    "embedding_norm": (True, False),
}


def variants():
    """Every option at least a few times, with a seeded choice of the combinations."""
    rng = random.Random(0)
    rows = [dict(zip(OPTIONS, values, strict=True)) for values in itertools.product(*OPTIONS.values())]
    rows = [row for row in rows if not (row["weights"] == "separate" and row["mixing"] == "mask")]
    return [(ModelConfig(**SMALL, **row), rng.random() < 0.7) for row in rng.sample(rows, 60)]


def batch_of_ids():
    ids = torch.randint(1, ITEMS + 1, (3, 7), generator=torch.Generator().manual_seed(0))
    ids[0, 4:] = 0
    ids[1, 6:] = 0
    return ids


@pytest.mark.parametrize(("config", "causal"), variants()[::3])
def test_the_last_position_alone(config, causal):
    """What the last layer leaves out is not missed: in a slice, in a soft scope, and extracted."""
    space = space_for(config)
    torch.manual_seed(0)
    model = supernet(config, ITEMS, causal).double().eval()
    axes, ids = elasticnas.axes_of(model), batch_of_ids()
    lengths = (ids > 0).sum(1)
    soft = {name: torch.full((len(options),), 1 / len(options)) for name, options in space.choices().items()}
    for scope in (space.smallest(), space.largest(), soft):
        with axes.relaxed(scope) if isinstance(scope, dict) else axes.at(scope):
            whole = model(ids)[torch.arange(len(ids)), lengths - 1]
            torch.testing.assert_close(model.last(ids, lengths), whole, rtol=1e-10, atol=1e-12)
            torch.testing.assert_close(model.next_item(ids, lengths), model.scores(whole), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("config", "causal"), variants())
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
        assert {type(m).__module__.split(".")[0] for m in plain.modules() if not list(m.children())} <= {"torch"}
        built = build(config, ITEMS, arch, causal).eval()
        built.load_state_dict(plain.state_dict())
        assert torch.equal(built(batch_of_ids()), plain.eval()(batch_of_ids()))


@pytest.mark.parametrize("p", [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
@pytest.mark.parametrize("changes", [{}, {"embedding_norm": False}, {"gate_input": "pooled"}, {"weights": "separate"}])
def test_block_mixing_is_the_weighted_sum_of_candidates(changes, p):
    """Eq. 11, forward and the gradient of the shares, one-hot (straight-through) included."""
    config = ModelConfig(**{**SMALL, "layers": 1, **changes})
    torch.manual_seed(0)
    model = supernet(config, ITEMS, True).double().eval()
    axes = elasticnas.axes_of(model)
    shares = torch.tensor(p, dtype=torch.float64, requires_grad=True)
    ids = batch_of_ids()
    with axes.relaxed({"candidate": shares}):
        mixed = model(ids)
    direction = torch.randn(mixed.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((mixed * direction).sum(), shares)
    expected, slopes = torch.zeros_like(mixed), []
    for index, share in enumerate(p):
        part = elasticnas.extract(model, space_for(config)(candidate=index, depth=1))(ids)
        expected[..., : part.shape[-1]] += share * part
        slopes.append((part * direction[..., : part.shape[-1]]).sum())
    assert torch.allclose(mixed, expected, atol=1e-12)
    assert torch.allclose(gradient, torch.stack(slopes), rtol=1e-9, atol=1e-9)


def test_output_is_the_mix_of_exits():
    config = ModelConfig(**{**SMALL, "candidates": "paired"})
    model = supernet(config, ITEMS, True).double().eval()
    axes, space = elasticnas.axes_of(model), space_for(config)
    q = torch.tensor([0.3, 0.7], dtype=torch.float64)
    ids = batch_of_ids()
    with torch.no_grad():
        with axes.relaxed({"depth": q}):
            mixed = model(ids)
        exits = []
        for depth in (1, 2):
            with axes.at(space(candidate=2, depth=depth)):
                exits.append(model(ids))
    assert torch.allclose(mixed, 0.3 * exits[0] + 0.7 * exits[1], atol=1e-12)


@pytest.mark.parametrize("mixing", ["block", "mask"])
def test_each_candidate_has_its_own_gates_though_weights_are_shared(mixing):
    config = ModelConfig(**SMALL, weights="shared", mixing=mixing)
    model, space = supernet(config, ITEMS, True), space_for(config)
    axes = elasticnas.axes_of(model)
    gates = [name for name, _ in model.named_parameters() if ".gates." in name]
    assert {name.split(".candidates.")[-1][0] for name in gates} == {"0", "1", "2"}
    with axes.at(space(candidate=1, depth=2)):
        model(batch_of_ids()).sum().backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    own = {name for name in gates if ".candidates.1." in name.split("gates")[-1]}
    assert own <= trained and not (set(gates) - own) & trained
    assert any("attention.query" in name for name in trained)


def test_causal_and_prefix_form_agree_for_one_layer_of_linrec():
    config = ModelConfig(**{**SMALL, "layers": 1}, attention="linrec", gate_input="position")
    torch.manual_seed(0)
    arch = space_for(config)(candidate=2, depth=1)
    causal = build(config, ITEMS, arch, True).double().eval()
    both_ways = build(config, ITEMS, arch, False).double().eval()
    both_ways.load_state_dict(causal.state_dict())
    ids = torch.randint(1, ITEMS + 1, (2, 9))
    for length in range(1, 10):
        one, other = causal(ids)[:, length - 1], both_ways(ids[:, :length])[:, -1]
        assert torch.allclose(one, other, atol=1e-10)


def test_padding_on_the_right_changes_nothing():
    for causal in (True, False):
        for attention in ("softmax", "linrec"):
            config = ModelConfig(**SMALL, attention=attention, gate_input="pooled")
            model = build(config, ITEMS, space_for(config).largest(), causal).double().eval()
            ids = torch.randint(1, ITEMS + 1, (1, 5))
            padded = torch.cat([ids, torch.zeros(1, 3, dtype=torch.long)], 1)
            lengths = torch.tensor([5])
            assert torch.allclose(
                model.next_item(ids, lengths)[:, 1:], model.next_item(padded, lengths)[:, 1:], atol=1e-12
            )


def test_losses_equal_their_formulas():
    config = ModelConfig(**SMALL)
    model = build(config, ITEMS, space_for(config).largest(), True).double().eval()
    ids = batch_of_ids()
    targets = torch.where(ids > 0, ids % ITEMS + 1, 0)
    p = model.scores(model(ids))[ids > 0].softmax(-1)[:, 1:]
    y = torch.nn.functional.one_hot(targets[ids > 0] - 1, ITEMS)
    counts = np.arange(ITEMS + 1)

    def of(kind, **more):
        torch.manual_seed(0)
        return BatchLoss(TrainConfig(loss=kind, **more), counts)(model, Batch(ids, targets)).item()

    softmax = -(y * p.log()).sum(1).mean().item()
    assert of("softmax") == pytest.approx(softmax)
    literal = -(y * p.log() + (1 - y) * (1 - p).log()).sum(1).mean().item()
    assert of("binary") == pytest.approx(literal)
    assert of("sampled", sampled_items=200_000) == pytest.approx(softmax, rel=1e-3)
    assert of("sampled", sampled_items=5) != pytest.approx(softmax, rel=1e-3)


def test_sampled_items_follow_their_counts():
    counts = np.array([9, 0, 3, 16])
    loss = BatchLoss(TrainConfig(loss="sampled", sampled_items=40_000), counts)
    torch.manual_seed(0)
    drawn = torch.bincount(loss._draw(), minlength=4) / 40_000
    torch.testing.assert_close(drawn, torch.tensor([0, 1, 4, 17]) / 22, atol=0.01, rtol=0)


def test_paper_initialisation_keeps_padding_at_zero():
    config = ModelConfig(**SMALL, init="paper")
    model = supernet(config, ITEMS, True)
    assert not model.items.weight[0].any() and model.items.weight[1:].any()


def test_the_supernet_is_pickled():
    import pickle

    torch.manual_seed(0)
    model = supernet(ModelConfig(**SMALL), ITEMS, True).eval()
    again = pickle.loads(pickle.dumps(model))
    arch = space_for(ModelConfig(**SMALL))(candidate=0, depth=1)
    with elasticnas.axes_of(model).at(arch), elasticnas.axes_of(again).at(arch), torch.no_grad():
        assert torch.equal(again(batch_of_ids()), model(batch_of_ids()))
