"""What a user does with an elastified model besides calling it."""

import copy
import functools
import pickle
import random
from typing import Annotated, Literal

import pytest
import torch
from pydantic import model_validator
from safetensors.torch import load_file
from torch import nn

from elasticnas import PerLayer, Space, axes_of, bind, check, elastify, extract, load, save
from elasticnas.errors import AxisError, CheckpointError, ConfigError
from tests.elastic.families import CASES, IDS, SASREC_RULES, Cut, Rotary, SASRec, bert, gpt2
from tests.elastic.test_families import supernet

ARCH = Cut(hidden=16, inner=24, depth=1)


@pytest.fixture
def sasrec():
    return supernet("SASRec by hand, fused qkv")


class Chosen(Space):
    """Each of three layers may be left out, but not all."""

    inner: Literal[48, 24]
    keep: Annotated[tuple[bool, ...], PerLayer(3)]

    @property
    def depth(self) -> int:
        return max(1, sum(self.keep))


class Widths(Space):
    inner: Annotated[tuple[Literal[16, 8, 4], ...], PerLayer(2)]


class ByLayer(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(6, width), nn.BatchNorm1d(width), nn.Linear(width, 6)) for width in inner
        )

    def forward(self, x):
        for layer in self.layers:
            x = x + layer(x)
        return x


class Positions(nn.Module):
    """A position table that build computes, as a persistent buffer: its values depend on the size."""

    def __init__(self, hidden):
        super().__init__()
        self.embed = nn.Linear(3, hidden)
        rates = torch.arange(hidden) / hidden
        self.register_buffer("table", torch.sin(torch.arange(8)[:, None] * rates))

    def forward(self, x):
        return self.embed(x) + self.table[: x.shape[1]]


class Width(Space):
    hidden: Literal[16, 12, 8]


def test_library_functions_take_it_like_any_supernet(sasrec, tmp_path):
    check(sasrec)
    assert axes_of(sasrec) is sasrec.axes and sasrec.space is Cut
    with axes_of(sasrec).at(ARCH):
        expected = sasrec(IDS)
    plain = extract(sasrec, ARCH, IDS)
    save(plain, ARCH, tmp_path)
    loaded = load(tmp_path, lambda hidden, inner, depth: SASRec(hidden, inner, depth)).eval()
    assert torch.equal(loaded(IDS), expected)
    assert loaded.score.weight is not None and plain.score.weight is plain.items.weight


def test_outside_a_scope_it_is_the_whole_network(sasrec):
    assert torch.equal(sasrec(IDS), sasrec.network(IDS))
    with sasrec.at(ARCH):
        assert not torch.equal(sasrec(IDS), sasrec.network(IDS))


def test_masks_are_refused_with_the_way_out(sasrec):
    with (
        sasrec.axes.masked(ARCH),
        pytest.raises(AxisError, match=r"has no masks: open axes\.at\(arch\) to slice it"),
    ):
        sasrec(IDS)


def test_tied_weights_get_the_gradients_of_both_uses(sasrec):
    with sasrec.at(ARCH):
        sasrec(IDS).sum().backward()
    assert sasrec.network.score.weight is sasrec.network.items.weight
    assert len(list(sasrec.parameters())) == len(list(SASRec(32, 48, 2).parameters()))


def test_train_and_eval_mode_are_taken_at_each_call():
    class Dropped(Space):
        hidden: Literal[16, 8]

    def build(hidden):
        return nn.Sequential(nn.Linear(4, hidden), nn.Dropout(0.5), nn.Linear(hidden, 4))

    model, x = elastify(build, Dropped), torch.ones(64, 4)
    arch = Dropped(hidden=8)
    with model.at(arch):
        model.train()
        assert not torch.equal(model(x), model(x))
        model.eval()
        assert torch.equal(model(x), model(x))
        model.train()
        model.network[1].eval()  # a user may freeze one part
        assert torch.equal(model(x), model(x))


