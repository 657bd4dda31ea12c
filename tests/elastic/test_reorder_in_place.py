"""reorder works on the model itself: what it changes for a trial is undone exactly, in every dtype."""

import os
import signal
from typing import Literal

import pytest
import torch
from torch import nn

from elasticnas import Space, elastify
from elasticnas.elastic import permutation, reorder
from elasticnas.elastic.disturbance import disturbed
from elasticnas.elastic.precision import InFloat64
from elasticnas.errors import AxisError, ConfigError, ExtractionError

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def bits(tensor):
    return tensor.detach().clone().reshape(-1).view(torch.uint8)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_disturbance_changes_every_weight_and_is_undone_bit_by_bit(dtype):
    torch.manual_seed(0)
    half_zero = torch.randn(64, 33).to(dtype)
    half_zero[::2] = 0.0
    half_zero[1, 1] = -0.0
    tensors = [torch.randn(40, 30).to(dtype).t(), half_zero, torch.ones(50).to(dtype), torch.zeros(7, 9).to(dtype)]
    tensors += [torch.tensor(3.0).to(dtype), torch.empty(0, 3).to(dtype), torch.arange(4)]
    before = [bits(tensor) for tensor in tensors]
    values = [tensor.clone() for tensor in tensors]
    with disturbed(tensors):
        for tensor, value in zip(tensors[:4], values, strict=False):
            assert (tensor != value).float().mean() > 0.9
            assert len(tensor.unique()) > 5
            usual = value.abs().double().mean()
            assert (tensor.double() - value.double()).abs().mean() < max(0.3 * usual, 0.2)
    assert all(torch.equal(bits(tensor), bit) for tensor, bit in zip(tensors, before, strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_operations_run_in_float64_while_the_weights_keep_their_dtype(dtype):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, dropout=0.0, dtype=dtype).eval()
    model = nn.Sequential(nn.Embedding(50, 32, dtype=dtype), layer, nn.Linear(32, 50_000, dtype=dtype))
    ids = torch.randint(0, 50, (2, 5))
    with torch.no_grad(), InFloat64() as mode:
        found = model(ids)
    assert {p.dtype for p in model.parameters()} == {dtype} and mode.eps < 1e-15
    expected = model.double()(ids)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_casts_inside_the_model_keep_float64_and_what_has_no_kernel_runs_narrower():
    class Norm(nn.Module):
        def forward(self, x):
            wide = x.to(torch.float32)
            return (wide / (wide.square().mean() + 1e-6).sqrt()).to(x.dtype)

    x = torch.linspace(0, 1, 7, dtype=torch.float64) / 3
    with InFloat64():
        torch.testing.assert_close(Norm()(x), x / (x.square().mean() + 1e-6).sqrt(), rtol=1e-14, atol=0)
    rows, experts = torch.randn(8, 16), torch.randn(2, 16, 16)
    ends = torch.tensor([4, 8], dtype=torch.int32)
    with InFloat64() as mode:
        found = torch._grouped_mm(rows, experts, offs=ends)
    assert found.dtype == torch.float64 and mode.eps == torch.finfo(torch.float32).eps
    torch.testing.assert_close(found.float(), torch.cat([rows[:4] @ experts[0], rows[4:] @ experts[1]]))


class Width(Space):
    inner: Literal[8, 4]


class Interrupted(nn.Module):
    """Calls a function in its forward pass."""

    def __init__(self, inner):
        super().__init__()
        self.first, self.last = nn.Linear(5, inner), nn.Linear(inner, 2)
        self.calls, self.act = 0, lambda count: None

    def forward(self, x):
        self.calls += 1
        self.act(self.calls)
        return self.last(self.first(x).relu())


@pytest.mark.parametrize("how", ["raised", "signal"])
def test_ctrl_c_at_any_pass_restores_the_weights(how):
    model, x = elastify(Interrupted, Width), torch.rand(3, 5)
    reorder(model, x)
    passes = model.network.calls
    assert passes >= 4
    for last in range(1, passes + 1):
        model = elastify(Interrupted, Width)
        before = [bits(parameter) for parameter in model.parameters()]

        def act(count, last=last):
            if count == last:
                if how == "raised":
                    raise KeyboardInterrupt
                os.kill(os.getpid(), signal.SIGINT)

        model.network.act = act
        with pytest.raises(KeyboardInterrupt):
            reorder(model, x)
        assert model.network.calls == last
        assert all(torch.equal(bits(p), bit) for p, bit in zip(model.parameters(), before, strict=True))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_amid_a_permutation_waits_until_it_can_be_undone(monkeypatch):
    permute_one, calls = permutation._permute, []

    def interrupted(member, order, at):
        calls.append(member.name)
        if len(calls) == at:
            os.kill(os.getpid(), signal.SIGINT)
        permute_one(member, order)

    for at in range(1, 10):
        model, x = elastify(Interrupted, Width), torch.rand(3, 5)
        before = [bits(parameter) for parameter in model.parameters()]
        calls.clear()
        monkeypatch.setattr(permutation, "_permute", lambda member, order, at=at: interrupted(member, order, at))
        with pytest.raises(KeyboardInterrupt):
            reorder(model, x)
        assert all(torch.equal(bits(p), bit) for p, bit in zip(model.parameters(), before, strict=True))


def test_an_output_that_changes_in_the_new_order_restores_the_weights():
    """Wrong only with the real weights: the trials see disturbed ones."""

    class Sly(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.first, self.last = nn.Linear(5, inner), nn.Linear(inner, 2)
            nn.init.zeros_(self.last.bias)

        def forward(self, x):
            y = self.first(x)
            return self.last(y.cumsum(-1) if bool((self.last.bias == 0).all()) else y)

    model = elastify(Sly, Width)
    before = [bits(parameter) for parameter in model.parameters()]
    with pytest.raises(ExtractionError, match=r"changed in the new order .* the weights are restored"):
        reorder(model, torch.rand(3, 5))
    assert all(torch.equal(bits(p), bit) for p, bit in zip(model.parameters(), before, strict=True))


def test_a_forward_pass_that_writes_to_weights_is_refused():
    class Writes(Interrupted):
        writes = False

        def forward(self, x):
            if Writes.writes:
                with torch.no_grad():
                    self.last.weight.mul_(0.5)
            return super().forward(x)

    model = elastify(Writes, Width)
    Writes.writes = True
    with pytest.raises(AxisError, match=r"^the forward pass writes to last.weight"):
        reorder(model, torch.rand(3, 5))


def test_a_forward_pass_that_draws_noise_is_sorted():
    class Noisy(Interrupted):
        def forward(self, x):
            return super().forward(x + torch.randn_like(x))

    model, x = elastify(Noisy, Width), torch.rand(3, 5)
    state = torch.get_rng_state()
    assert reorder(model, x).done
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_experts_are_sorted(dtype):
    transformers = pytest.importorskip("transformers")

    class Inner(Space):
        inner: Literal[48, 24]

    def mixtral(inner):
        config = transformers.MixtralConfig(
            vocab_size=31, hidden_size=32, num_attention_heads=4, num_key_value_heads=2, intermediate_size=inner,
            num_hidden_layers=2, num_local_experts=4, num_experts_per_tok=2, max_position_embeddings=32,
        )  # fmt: skip
        return transformers.MixtralForCausalLM(config).to(dtype)

    torch.manual_seed(0)
    model = elastify(mixtral, Inner, {"*gate_up_proj": "_ (2 inner) _"}).eval()
    ids = torch.randint(0, 31, (2, 6))
    before = model(ids).logits
    weights = {name: value.clone() for name, value in model.network.named_parameters()}
    report = reorder(model, {"input_ids": ids})
    assert [item.axis for item in report.done] == ["inner", "inner"] and not report.kept
    torch.testing.assert_close(model(ids).logits, before, rtol=1e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-3)
    changed = {
        name.rpartition(".")[2] for name, p in model.network.named_parameters() if not torch.equal(p, weights[name])
    }
    assert changed == {"gate_up_proj", "down_proj"}
    for item in report.done:
        prefix = f"{item.layer.removeprefix('network.')}.mlp.experts"
        gate, up = weights[f"{prefix}.gate_up_proj"].double().unflatten(1, (2, 48)).unbind(1)
        down = weights[f"{prefix}.down_proj"].double()
        expected = (gate.square() + up.square()).sum((0, 2)) + down.square().sum((0, 1))
        torch.testing.assert_close(item.scores, expected.sort(descending=True).values, rtol=1e-6, atol=0)


def test_order_free_outputs():
    class Hidden(Space):
        hidden: Literal[16, 8]

    class Embeds(nn.Module):
        def __init__(self, hidden):
            super().__init__()
            self.items, self.mix = nn.Embedding(9, hidden), nn.Linear(hidden, hidden)

        def forward(self, ids):
            x = self.items(ids)
            return {"pooled": (x + self.mix(x)).mean(1), "norm": x.norm(dim=-1)}

    torch.manual_seed(0)
    ids = torch.randint(0, 9, (3, 5))
    assert "hidden" in reorder(elastify(Embeds, Hidden), ids).kept
    for names in (["output"], ["pooled"]):
        model = elastify(Embeds, Hidden).double()
        before, weights = model(ids), model.network.items.weight.detach().clone()
        (item,) = reorder(model, ids, order_free=names).done
        assert item.axis == "hidden" and set(item.tensors) == {
            "network.items.weight", "network.mix.weight", "network.mix.bias",
        }  # fmt: skip
        after = model(ids)
        torch.testing.assert_close(after["norm"], before["norm"])
        order = [
            int((weights == column[:, None]).all(0).nonzero()) for column in model.network.items.weight.detach().t()
        ]
        torch.testing.assert_close(after["pooled"], before["pooled"][:, order])
    assert "hidden" in reorder(elastify(Embeds, Hidden), ids, order_free=["norm"]).kept
    with pytest.raises(
        ConfigError, match=r"order_free='embedding' is no output of ElasticModel: choose 'output' for all"
    ):
        reorder(elastify(Embeds, Hidden), ids, order_free=["embedding"])
