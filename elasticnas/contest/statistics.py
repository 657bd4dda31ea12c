"""Judgement: paired differences over seeds with bootstrap intervals, exact tests, Holm's correction and power."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from elasticnas.packages import require_package
from elasticnas.record import Record

__all__ = ["LEVEL", "Judgement", "Verdict", "holm", "judge", "needed_seeds"]

Verdict: TypeAlias = Literal["better", "worse", "as good", "no difference shown", "too few seeds"]

LEVEL, POWER = 0.05, 0.8
_EXACT = 14  # most seeds whose signs are all enumerated
_DRAWS = 10_000
_FEWEST = 3  # seeds for an interval


class Judgement(Record):
    """One entrant against another, over the seeds that both have.

    Attributes:
        name: The entrant.
        against: The other one.
        seeds: Number of pairs.
        difference: Mean of the paired differences of the test metric.
        deviation: Their standard deviation.
        interval: 95% bootstrap interval of the mean (bias-corrected and accelerated); None with fewer than 3 seeds.
        p: Two-sided p-value of the sign-flip test: the share of assignments of signs whose mean is as extreme.
        corrected: The p-value after Holm's correction for all judgements of the family.
        detectable: The true difference that a paired t-test, at the strictest level of Holm's correction, finds with
            a probability of 80% (the sign-flip test with 64% to 77% for 8 to 10 seeds and five comparisons), if the
            differences are normal with this deviation; None if so few seeds can show none.
        verdict: ``better`` or ``worse`` if the corrected p-value is below 0.05 and the interval excludes 0; ``as good``
            if not and the interval lies within the smallest difference that matters.
    """

    name: str
    against: str
    seeds: int
    difference: float
    deviation: float = 0.0
    interval: tuple[float, float] | None = None
    p: float | None = None
    corrected: float | None = None
    detectable: float | None = None
    verdict: Verdict = "too few seeds"


def judge(
    pairs: Sequence[tuple[str, str]],
    values: Mapping[str, Mapping[int, float]],
    direction: Literal["maximise", "minimise"],
    smallest_difference: float = 0.0,
) -> tuple[Judgement, ...]:
    """Judge a family of comparisons.

    Args:
        pairs: Names of an entrant and of the one it is compared with.
        values: Test metric by entrant and seed.
        direction: Whether the metric is maximised or minimised.
        smallest_difference: The smallest difference that matters.

    Returns:
        One judgement for each pair that has a common seed, in the same order.

    Raises:
        PluginError: SciPy is not installed.

    Source: bootstrap, Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 14; correction, Holm,
    Scandinavian Journal of Statistics 6(2), 1979.
    """
    stats = require_package("scipy.stats", "study")
    made: list[Judgement] = []
    for name, against in pairs:
        common = sorted(values.get(name, {}).keys() & values.get(against, {}).keys())
        if common:
            differences = np.array([values[name][seed] - values[against][seed] for seed in common])
            made.append(_measured(stats, name, against, differences))
    tested = [each.p for each in made if each.p is not None]
    corrected = iter(holm(tested))
    found = []
    for each in made:
        if each.p is not None:
            level = LEVEL / len(tested)
            more = {"corrected": next(corrected), "detectable": _detectable(stats, each.deviation, each.seeds, level)}
            each = each.model_copy(update=more)
            each = each.model_copy(update={"verdict": _verdict(each, direction, smallest_difference)})
        found.append(each)
    return tuple(found)


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, in the same order."""
    corrected, highest = [0.0] * len(p), 0.0
    for rank, position in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        highest = max(highest, min(1.0, (len(p) - rank) * p[position]))
        corrected[position] = highest
    return corrected


def needed_seeds(comparisons: int) -> int:
    """Return the fewest seeds with which one of so many comparisons can be significant: 2 of 2^n signs are extreme."""
    return next(n for n in range(_FEWEST, 64) if 2 * comparisons / 2**n < LEVEL)


def _measured(stats: Any, name: str, against: str, differences: NDArray[np.float64]) -> Judgement:
    count, mean = len(differences), float(differences.mean())
    if count < _FEWEST or not np.isfinite(differences).all():
        return Judgement(name=name, against=against, seeds=count, difference=mean)
    return Judgement(
        name=name,
        against=against,
        seeds=count,
        difference=mean,
        deviation=float(differences.std(ddof=1)),
        interval=_interval(stats, differences),
        p=_sign_flips(differences),
    )


def _interval(stats: Any, differences: NDArray[np.float64]) -> tuple[float, float]:
    if np.ptp(differences) == 0:
        return float(differences[0]), float(differences[0])
    found = stats.bootstrap(
        (differences,), np.mean, confidence_level=1 - LEVEL, n_resamples=_DRAWS, method="BCa", rng=0
    ).confidence_interval
    return float(found.low), float(found.high)


def _sign_flips(differences: NDArray[np.float64]) -> float:
    """Return the two-sided p-value of the mean under random signs: exact up to 14 differences, else 10,000 draws."""
    count, observed = len(differences), abs(differences.sum())
    if count <= _EXACT:
        signs = 1 - 2 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
        own = 0
    else:
        signs = np.random.default_rng(0).choice([-1, 1], size=(_DRAWS, count))
        own = 1  # the observed signs are one of the possible ones
    sums = np.abs(signs @ differences)
    extreme = int((sums >= observed * (1 - 1e-12) - 1e-15).sum())
    return (extreme + own) / (len(signs) + own)


def _detectable(stats: Any, deviation: float, count: int, level: float) -> float | None:
    """Return the difference that a paired t-test at ``level`` finds with a probability of 80%."""
    if deviation == 0 or 2 / 2**count >= level:
        return None
    critical = stats.t.ppf(1 - level / 2, count - 1)
    low, high = 0.0, 10.0 + 10.0 * critical
    for _ in range(60):  # the power grows with the shift
        middle = (low + high) / 2
        if stats.nct.sf(critical, count - 1, middle) < POWER:
            low = middle
        else:
            high = middle
    return float(high * deviation / np.sqrt(count))


def _verdict(judgement: Judgement, direction: str, smallest: float) -> Verdict:
    assert judgement.interval is not None and judgement.corrected is not None
    low, high = judgement.interval
    if judgement.corrected < LEVEL and not low <= 0 <= high:
        return "better" if (judgement.difference > 0) == (direction == "maximise") else "worse"
    return "as good" if -smallest < low and high < smallest else "no difference shown"