def test_running_statistics_are_the_supernets():
    model = elastify(ByLayer, Widths).train()
    arch = Widths(inner=(8, 4))
    with model.at(arch):
        model(torch.randn(32, 6) + 3)
    statistics = model.network.layers[0][1].running_mean
    assert (statistics[:8] != 0).all() and (statistics[8:] == 0).all()
    assert model.network.layers[0][1].num_batches_tracked == 1
    model.eval()
    plain = extract(model, arch, torch.randn(2, 6))
    assert torch.equal(plain.layers[0][1].running_mean, statistics[:8])
    assert [layer[0].out_features for layer in plain.layers] == [8, 4]


class Averaging(nn.Module):
    """Running means that are assigned, not changed in place, and a table that grows with its input."""

    def __init__(self, hidden, heads=2):
        super().__init__()
        self.embed, self.heads = nn.Linear(3, hidden), heads
        self.register_buffer("mean", torch.zeros(hidden))
        self.register_buffer("steps", torch.zeros(()))
        self.register_buffer("table", torch.zeros(0, hidden), persistent=False)

    def forward(self, x):
        y = self.embed(x)
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * y.mean(0)
            self.steps = self.steps + 1
            self.table = self.table.new_ones(len(x), y.shape[-1])
        return y * self.mean


@pytest.mark.parametrize("layout", ["_", "(heads head_dim)"])
def test_assigned_buffers_are_the_supernets(layout):
    rules = {"embed.weight": f"{layout} _", "mean": layout, "table": f"_ {layout}"}
    model, arch, x = elastify(Averaging, Width, rules).train(), Width(hidden=8), torch.randn(4, 3)
    plain = extract(model, arch)
    kept = torch.arange(16).unflatten(0, (2, 8))[:, :4].flatten() if layout != "_" else torch.arange(8)
    for number in range(1, 4):
        expected = plain(x)
        with model.at(arch):
            output = model(x)
        assert torch.equal(output, expected)
        output.sum().backward()
        assert torch.equal(model.network.mean[kept], plain.mean) and plain.mean.abs().sum() > 0
        assert (model.network.mean != 0).sum() == 8  # the others are untouched
        assert not model.network.mean.requires_grad and model.network.steps == number
    assert model.network.table.shape == (0, 16)
    assert torch.equal(extract(model, arch, x).mean, plain.mean)


def test_a_composite_buffer_that_is_changed_in_place_is_the_supernets():
    class InPlace(Averaging):
        def forward(self, x):
            y = self.embed(x)
            self.mean.add_(y.detach().mean(0))
            return y

    model = elastify(InPlace, Width, {"embed.weight": "(heads head_dim) _", "mean": "(heads head_dim)", "table": "_ _"})
    with model.at(Width(hidden=8)):
        model(torch.randn(4, 3))
    changed = model.network.mean.unflatten(0, (2, 8)) != 0
    assert changed[:, :4].all() and not changed[:, 4:].any()


def test_layers_have_their_own_widths():
    model = elastify(ByLayer, Widths).eval()
    assert model.coverage()["layers.1.0.weight"].dimensions[0].label == "inner.1"
    arch, x = Widths(inner=(4, 16)), torch.randn(3, 6)
    small = ByLayer((4, 16)).eval()
    small.load_state_dict(extract(model, arch).state_dict())
    with model.at(arch):
        assert torch.equal(model(x), small(x))


def test_buffers_that_build_computes_are_computed_anew():
    with pytest.raises(AxisError, match=r"^nothing in the model's behaviour shows which units embed\.bias dimension 0"):
        elastify(Positions, Width)  # the table gives the units an order
    model, x = elastify(Positions, Width, {"embed.weight": "_ _", "embed.bias": "_"}), torch.randn(2, 5, 3)
    arch = Width(hidden=8)
    small = Positions(8)
    with torch.no_grad():
        small.embed.weight.copy_(model.network.embed.weight[:8])
        small.embed.bias.copy_(model.network.embed.bias[:8])
    with model.at(arch):
        assert torch.equal(model(x), small(x))
    assert not torch.equal(model.network.table[:, :8], small.table)
    assert model.coverage().computed == ("table",)
    assert "table 8 x 16 computed for each architecture" in " ".join(str(model.coverage()).split())


