"""The comparison of supernet steps, as far as it goes without whittle and ModelOpt."""

import sys
from pathlib import Path
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import nn

from benchmarks.peers.compare_supernet import SIDES, architectures, measure_round
from benchmarks.peers.peer import Peer
from benchmarks.peers.plain_gpt2 import GPT2
from benchmarks.peers.sandwich import Sandwich
from benchmarks.peers.supernet_ours import own_side
from benchmarks.peers.supernet_page import page, verdict
from elasticnas import Space
from tests.conftest import ROOT

VOCABULARY, LENGTH = 11, 5


class Small(Space):
    heads: Literal[2, 1]
    inner: Literal[8, 4]
    depth: Literal[2, 1]

    @property
    def hidden(self) -> int:
        return 64 * self.heads


def gpt2(heads, inner, depth):
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY, n_positions=LENGTH, n_embd=64 * heads, n_head=heads, n_inner=inner, n_layer=depth,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config).eval()


@torch.no_grad()
def perturb(network):
    for parameter in network.parameters():  # zeros and ones would hide a wrong layout
        parameter.add_(0.1 * torch.randn_like(parameter))


def first(name, full, small):
    """Return the first units of every dimension; of a fused projection those of queries, keys and values each."""
    parts = 3 if "c_attn" in name else 1
    cut = full.unflatten(-1, (parts, -1))[..., : small.shape[-1] // parts].flatten(-2)
    return cut[: small.shape[0]] if small.dim() == 2 else cut


@pytest.fixture
def own():
    side = own_side("transformers", VOCABULARY, (2, LENGTH), torch.get_num_threads(), Small)
    perturb(side.network)
    return side


def test_our_sub_networks_are_those_of_a_model_filled_by_hand(own):
    ids = torch.randint(0, VOCABULARY, (2, LENGTH))
    full = dict(own.network.network.named_parameters())
    small = gpt2(1, 4, 1)
    with torch.no_grad():
        for name, parameter in small.named_parameters():
            parameter.copy_(first(name, full[name], parameter))
    torch.testing.assert_close(own.logits({"heads": 1, "inner": 4, "depth": 1}, ids), small(ids).logits)


def test_counted_parameters_and_flops_are_those_of_a_count_by_hand(own):
    found = own.count({"heads": 1, "inner": 4, "depth": 1})
    d, inner, tokens = 64, 4, 2 * LENGTH
    linear = d * 3 * d + d * d + 2 * d * inner
    parameters = (VOCABULARY + LENGTH) * d + linear + (3 * d + d + inner + d) + 3 * 2 * d
    # keys have a bias without effect: its gradient is zero but for rounding
    assert parameters - d <= found["parameters"] <= parameters
    products = 3 * 2 * tokens * (linear + VOCABULARY * d)  # forward, and backward by inputs and by weights
    assert products <= found["flops"] <= products + 8 * 2 * tokens * LENGTH * d  # attention, as far as it is counted


def test_the_plain_model_is_gpt2():
    theirs, plain = gpt2(2, 8, 2), GPT2(128, 2, 8, 2, VOCABULARY, LENGTH)
    perturb(theirs)
    names = {"tokens": "wte", "positions": "wpe", "norm": "ln_f"}
    inside = {"norm_1": "ln_1", "norm_2": "ln_2", "attention.fused": "attn.c_attn", "attention.out": "attn.c_proj"}
    inside |= {"up": "mlp.c_fc", "down": "mlp.c_proj"}
    names |= {f"layers.{n}.{mine}": f"h.{n}.{own}" for n in range(2) for mine, own in inside.items()}
    given = dict(theirs.transformer.named_parameters())
    with torch.no_grad():
        for mine, own in names.items():
            for kind, parameter in plain.get_submodule(mine).named_parameters():
                value = given[f"{own}.{kind}"]
                parameter.copy_(value.t() if isinstance(plain.get_submodule(mine), nn.Linear) else value)
    ids = torch.randint(0, VOCABULARY, (2, LENGTH))
    torch.testing.assert_close(plain(ids), theirs(ids).logits)


def test_masks_leave_the_first_units_of_every_part(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks/peers"))
    from masks_runner import masked

    arch, largest = ({"heads": heads, "inner": inner, "depth": 1} for heads, inner in ((1, 4), (2, 8)))
    fused = masked("transformer.h.0.attn.c_attn.weight", torch.ones(128, 384), arch, largest)
    kept = [row < 64 and column % 128 < 64 for row in range(128) for column in range(384)]
    assert fused.flatten().tolist() == [float(each) for each in kept]
    assert masked("transformer.h.0.mlp.c_fc.bias", torch.ones(8), arch, largest).tolist() == [1.0] * 4 + [0.0] * 4
    assert masked("transformer.wte.weight", torch.ones(3, 128), arch, largest).sum(1).tolist() == [64.0] * 3


def test_masks_run_in_a_process_and_agree_with_the_model_at_full_size():
    largest = {"heads": 2, "inner": 8, "depth": 2}
    with Peer(Path(sys.executable), "masks") as peer:
        opened = peer.ask("open", largest=largest, vocabulary=VOCABULARY, batch=(2, LENGTH), threads=1)
        whole, small = (peer.ask("count", arch=arch) for arch in (largest, {"heads": 1, "inner": 4, "depth": 1}))
        step = peer.ask("step", archs=[largest, largest], seed=0)
    assert opened["versions"] == {"transformers": transformers.__version__}
    assert whole["parameters"] > 3 * small["parameters"]
    assert step["losses"][0] == step["losses"][1] and len(step["parts"]) == 3


def test_a_step_is_adamw_on_the_sum_of_the_gradients():
    network, by_hand = nn.Embedding(4, 4), nn.Embedding(4, 4)
    by_hand.load_state_dict(network.state_dict())
    side = Sandwich(network, lambda arch, ids: arch["inner"] * network(ids), {}, 4, (1, 3), torch.get_num_threads())
    found = side.step([{"inner": 1}, {"inner": 2}], seed=5)
    tokens = torch.randint(4, (1, 4), generator=torch.Generator().manual_seed(5))
    optimizer = torch.optim.AdamW(by_hand.parameters(), lr=1e-4)
    losses = [F.cross_entropy(scale * by_hand(tokens[0, :-1]), tokens[0, 1:]) for scale in (1, 2)]
    sum(losses).backward()
    optimizer.step()
    torch.testing.assert_close(network.weight, by_hand.weight)
    assert found["losses"] == pytest.approx([float(loss.detach()) for loss in losses])
    assert sum(found["parts"]) == pytest.approx(found["seconds"])


def test_a_step_has_the_largest_the_smallest_and_two_random_architectures():
    for space, heads in (("all", {12, 8, 6}), ("inner and depth", {12})):
        drawn = [architectures(space, seed) for seed in range(40)]
        assert {tuple(archs[0].values()) for archs in drawn} == {(12, 3072, 12)}
        assert {tuple(archs[1].values()) for archs in drawn} == {(min(heads), 1536, 4)}
        assert {arch["heads"] for archs in drawn for arch in archs[2:]} == heads
        assert {len(archs) for archs in drawn} == {4} and drawn[0] == architectures(space, 0)


@pytest.mark.parametrize("number", [0, 1])
def test_both_orders_of_a_round_are_measured(number):
    asked = []

    def side(name):
        return lambda do, archs, seed: asked.append(name) or {"seconds": seed}

    found = measure_round({name: side(name) for names in SIDES.values() for name in names}, number)
    assert asked == [name for names in SIDES.values() for name in names[:: -1 if number else 1]]
    assert {space: list(measured["steps"]) for space, measured in found.items()} == {
        space: list(names) for space, names in SIDES.items()
    }


def test_the_verdict_names_the_fastest_peer_and_says_first_if_ours_is_slower():
    times = {"ours": [4.0, 4.0], "ours, plain": [2.0, 2.0], "slow": [9.0, 9.0], "fast": [3.0, 3.0]}
    assert verdict(times, "ours") == (
        "**slower than the fastest peer**: ours: 0.75 (0.75 to 0.75) times as fast as fast, the fastest peer; "
        "target 1: missed."
    )
    assert verdict(times, "ours, plain") == (
        "ours, plain: 1.50 (1.50 to 1.50) times as fast as fast, the fastest peer; target 1: met."
    )
    # 2, 1.25 and 0.5 times as fast in the three rounds; the medians' ratio would be 1
    uneven = {"ours": [2.0, 4.0, 8.0], "fast": [4.0, 5.0, 4.0]}
    assert verdict(uneven, "ours") == (
        "ours: 1.25 (0.50 to 2.00) times as fast as fast, the fastest peer; target 1: undecided, it is within the "
        "interval."
    )


def test_the_page_says_what_was_measured():
    def measured(space, factor):
        parts = [1.0 * factor, 0.5, 0.25, 0.25, 1.0]
        steps = {name: {"seconds": 3.0 * factor + number, "parts": parts} for number, name in enumerate(SIDES[space])}
        return {"archs": [], "steps": steps}

    count = {"flops": 189_700_000_000, "parameters": 123_750_000}
    record = {
        "settings": {"vocabulary": 50_257, "batch": 2, "length": 128, "threads": 1},
        "load": {"before": 1.04, "cores": 2},
        "rounds": [{space: measured(space, factor) for space in SIDES} for factor in (1, 1)],
        "described": {name: {"versions": {"x": "1"}, "torch": "2.13.0"} for names in SIDES.values() for name in names},
        "counted": {space: {name: [count] * 4 for name in names} for space, names in SIDES.items()},
        "environment": {"command": "c", "commit": "abc", "processor": "p", "threads": 1, "torch": "2.13.0"},
    }
    lines = page(record).splitlines()
    for line in (
        "| ours | 3.00 (3.00 to 3.00) |  | 1.00 | 0.50 | 0.50 | 1.00 |",
        "| whittle | 4.00 (4.00 to 4.00) | 1.33 (1.33 to 1.33) | 1.00 | 0.50 | 0.50 | 1.00 |",
        "| masks | 189.7, 123.75 | 189.7, 123.75 | 189.7, 123.75 | 189.7, 123.75 |",
    ):
        assert line in lines, line
    assert any(
        "AdamW, nearly the same work on every side and in every round, took 1.0 to 1.0 s." in line for line in lines
    )
    assert not any("The speed of the machine changed" in line for line in lines)
    record["rounds"][0]["all"]["steps"]["masks"]["parts"] = [1.0, 0.5, 0.25, 0.25, 1.6]
    assert any("The speed of the machine changed" in line for line in page(record).splitlines())
    assert lines[4].startswith("* Hidden size, heads, inner size and depth: ours: 1.33 (1.33 to 1.33) times as fast")
