"""steered: the validation metric of a run, by the share of repeat targets in its data, and what it means for lists."""

from pathlib import Path

import numpy as np

from easrec.config import Config
from easrec.data import Split, repeat_targets

__all__ = ["MANY_REPEATS", "allows_repeats", "recommending", "repeat_share", "steered", "steering_of"]

MANY_REPEATS = 0.05
_MEANINGS = {"unseen": "the lists of recommend", "full": "the lists of recommend --repeats"}


def allows_repeats(config: Config) -> bool:
    """Whether a run is steered by ``full``, which ranks items of the history like all others."""
    return config.early_stopping_metric.startswith("full/")


def recommending(config: Config, out: Path) -> list[str]:
    """Return the command that recommends what a run was steered by, without the users."""
    repeats = ["--repeats"] if allows_repeats(config) else []
    return ["elasticnas", "easrec", "recommend", "--out", str(out), *repeats]


def steering_of(config: Config, share: float) -> str:
    """Return in one line what a run is steered by, why, and which lists of ``recommend`` that means.

    Args:
        config: Settings of the run, as :func:`steered` returned them.
        share: Share of repeat targets, from :func:`repeat_share`.
    """
    protocol = config.early_stopping_metric.partition("/")[0]
    found = f"{config.early_stopping_metric}, {_MEANINGS.get(protocol, 'the target among sampled items')}"
    if share <= MANY_REPEATS or protocol not in _MEANINGS:
        return found
    misses = ", which it counts as misses" if protocol == "unseen" else ""
    return f"{found}; {share:.1%} of the validation and test targets are repeats{misses}"


def repeat_share(split: Split) -> float:
    """Return the share of repeat targets among the validation and test targets, in 0..1."""
    stages = [repeat_targets(split.history(stage), split.targets(stage)) for stage in ("validation", "test")]
    return float(np.concatenate(stages).mean())


def steered(config: Config, split: Split) -> tuple[Config, str]:
    """Steer a run by ``full`` if its data has many repeat targets and the settings do not choose the metric.

    ``unseen`` counts a repeat target as a miss, so on such data it would reward networks that avoid what users do.

    Args:
        config: Settings; an ``early_stopping_metric`` that was set explicitly is kept.
        split: Targets and histories.

    Returns:
        The settings, and one line for the user; it is empty with 5 % repeat targets or fewer, and for ``full``.
    """
    share, metric = repeat_share(split), config.early_stopping_metric
    if share <= MANY_REPEATS or allows_repeats(config):
        return config, ""
    instead = f"full/{metric.partition('/')[2]}"
    found = (
        f"{share:.1%} of the targets, more than {MANY_REPEATS:.0%}, are items that the user already has in the history"
    )
    if not metric.startswith("unseen/"):
        return config, (
            f"{found}; {metric} ranks them among sampled items, and recommend leaves them out unless --repeats is "
            f"given: consider early_stopping_metric={instead}"
        )
    if "early_stopping_metric" in config.model_fields_set:
        return config, f"{found}; {metric} counts them as misses: consider early_stopping_metric={instead}"
    line = f"{found}: steering by {instead} (early_stopping_metric={metric} would keep unseen)"
    return config.updated({"early_stopping_metric": instead}), line