def test_computed_buffers_follow_dtype():
    model = supernet("rotary by hand, gated FFN").float()
    arch = CASES["rotary by hand, gated FFN"][1].smallest()
    with model.at(arch), torch.no_grad():
        assert model(torch.randn(2, 5, 5)).dtype == torch.float32
    model.bfloat16()
    with model.at(arch), torch.no_grad():
        output = model(torch.randn(2, 5, 5).bfloat16())
        assert output.dtype == torch.bfloat16 and output.isfinite().all()
        assert model(torch.randn(0, 5, 5).bfloat16()).shape == (0, 5, arch.hidden)


def build_chosen(inner, depth):
    return SASRec(32, inner, depth)


def test_any_layers_can_be_kept():
    model = elastify(build_chosen, Chosen, {"layers": "keep"}).eval()
    arch = Chosen(inner=24, keep=(True, False, True))
    small = SASRec(32, 24, 2).eval()
    full = model.network.state_dict()
    with torch.no_grad():
        for name, value in small.state_dict().items():
            source = name.replace("layers.1.", "layers.2.")
            value.copy_(full[source][tuple(slice(0, units) for units in value.shape)])
    with model.at(arch):
        assert torch.equal(model(IDS), small(IDS))
    model.zero_grad()
    with model.at(arch):
        model(IDS).sum().backward()
    assert model.network.layers[1]["ffn"][0].weight.grad is None
    assert model.network.layers[2]["ffn"][0].weight.grad[:24].abs().sum() > 0


def test_copies_follow_the_scope_and_pickles_come_back(sasrec):
    with sasrec.at(ARCH):
        expected = sasrec(IDS)
        assert torch.equal(copy.deepcopy(sasrec)(IDS), expected)
    restored = pickle.loads(pickle.dumps(sasrec))
    with restored.at(ARCH):
        assert torch.equal(restored(IDS), expected)


def test_weights_can_be_given():
    trained = SASRec(32, 48, 2)
    for weights in (trained, trained.state_dict()):
        model = elastify(SASRec, Cut, SASREC_RULES, weights=weights).eval()
        assert torch.equal(model(IDS), trained.eval()(IDS))
    with pytest.raises(
        CheckpointError, match=r"weights: items\.weight has the shape \(31, 16\), the largest model \(31, 32\)"
    ):
        elastify(SASRec, Cut, SASREC_RULES, weights=SASRec(16, 48, 2))


def test_weights_of_a_file_that_names_tied_tensors_once(tmp_path):
    build, space = CASES["GPT-2"][:2]
    trained = gpt2(32, 4, 48, 3)
    trained.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    assert "lm_head.weight" not in weights
    model = elastify(build, space, weights=weights).eval()
    assert torch.equal(model(IDS).logits, trained.eval()(IDS).logits)
    del weights["transformer.wte.weight"]
    with pytest.raises(
        CheckpointError, match=r"weights: lm_head\.weight has the shape none, the largest model \(31, 32"
    ):
        elastify(build, space, weights=weights)


def test_training_sees_every_step_of_an_optimizer(sasrec):
    optimizer = torch.optim.SGD(sasrec.parameters(), 0.001)
    losses = []
    for _ in range(5):
        with sasrec.at(ARCH):
            loss = sasrec(IDS).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("reentrant", [True, False])
