"""Networks whose code reads values run on the CPU: the same counts, nothing changed, errors of the network's own."""

import random
import re
import warnings
from collections import UserDict
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Literal

import numpy as np
import pytest
import torch
from test_products import PRODUCTS, REAL, RECURRENT, UNKNOWN, Runs
from torch import nn
from torch._dynamo.testing import CompileCounter
from torch.nn.attention.flex_attention import flex_attention

import elasticnas.nn as enn
from elasticnas import Space
from elasticnas.cost import (
    Flops,
    Latency,
    Memory,
    Params,
    UncountedFlopsWarning,
    ValueDependentFlopsWarning,
    count_flops,
)
from elasticnas.errors import ConfigError


class Reads(nn.Module):
    """Reads a value of its input, then runs a network."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        if x.float().sum().item() > 1e9:
            raise AssertionError
        return self.network(x)


def quietly(network, example):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UncountedFlopsWarning)
        warnings.simplefilter("error", ValueDependentFlopsWarning)
        return count_flops(network, example)


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_by_hand(name, dtype):
    function, shapes, multiply_adds = PRODUCTS[name]
    assert quietly(Reads(Runs(function, *shapes, dtype=dtype)), torch.zeros(1)) == 2 * multiply_adds


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers_by_hand(name, dtype):
    build, multiply_adds = RECURRENT[name]
    assert quietly(Reads(build().to(dtype)), torch.zeros(7, 2, 4, dtype=dtype)) == 2 * multiply_adds


@pytest.mark.parametrize("name", ["aten.linalg_inv_ex", "aten.linalg_cholesky_ex", "aten._fft_r2c"])
def test_what_is_not_known_is_named(name):
    _, shapes = UNKNOWN[name]
    functions = {"aten._fft_r2c": torch.fft.rfft, "aten.linalg_cholesky_ex": torch.linalg.cholesky}
    function = functions.get(name, torch.linalg.inv)
    network = Reads(Runs(lambda a: function(torch.eye(*a.shape)), *shapes))
    with pytest.warns(UncountedFlopsWarning, match=rf"the FLOPs of {name} are not known and not counted"):
        assert count_flops(network, torch.zeros(1)) == 0


def test_products_of_numpy_are_named():
    network = Runs(lambda a: torch.from_numpy(np.ones((3, 3), np.float32) @ np.asarray(a)), (3, 3))
    with pytest.warns(UncountedFlopsWarning, match="the FLOPs of numpy are not known and not counted"):
        assert count_flops(network, torch.zeros(1)) == 0


def test_flexible_attention_counts_in_full():
    shape = (2, 4, 16, 8)
    assert quietly(Runs(flex_attention, shape, shape, shape), torch.zeros(1)) == 2 * 2 * 2 * 4 * 16 * 16 * 8


def test_a_compiled_module_runs_as_it_is_written():
    assert quietly(Reads(torch.compile(nn.Linear(4, 6), fullgraph=True)), torch.zeros(3, 4)) == 2 * 3 * 4 * 6


class Sizes(Space):
    inner: Literal[24, 12]


class Rough(nn.Module):
    """Reads values, writes to its weights and buffers, and draws random numbers of three kinds."""

    def __init__(self, axes):
        super().__init__()
        self.enter, self.leave = enn.Linear(8, axes.inner), enn.Linear(axes.inner, 8)
        self.register_buffer("table", torch.arange(8.0))
        self.seen = []

    def forward(self, x):
        if not x.is_meta:
            self.seen.append(self.training)
        random.random(), np.random.rand()  # on the meta device too
        if (x == 0).all():
            x = x + torch.rand(8) + random.random() + np.random.rand() + self.table
        self.table.add_(1)
        self.enter.weight.data.zero_()
        return self.leave(self.enter(x))


@pytest.mark.parametrize("kind", [Flops, Memory, Latency])
def test_model_and_random_states_stay_as_they_were(kind):
    model = Rough(Sizes.axes()).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    settings = {"warmup": 0, "repeats": 1} if kind is Latency else {}
    cost = kind(model, torch.zeros(2, 8), **settings)
    for arch in Sizes.enumerate():
        assert cost(arch) > 0
    after = model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert model.training and model.seen == []
    assert torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[1]
    assert (np.random.get_state()[1] == states[2]).all()


class Writes(nn.Module):
    def __init__(self):
        super().__init__()
        self.leave = nn.Linear(8, 3)
        self.register_buffer("table", torch.ones(8))
        self.loose = torch.ones(8)

    def forward(self, x):
        if x.sum() == 0:
            for tensor in (x, self.table, self.loose, self.leave.weight.data):
                tensor.add_(1)
        return self.leave(x + self.table + self.loose)


def test_a_plain_network_and_its_example_stay_as_they_were():
    network, x = Writes(), torch.zeros(2, 8)
    weight = network.leave.weight.clone()
    assert quietly(network, x) == 2 * 2 * 8 * 3
    assert (x == 0).all() and (network.table == 1).all() and (network.loose == 1).all()
    assert torch.equal(network.leave.weight, weight)


def test_counts_of_a_supernet_that_reads_values():
    model, x = Reads(Rough(Sizes.axes())), torch.zeros(2, 8)
    flops, memory = Flops(model, x), Memory(model, x)
    for arch in Sizes.enumerate():
        weights = 2 * 8 * arch.inner + arch.inner + 8
        assert flops(arch) == 2 * 2 * 2 * 8 * arch.inner
        assert Params(model)(arch) == weights
        # buffer; the input and its sum with the noise stay; the last layer holds its input and its output
        assert memory(arch) == 4 * (weights + 8 + 2 * 2 * 8 + 2 * arch.inner + 2 * 8)


class Attends(nn.Module):
    def __init__(self, axes):
        super().__init__()
        self.enter = enn.Linear(4, axes.inner)

    def forward(self, x):
        y = self.enter(x)[:, None]
        return nn.functional.scaled_dot_product_attention(y, y, y)


def test_memory_holds_the_scores_of_attention_on_any_device():
    model, x = Attends(Sizes.axes()), torch.zeros(2, 64, 4)
    for arch in Sizes.enumerate():
        # weights, input, projection and scaled queries; the scaled keys are gone at the softmax of the scores
        expected = 4 * (5 * arch.inner + 2 * 64 * 4 + 2 * 2 * 64 * arch.inner + 2 * 2 * 64 * 64)
        assert Memory(model, x)(arch) == Memory(Reads(model), x)(arch) == expected


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_weights_count_nothing_wherever_they_are(device):
    network = Reads(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))).to(device)
    network.scale = nn.Parameter(torch.ones((), device=device))
    network.none = nn.Parameter(torch.ones(0, 3, dtype=torch.complex64, device=device))
    network.steps = nn.Parameter(torch.ones(3, dtype=torch.int8, device=device), requires_grad=False)
    example = torch.zeros(5, 4, device=device)
    assert quietly(network, example) == 2 * 5 * (4 * 6 + 6 * 3)
    assert network.training and next(network.parameters()).device.type == device


class Experts(nn.Module):
    """Tokens beyond the capacity of their expert are dropped."""

    def __init__(self, capacity):
        super().__init__()
        self.capacity = capacity
        self.router = nn.Linear(8, 4, bias=False)
        self.experts = nn.ModuleList(nn.Linear(8, 8, bias=False) for _ in range(4))

    def forward(self, x):
        choice, out = self.router(x).argmax(-1), torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            rows = (choice == number).nonzero().squeeze(-1)[: self.capacity]
            out[rows] = expert(x[rows])
        return out


def test_experts_in_a_loop_count_the_tokens_routed_to_them():
    x = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    assert quietly(Experts(capacity=40), x) == 2 * 40 * (8 * 4 + 8 * 8)


def test_a_count_that_depends_on_the_weights_says_so():
    x = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    with pytest.warns(
        ValueDependentFlopsWarning, match=r"Experts: the FLOPs depend on .* with two random draws"
    ) as seen:
        counted = count_flops(Experts(capacity=9), x)
    numbers = [int(text.replace(",", "")) for text in re.findall(r"[\d,]*\d{3}", str(seen[0].message))]
    assert counted == numbers[0] != numbers[1]
    routed = [(number / 2 - 40 * 8 * 4) / 64 for number in numbers]
    assert all(count == int(count) and count < 36 for count in routed)


def test_a_cost_compares_draws_once():
    class Elastic(nn.Module):
        passes = 0

        def __init__(self, axes):
            super().__init__()
            self.enter, self.leave, self.experts = enn.Linear(8, axes.inner), enn.Linear(axes.inner, 8), Experts(12)

        def forward(self, x):
            type(self).passes += not x.is_meta
            return self.experts(self.leave(self.enter(x)))

    flops = Flops(Elastic(Sizes.axes()), torch.randn(40, 8, generator=torch.Generator().manual_seed(0)))
    with pytest.warns(ValueDependentFlopsWarning, match="Elastic: the FLOPs depend on"):
        flops(Sizes(inner=24))
    assert Elastic.passes == 2
    first = flops(Sizes(inner=12))
    assert Elastic.passes == 3
    with torch.no_grad():
        flops.model.enter.weight.add_(1)
    assert flops.compute(Sizes(inner=12)) == first


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 6), nn.Sequential(nn.ReLU(), nn.Linear(6, 3)))

    def forward(self, x, scale):
        return self.layers(x) * scale


WRONG = [
    (torch.zeros(2, 4), r"Two cannot run on its example \(TypeError: .*missing 1 required .* argument: 'scale'"),
    ((torch.zeros(2, 5), 1), r"\(in layers\.0, Linear: RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
    ({"x": torch.zeros(2, 4), "size": 1}, r"TypeError: .*unexpected keyword argument 'size'"),
]  # fmt: skip


@pytest.mark.parametrize(("example", "message"), WRONG)
def test_an_error_of_the_network_is_told_as_its_own(example, message):
    with pytest.raises(ConfigError, match=message) as error:
        count_flops(Two(), example)
    assert "meta" not in str(error.value) and "\n" not in str(error.value)


def test_latency_tells_the_same_errors():
    model = nn.Sequential(enn.Linear(8, Sizes.axes().inner), nn.LayerNorm(24))
    latency = Latency(model, torch.zeros(2, 8), warmup=0, repeats=1)
    assert latency(Sizes(inner=24)) > 0
    with pytest.raises(ConfigError, match=r"Sequential cannot run on its example \(in 1, LayerNorm: RuntimeError"):
        latency(Sizes(inner=12))
    with pytest.raises(ConfigError, match="is on the meta device"):
        Latency(model.to("meta"), torch.zeros(2, 8))(Sizes(inner=24))


def test_mappings_of_any_class():
    network, x = Two(), torch.zeros(2, 4)
    expected = 2 * 2 * (4 * 6 + 6 * 3)
    for mapping in (dict, UserDict):
        assert count_flops(network, mapping(x=x, scale=x[:, :3])) == expected
    model = Rough(Sizes.axes())
    flops = Flops(model, UserDict(x=torch.ones(2, 8)))
    assert flops(Sizes(inner=12)) == 2 * 2 * 2 * 8 * 12
    assert flops.identity == Flops(model, {"x": torch.ones(2, 8)}).identity


def test_costs_in_two_threads_leave_compilation_as_it_was():
    counted = CompileCounter()
    started, done = Event(), Event()

    class First(nn.Linear):
        def forward(self, x):
            assert started.wait(30)
            return super().forward(x)

    class Second(nn.Linear):
        def forward(self, x):
            started.set()
            assert done.wait(30)  # it ends after the first one
            return super().forward(x)

    def first():
        found = quietly(First(4, 6), torch.zeros(3, 4))
        done.set()
        return found

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(first), pool.submit(quietly, Second(4, 6), torch.zeros(3, 4))]
        assert [future.result() for future in futures] == [2 * 3 * 4 * 6] * 2
    torch.compile(lambda x: x + 1, backend=counted)(torch.zeros(2))
    assert counted.frame_count == 1
