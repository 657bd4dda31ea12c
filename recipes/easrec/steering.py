"""steered: the validation metric of a run, by the share of repeat targets in its data."""

import numpy as np

from easrec.config import Config
from easrec.data import Split
from easrec.evaluation import repeat_targets

__all__ = ["MANY_REPEATS", "repeat_share", "steered"]

MANY_REPEATS = 0.05


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
        The settings, and one line for the user; the line is empty with 5 % repeat targets or fewer.
    """
    share, metric = repeat_share(split), config.early_stopping_metric
    if share <= MANY_REPEATS or not metric.startswith("unseen/"):
        return config, ""
    found = f"more than {MANY_REPEATS:.0%} of the targets are items that the user already has in the history"
    if "early_stopping_metric" in config.model_fields_set:
        return config, f"{found}, which {metric} counts as misses: consider early_stopping_metric=full/ndcg@10"
    instead = metric.replace("unseen/", "full/")
    line = f"{found}: steering by {instead} (early_stopping_metric={metric} would keep unseen)"
    return config.updated({"early_stopping_metric": instead}), line
