"""``evaluate``: compute the metrics of a saved network."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from easrec import closer
from easrec.cli.folder import config_of, data_of, recommender_of
from easrec.data import Split
from easrec.evaluation import Report, baseline_scores, without_popularity
from easrec.facts import repeats, split_facts
from easrec.figures import metrics_table
from easrec.pipeline import evaluators
from easrec.result import Metrics, SplitSummary, Stage
from easrec.steering import repeat_share, steering_of
from easrec.times import times_fact
from elasticnas.cli.options import Device, Out, Threads, path_option
from elasticnas.errors import ConfigError
from elasticnas.report import open_console
from elasticnas.runtime import configure_torch, device_of

__all__ = ["evaluate"]


_REPEATS = {"unseen": "", "full": " --repeats"}


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise typer.BadParameter(f"a finite number is needed, got {value}")
    return value


def evaluate(
    out: Out = Path("runs/easrec"),
    device: Device = "auto",
    threads: Threads = None,
    popularity: Annotated[
        float,
        typer.Option(
            callback=_finite,
            help="Subtract this many times log(training interactions) from each score, to favour rare items.",
        ),
    ] = 0.0,
    every: Annotated[bool, typer.Option("--all", help="Show all protocols.")] = False,
    beyond: Annotated[
        bool,
        typer.Option("--beyond", help="Also show coverage, novelty, popularity, Gini index, and metrics by group."),
    ] = False,
    per_user: Annotated[
        Path | None, path_option("--per-user", help="Write test ranks and recommended lists to this Parquet file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all metrics as one JSON object.")] = False,
) -> None:
    """Load the saved network and evaluate it on validation and test targets."""
    configure_torch(threads)
    where, config, data = device_of(device), config_of(out), data_of(out)
    recommender = recommender_of(out, where, data)
    if recommender.refit:
        raise ConfigError(
            f"{out / 'model'}: was trained on all interactions, targets included, so its metrics cannot be measured on "
            "them; evaluate the run that it was refit from"
        )
    split = Split(data, config.model.uses_times)
    score = without_popularity(recommender.network.next_item, split.training.counts(split.items), popularity)
    stages = evaluators(split, config)
    reports = {stage: evaluator.evaluate(score, where) for stage, evaluator in stages.items()}
    baselines: dict[str, Metrics] = {
        name: {stage: dict(each.evaluate(found, where)) for stage, each in stages.items()}
        for name, found in baseline_scores(split.training, split.items).items()
    }
    more: dict[str, dict[str, float]] = {}
    if beyond or per_user is not None:
        lists = closer.test_lists(score, split, config, where)
        if per_user is not None:
            closer.write_per_user(per_user, data, split, reports["test"], lists)
        if beyond:
            more[f"beyond/{closer.of_lists(config)}"] = closer.beyond(lists, split)
            own = config.early_stopping_metric.partition("/")[0]
            groups = closer.by_group(reports["test"], split, config)
            more |= {f"{name}/{own}": values for name, values in groups.items()}
    if as_json:
        typer.echo(
            json.dumps(
                {f"{stage}/{key}": v for stage, r in reports.items() for key, v in r.to_flat().items()}
                | {
                    f"{stage}/{name}/{protocol}/{key}": v
                    for name, by_stage in baselines.items()
                    for stage, protocols in by_stage.items()
                    for protocol, values in protocols.items()
                    for key, v in values.items()
                }
                | _counts(split, reports)
                | {f"test/{name}/{key}": v for name, values in more.items() for key, v in values.items()}
            )
        )
    else:
        console = open_console()
        console.print(metrics_table(reports, config, every, baselines))
        counted = {stage: len(report.users) for stage, report in reports.items()}
        facts = split_facts(SplitSummary.of(split), counted)
        facts |= repeats({stage: report.repeat_targets for stage, report in reports.items()})
        facts |= times_fact(config)
        facts["steering"] = steering_of(config, repeat_share(split))
        for label, text in facts.items():
            console.print(f"{label}: {text}", highlight=False, soft_wrap=not console.is_terminal)
        for name, values in more.items():
            kind, _, protocol = name.rpartition("/")
            shown = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
            of = f"lists of recommend{_REPEATS[protocol]}, " if kind == "beyond" else ""
            console.print(f"test, {kind} ({of}{protocol}): {shown}", highlight=False, soft_wrap=not console.is_terminal)


def _counts(split: Split, reports: Mapping[Stage, Report]) -> dict[str, float]:
    """Return what stands beside the metrics, by stage: users and repeats, and what the split leaves out."""
    summary, found = SplitSummary.of(split), {}
    for stage, report in reports.items():
        found[f"{stage}/evaluated_users"] = float(len(report.users))
        found[f"{stage}/cold_users"] = float(summary.cold_users[stage])
        found[f"{stage}/cold_targets"] = float(summary.cold_targets[stage])
        found[f"{stage}/repeat_targets"] = report.repeat_targets
    return found
