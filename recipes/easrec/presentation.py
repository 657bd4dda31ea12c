"""Brief and table of a run's result, made from the result alone."""

from typing import TYPE_CHECKING, Any

from easrec.facts import split_facts
from easrec.figures import NETWORKS, still_improving
from easrec.sizes import is_wide, sizes_head
from elasticnas.report.brief import Brief
from elasticnas.report.numbers import compact, counted
from elasticnas.report.rows import Row, flat, row

if TYPE_CHECKING:
    from easrec.result import Metrics, RunResult

__all__ = ["brief", "rows"]


def brief(result: "RunResult[Any]") -> Brief:
    """Return the brief: the networks side by side, with the early-stopping metric on test, and the search."""
    protocol, _, metric = result.config.early_stopping_metric.partition("/")
    networks = {name: result.networks[name] for name in NETWORKS if name in result.networks}
    whole, best = result.networks["largest"].flops, (result.best_reachable or {}).get("test", {})
    values = [each.metrics.get("test", {}).get(protocol, {}).get(metric) for each in networks.values()]
    lines = [
        [f"test {result.config.early_stopping_metric}", *("-" if v is None else f"{v:.4f}" for v in values)],
        ["encoder FLOPs", *(f"{compact(each.flops)} ({each.flops / whole:.0%})" for each in networks.values())],
        ["parameters", *(compact(each.params) for each in networks.values())],
        ["latency, ms", *(f"{each.latency_ms:.2f}" for each in networks.values())],
        [sizes_head(result.config.model).removesuffix(", attention"), *(each.sizes for each in networks.values())],
    ]
    without = [each["test"][protocol][metric] for each in result.baselines.values()]
    lines[0] += [f"{value:.4f}" for value in without]
    lines = [line + [""] * (len(lines[0]) - len(line)) for line in lines]
    reachable = best.get(protocol, {}).get(metric)
    notes = [] if reachable is None else [("reachable", f"at most {reachable:.4f} on these generated interactions")]
    if line := still_improving(result):
        notes.append(("training", line))
    if result.data.split is not None and result.data.split.kind != "last":
        notes += split_facts(result.data.split, result.evaluated_users).items()
    if any(result.repeat_targets.values()):
        share = result.repeat_targets.get("test", 0.0)
        notes.append(("repeats", f"{share:.1%} of the test targets are in the history, misses under unseen"))
    if result.search is not None:
        search = result.search.result
        notes.append(("search", _search(search)))
        notes += [("warning", line) for line in search.warnings[:1]]
    counts = result.data.statistics
    title = (
        f"EASRec: {counted(counts.users, 'user')}, {counted(counts.items, 'item')}, seed {result.seed}, "
        f"{result.seconds:.1f} s"
    )
    return Brief(title, ["", *(NETWORKS[name] for name in networks), *result.baselines], lines, notes)


def _search(search: Any) -> str:
    limit = search.limits.get("flops")
    return (
        f"{search.strategy}, {counted(search.steps, 'step')} in {search.seconds:.1f} s, "
        f"{counted(search.evaluated, 'architecture')} evaluated, {len(search.failures)} failed, "
        + ("no budget" if limit is None else f"budget {compact(limit)} FLOPs")
    )


def rows(result: "RunResult[Any]") -> list[Row]:
    """Return one row for each network."""
    found = []
    for name, each in result.networks.items():
        training = {} if each.training is None else each.training.model_dump(exclude={"history"})
        apart = {"architecture", "training", "metrics", "standard_errors", "hidden", "inner"}
        sizes = {} if is_wide(each.architecture) else {"hidden": each.hidden, "inner": each.inner}
        measured = each.model_dump(mode="json", exclude=apart)
        found.append(
            row(
                result={"network": name, **sizes},
                architecture=flat(each.architecture.model_dump(mode="json")),
                measured=measured,
                training=training,
                metric=_flat(each.metrics),
            )
        )
    found += [{"network": label, **_flat(metrics)} for label, metrics in result.baselines.items()]
    columns: Row = dict.fromkeys((column for each in found for column in each), None)
    return [columns | each for each in found]


def _flat(metrics: "Metrics") -> dict[str, Any]:
    return {
        f"{stage}/{protocol}/{metric}": value
        for stage, protocols in metrics.items()
        for protocol, values in protocols.items()
        for metric, value in values.items()
    }