def test_activation_checkpointing_after_the_scope_has_closed(reentrant):
    from torch.utils.checkpoint import checkpoint

    class Checkpointed(nn.Module):
        def __init__(self, hidden):
            super().__init__()
            self.up, self.down, self.on = nn.Linear(4, hidden), nn.Linear(hidden, 4), False

        def forward(self, x):
            x = torch.tanh(self.up(x))
            return checkpoint(self.down, x, use_reentrant=reentrant) if self.on else self.down(x)

    model, x = elastify(Checkpointed, Width), torch.randn(3, 4)
    gradients = []
    for on in (False, True):
        model.zero_grad(set_to_none=True)
        with model.at(Width(hidden=8)):
            model._skeletons.get(Width(hidden=8), model._build).module.on = on
            output = model(x)
        with model.at(Width(hidden=12)):
            model(x)
        output.sum().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_methods_of_a_bound_network():
    model = elastify(gpt2, CASES["GPT-2"][1]).eval()
    arch = model.space.smallest()
    network = bind(model, arch)
    plain = extract(model, arch)
    kwargs = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    assert torch.equal(network.generate(IDS, **kwargs), plain.generate(IDS, **kwargs))


def test_skeletons_are_bounded_and_draw_no_random_numbers():
    class Many(Space):
        hidden: Literal[tuple(range(8, 72))]

    model = elastify(lambda hidden: nn.Sequential(nn.Linear(3, hidden), nn.Linear(hidden, 3)), Many)
    state, other = torch.get_rng_state(), random.getstate()
    for arch in Many.enumerate():
        with model.at(arch):
            model(torch.zeros(1, 3))
    assert len(model._skeletons._subnetworks) == 32
    assert torch.equal(torch.get_rng_state(), state) and random.getstate() == other


def test_partial_functions_and_whole_architectures_build_too():
    by_name = elastify(functools.partial(SASRec, items=9), Cut, SASREC_RULES)
    assert by_name.network.items.num_embeddings == 9
    by_arch = elastify(lambda arch: SASRec(arch.hidden, arch.inner, arch.depth), Cut, SASREC_RULES)
    assert by_arch.network.items.embedding_dim == 32
    by_keywords = elastify(lambda **sizes: SASRec(**sizes), Cut, SASREC_RULES)
    assert by_keywords.network.items.embedding_dim == 32


def test_a_model_that_cannot_be_built_on_the_meta_device():
    class Values(nn.Module):
        def __init__(self, hidden):
            super().__init__()
            rates = [float(rate) for rate in torch.linspace(0, 0.1, 3)]  # no values on the meta device
            self.layers = nn.ModuleList(nn.Linear(hidden, hidden) for _ in rates[:1])
            self.layers[0].weight.data = torch.eye(hidden)

        def forward(self, x):
            return self.layers[0](x)

    model = elastify(Values, Width)
    with model.at(Width(hidden=8)):
        x = torch.randn(2, 8)
        torch.testing.assert_close(model(x), x + model.network.layers[0].bias[:8])


def test_probing_a_model_of_a_hundred_million_parameters_initialises_none():
    """BERT base has 109 M parameters: probing builds shapes, the supernet alone is real."""

    class Base(Space):
        heads: Literal[12, 8]
        inner: Literal[3072, 1536]

        @property
        def hidden(self) -> int:
            return 64 * self.heads

    from elasticnas.elastic.building import Builder

    builder = Builder(functools.partial(bert, depth=12), Base)
    shapes = builder.shapes(Base.largest())
    assert all(parameter.is_meta for parameter in shapes.parameters())
    skeleton = builder.skeleton(Base.smallest())
    assert all(parameter.is_meta for parameter in skeleton.parameters())
    assert not any(buffer.is_meta for buffer in skeleton.buffers())


