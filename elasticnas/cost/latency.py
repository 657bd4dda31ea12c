"""Latency: milliseconds of the extracted network, measured or interpolated."""

import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from elasticnas.calls import usage
from elasticnas.cost.cost import Cost
from elasticnas.cost.flops import Flops
from elasticnas.cost.inference import preserved_random_state
from elasticnas.cost.passes import Call, example_of, failure, run
from elasticnas.cost.rank_correlation import rank_correlation
from elasticnas.errors import ConfigError, ElasticNASError, SpaceError
from elasticnas.extraction import extract_unverified
from elasticnas.space.space import A

__all__ = ["Latency", "LatencyReport", "Measurement"]

_FOLDS = 4  # of the cross-validation
_RIDGE = 1e-3  # penalty of the regression
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measurement:
    """Time of one inference pass: median and interquartile range over the repeats, in milliseconds."""

    median_ms: float
    iqr_ms: float
    repeats: int

    def __str__(self) -> str:
        return f"{self.median_ms:.3g} ms (IQR {self.iqr_ms:.2g}, {self.repeats} repeats)"


@dataclass(frozen=True)
class LatencyReport(Generic[A]):
    """Predicted against measured latencies of architectures that the interpolation was not fitted to.

    Attributes:
        rows: Architecture, predicted ms, measured ms; each was held out of the fit that predicts it.
        rank_correlation: Spearman's, between predicted and measured; nan if either is constant.
        mean_relative_error: Mean of ``|predicted - measured| / measured``.
    """

    rows: tuple[tuple[A, float, float], ...]
    rank_correlation: float
    mean_relative_error: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; an undefined correlation is None."""
        rows = [
            {"architecture": a.model_dump(mode="json"), "predicted_ms": p, "measured_ms": m} for a, p, m in self.rows
        ]
        rank = None if np.isnan(self.rank_correlation) else self.rank_correlation
        return {"rows": rows, "rank_correlation": rank, "mean_relative_error": self.mean_relative_error}

    def __str__(self) -> str:
        lines = [
            f"{len(self.rows)} architectures held out: rank correlation {self.rank_correlation:.3f}, "
            f"mean relative error {self.mean_relative_error:.1%}",
            "predicted_ms  measured_ms  architecture",
        ]
        return "\n".join([*lines, *(f"{p:12.4g}  {m:11.4g}  {arch!r}" for arch, p, m in self.rows)])


class Latency(Cost[A]):
    """Median milliseconds of one inference pass of the extracted network.

    In spaces of up to ``max_measured`` architectures, each one is measured at its first use. In larger spaces, the
    first use measures ``max_measured`` architectures: the smallest, the largest and random ones. The others are
    predicted by a least-squares fit of log(ms) on log(FLOPs) and one-hot options of all choices.

    Args:
        model: A model made of elastic primitives; it is neither changed nor moved.
        example: As for :class:`~elasticnas.cost.Cost`.
        device: Device to measure on; None takes the model's.
        warmup: Passes before the measured ones.
        repeats: Measured passes; each is timed separately, with the device synchronised.
        max_measured: Number of architectures measured for the interpolation.
        threads: CPU threads of torch during a measurement; None does not change them.
        call: Runs only a part; None runs the network.
        clock: Returns seconds; must be monotonic.
        seed: Seed of the draw of architectures to measure.

    Raises:
        ConfigError: A count is out of range, or the model is on the meta device.
    """

    unit = "ms"
    measured = True

    @usage("Latency(model, example), with an input of the model such as torch.zeros(1, 64)")
    def __init__(
        self,
        model: nn.Module,
        example: object,
        device: torch.device | str | None = None,
        warmup: int = 5,
        repeats: int = 30,
        max_measured: int = 64,
        threads: int | None = None,
        *,
        call: Call | None = None,
        clock: Callable[[], float] = time.perf_counter,
        seed: int = 0,
    ) -> None:
        super().__init__(model, example)
        if warmup < 0 or repeats < 1 or max_measured < 2 or (threads is not None and threads < 1):
            raise ConfigError(
                f"Latency(warmup={warmup}, repeats={repeats}, max_measured={max_measured}, threads={threads}): "
                "warmup >= 0, repeats >= 1, max_measured >= 2 and threads >= 1 are needed"
            )
        where = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
        self.device = where if device is None else torch.device(device)
        if where.type == "meta":
            raise ConfigError("Latency: the model is on the meta device, without values to compute with; move it first")
        self.warmup, self.repeats, self.max_measured, self.threads = warmup, repeats, max_measured, threads
        self._call, self._clock, self._seed = call, clock, seed
        self._flops = Flops(model, self.example, call)
        self._measured: dict[tuple[int, ...], tuple[A, Measurement]] = {}
        self._weights: Array | None = None

    def measure(self, arch: A) -> Measurement:
        """Measure an architecture now; its median becomes its cost."""
        key = self._key(arch)
        plain = extract_unverified(self.model, arch).to(self.device).eval()
        example = tree_map(lambda x: x.to(self.device) if isinstance(x, Tensor) else x, example_of(self.example, arch))
        try:
            with torch.inference_mode(), preserved_random_state(self.device), _threads(self.threads):
                times = self._times(plain, example)
        except ElasticNASError:
            raise
        except Exception as error:  # whatever a forward raises
            raise failure(error, plain) from error
        low, high = np.quantile(times, [0.25, 0.75]).tolist()
        self._measured[key] = (arch, Measurement(statistics.median(times), high - low, self.repeats))
        self._costs.pop(key, None)
        return self._measured[key][1]

    def _times(self, network: nn.Module, example: Any) -> list[float]:
        """Return the milliseconds of each repeat."""
        for _ in range(self.warmup):
            run(network, example, self._call)
        times = []
        for _ in range(self.repeats):
            self._synchronise()
            start = self._clock()
            run(network, example, self._call)
            self._synchronise()
            times.append((self._clock() - start) * 1000)
        return times

    def compute(self, arch: A) -> float:
        """Return milliseconds: the measured median, or the prediction."""
        key = self._key(arch)
        if key in self._measured:
            return self._measured[key][1].median_ms
        if self._is_small():
            return self.measure(arch).median_ms
        if self._weights is None:
            self._measure_planned()
            self._weights = self._fit(list(self._measured.values()))
            return self.compute(arch)
        return self._predict(self._weights, arch)

    def report(self) -> LatencyReport[A]:
        """Cross-validate the prediction over the measured architectures; measures up to ``max_measured`` first."""
        if len(self._measured) < self.max_measured:
            self._measure_planned()
        measured = list(self._measured.values())
        rows = []
        for fold in range(min(_FOLDS, len(measured))):
            training = [pair for position, pair in enumerate(measured) if position % _FOLDS != fold]
            weights = self._fit(training or measured)
            rows += [(arch, self._predict(weights, arch), m.median_ms) for arch, m in measured[fold::_FOLDS]]
        return _report(rows)

    def verify(self, archs: Sequence[A]) -> LatencyReport[A]:
        """Compare predictions with measurements: measure those of the architectures that are only predicted so far."""
        predicted = [] if self._is_small() else [(arch, self(arch)) for arch in archs]
        unmeasured = [(arch, value) for arch, value in predicted if self._key(arch) not in self._measured]
        return _report([(arch, value, self.measure(arch).median_ms) for arch, value in unmeasured])

    def _is_small(self) -> bool:
        try:
            return bool(self.space.size() <= self.max_measured)
        except SpaceError:
            return False

    def _measure_planned(self) -> None:
        """Measure the extremes and random architectures until ``max_measured`` are measured."""
        rng = random.Random(self._seed)
        if self._is_small():
            planned = list(self.space.enumerate())
        else:
            planned = [self.space.largest(), self.space.smallest()]
            planned += [self.space.sample(rng) for _ in range(20 * self.max_measured)]
        for arch in planned:
            if len(self._measured) < self.max_measured and self._key(arch) not in self._measured:
                self.measure(arch)

    def _features(self, arch: A) -> Array:
        one_hot: list[float] = []
        for choice, index in zip(self.space.choice_list(), self._key(arch), strict=True):
            one_hot += [float(position == index) for position in range(len(choice.options))]
        return np.array([1.0, np.log1p(self._flops(arch)), *one_hot])

    def _fit(self, measured: Sequence[tuple[A, Measurement]]) -> Array:
        """Fit log(ms) by ridge regression; the small penalty only makes the solution unique."""
        x = np.stack([self._features(arch) for arch, _ in measured])
        y = np.log(np.maximum([m.median_ms for _, m in measured], 1e-9))
        penalty = _RIDGE * np.eye(x.shape[1])
        penalty[0, 0] = 0.0
        weights: Array = np.linalg.lstsq(x.T @ x + penalty, x.T @ y, rcond=None)[0]
        return weights

    def _predict(self, weights: Array, arch: A) -> float:
        return float(np.exp(self._features(arch) @ weights))

    def _synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()


def _report(rows: Sequence[tuple[A, float, float]]) -> LatencyReport[A]:
    predicted, actual = np.array([row[1] for row in rows]), np.array([row[2] for row in rows])
    errors = np.abs(predicted - actual) / np.maximum(actual, 1e-12)
    return LatencyReport(tuple(rows), rank_correlation(predicted, actual), float(errors.mean()) if rows else 0.0)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        if count is not None:
            torch.set_num_threads(count)
        yield
    finally:
        if count is not None:
            torch.set_num_threads(before)
