"""Latency with a clock of our own: nothing here depends on how fast the machine is."""

import math
from typing import Literal

import pytest
import torch
from torch import nn

import elasticnas.nn as enn
from elasticnas import Space
from elasticnas.cost import Latency, Measurement
from elasticnas.cost.rank_correlation import rank_correlation
from elasticnas.errors import ConfigError


class Sizes(Space):
    hidden: Literal[32, 24, 16, 8]
    inner: Literal[64, 48, 32, 16]
    depth: Literal[1, 2, 3]


class Model(nn.Module):
    """Its passes take a time that its sizes give, on the clock that it moves."""

    def __init__(self, axes, clock):
        super().__init__()
        self.depth = axes.depth
        self.enter = enn.Linear(4, axes.hidden)
        self.layers = enn.Stack([enn.FeedForward(axes.hidden, axes.inner) for _ in range(3)], axes.depth)
        self.clock = clock

    def forward(self, x):
        if not x.is_meta:
            assert not self.training and not torch.is_grad_enabled()
            self.clock.passes += 1
            self.clock.threads.add(torch.get_num_threads())
        self.clock.now += self.clock.seconds(self.depth, self.layers)
        return self.layers(self.enter(x))


class Clock:
    def __init__(self, jitter=()):
        self.now, self.passes, self.threads, self.jitter = 0.0, 0, set(), list(jitter)

    def __call__(self):
        return self.now

    def __deepcopy__(self, memo):
        return self

    def seconds(self, depth, layers):
        if self.jitter:
            return self.jitter.pop(0)
        feed = layers.layers[0]
        return 1e-3 * depth * (feed.hidden / 8) ** 0.7 * (feed.inner / 16) ** 0.4


def true_ms(arch):
    return arch.depth * (arch.hidden / 8) ** 0.7 * (arch.inner / 16) ** 0.4


def latency(clock=None, **kwargs):
    clock = clock or Clock()
    return Latency(Model(Sizes.axes(), clock), torch.zeros(2, 4), clock=clock, **kwargs), clock


def test_median_and_interquartile_range():
    clock = Clock([9.0, 9.0, 0.001, 0.002, 0.003, 0.004, 0.100])  # two passes to warm up
    cost, _ = latency(clock, warmup=2, repeats=5)
    assert cost.measure(Sizes.largest()) == Measurement(pytest.approx(3.0), pytest.approx(2.0), 5)
    assert clock.passes == 7
    assert cost(Sizes.largest()) == pytest.approx(3.0)
    assert str(cost.measure(Sizes.largest())).endswith("5 repeats)")


def test_small_spaces_are_measured_when_asked():
    cost, clock = latency(max_measured=48, warmup=0, repeats=1)
    assert cost(Sizes.smallest()) == pytest.approx(1.0)
    assert cost(Sizes.smallest()) == pytest.approx(1.0)
    assert clock.passes == 1
    cost.table()
    assert clock.passes == Sizes.size() == 48


def test_large_spaces_are_predicted_from_the_measured():
    cost, clock = latency(max_measured=24, warmup=0, repeats=1)
    values = {arch: cost(arch) for arch in Sizes.enumerate()}
    assert clock.passes == 24
    # the clock's law is a product of the sizes, which the features can express
    for arch, value in values.items():
        assert value == pytest.approx(true_ms(arch), rel=0.02)
    again, _ = latency(max_measured=24, warmup=0, repeats=1)
    assert {arch: again(arch) for arch in Sizes.enumerate()} == values


def test_a_measurement_replaces_a_prediction():
    cost, clock = latency(max_measured=8, warmup=0, repeats=1)
    predicted = [arch for arch in Sizes.enumerate() if cost(arch) != pytest.approx(true_ms(arch), rel=1e-9)]
    assert predicted and clock.passes == 8
    cost.measure(predicted[0])
    assert cost(predicted[0]) == pytest.approx(true_ms(predicted[0]))


def test_report_predicts_what_it_was_not_fitted_to():
    cost, clock = latency(max_measured=24, warmup=0, repeats=1)
    report = cost.report()
    assert clock.passes == 24 == len(report.rows) == len({arch for arch, _, _ in report.rows})
    for arch, predicted, measured in report.rows:
        assert measured == pytest.approx(true_ms(arch))
        assert predicted != pytest.approx(measured, rel=1e-12)
    assert report.rank_correlation > 0.95
    errors = [abs(p - m) / m for _, p, m in report.rows]
    assert report.mean_relative_error == pytest.approx(sum(errors) / len(errors))
    assert 0 < report.mean_relative_error < 0.1
    assert "24 architectures held out: rank correlation" in str(report)


def test_report_holds_out_what_it_predicts():
    cost, _ = latency(max_measured=22, warmup=0, repeats=1)
    fitted, fit = [], cost._fit
    cost._fit = lambda measured: fitted.append({arch for arch, _ in measured}) or fit(measured)
    rows = [arch for arch, _, _ in cost.report().rows]
    for known in fitted:
        held_out, rows = set(rows[: 22 - len(known)]), rows[22 - len(known) :]
        assert held_out and not held_out & known and len(held_out | known) == 22
    assert len(fitted) == 4 and not rows


def test_rank_correlation_by_hand():
    import numpy as np

    assert rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 15.0])) == pytest.approx(0.5)
    assert rank_correlation(np.array([1.0, 1.0, 2.0]), np.array([1.0, 1.0, 5.0])) == pytest.approx(1.0)
    assert math.isnan(rank_correlation(np.array([1.0, 1.0]), np.array([1.0, 2.0])))


def test_threads_and_modes_are_restored():
    before = torch.get_num_threads()
    cost, clock = latency(warmup=1, repeats=1, threads=before + 1)
    cost.model.train()
    cost.measure(Sizes.largest())
    assert torch.get_num_threads() == before and clock.threads == {before + 1}
    assert all(module.training for module in cost.model.modules())


def test_the_real_clock_gives_a_positive_time():
    cost = Latency(Model(Sizes.axes(), Clock()), torch.zeros(2, 4), device="cpu", warmup=1, repeats=3, max_measured=48)
    assert cost(Sizes.smallest()) > 0
    assert cost.unit == "ms"


def test_settings_out_of_range():
    with pytest.raises(ConfigError, match=r"Latency\(warmup=5, repeats=0, .*repeats >= 1"):
        latency(repeats=0)