def test_coverage_says_what_was_found():
    text = str(elastify(SASRec, Cut, SASREC_RULES).coverage())
    lines = [" ".join(line.split()) for line in text.splitlines()]
    at = lines.index("layers.*.attention.qkv.weight (2)")
    assert lines[at + 1] == "96 x 32 (3 heads head_dim) (rule), hidden (rule)"
    assert "depth: depth removes up to 12 tensors" in text
    assert text.endswith("27 tensors: 27 elastic (0 open), 0 fixed")

    class Open(nn.Module):
        """Its forward pass needs none of its tensors."""

        def __init__(self, hidden):
            super().__init__()
            self.wide, self.plus, self.still = (
                nn.Linear(hidden, 4 * hidden),
                nn.Linear(hidden, hidden + 1),
                nn.Linear(2, 2),
            )
            self.odd = nn.Linear(hidden, hidden * hidden // 3)

    with pytest.raises(
        ConfigError, match=r"found no input that Open accepts .*: give elastify\(\.\.\., example=\.\.\.\)"
    ):
        elastify(Open, Width)
    coverage = elastify(Open, Width, assume=True).coverage()
    labels = {name: coverage[f"{name}.weight"].dimensions[0] for name in ("wide", "plus", "still", "odd")}
    assert {name: (d.label, d.how) for name, d in labels.items()} == {
        "wide": ("4 hidden", "size"),
        "plus": ("hidden + 1", "size"),
        "still": ("2", "fixed"),
        "odd": ("from hidden", "size"),
    }
    assert [layout.name for layout in coverage.fixed] == ["still.weight", "still.bias"]
    assert len(coverage.open) == 6
    assert "4 hidden (open), hidden (open)" in str(coverage)


def test_halves_of_a_gate_are_found_and_a_wrong_rule_for_them_is_refuted(recwarn):
    def build(inner):
        return nn.Sequential(nn.Linear(4, 2 * inner), nn.GLU(), nn.Linear(inner, 4))

    class Inner(Space):
        inner: Literal[16, 8]

    kept, x = [*range(8), *range(16, 24)], torch.randn(3, 4)
    for rules in (None, {"0.weight": "(2 inner) _"}):
        model = elastify(build, Inner, rules)
        first, _, last = model.network
        with model.at(Inner(inner=8)):
            expected = nn.functional.glu(nn.functional.linear(x, first.weight[kept], first.bias[kept]))
            torch.testing.assert_close(model(x), expected @ last.weight[:, :8].T + last.bias)
        assert not model.coverage().open
    with pytest.raises(
        AxisError, match=r"^the rules \{'0\.weight': '\(inner 2\) _'\} are refuted by the model's behaviour"
    ):
        elastify(build, Inner, {"0.weight": "(inner 2) _"})
    # whoever wants the first units says so
    told = elastify(build, Inner, {"0.weight": "_ _", "0.bias": "_", "2.weight": "_ _"})
    assert told.coverage()["0.weight"].dimensions[0].how == "rule"
    assert not recwarn.list


def test_coverage_sees_what_only_joint_changes_move():
    class Sizes(Space):
        a: Literal[16, 8]
        b: Literal[16, 8]

    def build(a, b):
        return nn.Sequential(nn.Linear(a, max(a, b)), nn.Linear(max(a, b), b))

    model = elastify(build, Sizes, assume=True)
    label = model.coverage()["0.weight"].dimensions[0]
    assert (label.label, label.axes) == ("from a, b", ("a", "b"))
    assert "fixed" not in str(model.coverage()).splitlines()[1]


def test_axes_that_move_together_around_the_largest_keep_their_names():
    class Sizes(Space):
        inner: Annotated[tuple[Literal[16, 8, 12, 4], ...], PerLayer(2)]

        @model_validator(mode="after")
        def alike_but_for_one(self):
            if self.inner[0] != self.inner[1] and self.inner != (12, 8):
                raise ValueError("both alike, or 12 and 8")
            return self

    coverage = elastify(ByLayer, Sizes).coverage()
    assert [coverage[f"layers.{layer}.0.weight"].dimensions[0].label for layer in (0, 1)] == ["inner.0", "inner.1"]


def test_models_of_one_head_one_layer_and_length_one():
    class Tiny(Space):
        heads: Literal[2, 1]
        head_dim: Literal[4, 2]

    def build(heads, head_dim):
        return Rotary(1, heads, head_dim, 1, 1)

    from tests.elastic.families import ROTARY_RULES

    model = elastify(build, Tiny, ROTARY_RULES).eval()
    arch = Tiny(heads=1, head_dim=2)
    x = torch.randn(1, 1, 5)
    with model.at(arch):
        assert torch.equal(model(x), extract(model, arch, x)(x))
