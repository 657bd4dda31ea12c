"""Page of a contest: the verdict first, then figures, work, networks and the plan."""

import statistics
from collections.abc import Sequence
from typing import Any

import yaml

from elasticnas.contest.contest import Contest
from elasticnas.contest.entrant import Entrant
from elasticnas.contest.plan import RANDOM, SCRATCH, UNIFORM
from elasticnas.contest.statistics import Judgement, needed_seeds
from elasticnas.report import bullets, table
from elasticnas.report.rows import sizes_text
from elasticnas.search.result import better

__all__ = ["page", "verdict"]


def verdict(contest: Contest, judgements: Sequence[Judgement], costs: Sequence[Judgement] = ()) -> list[str]:
    """Return what the contest shows, in sentences; what searching does not show comes first, costs last."""
    missing = contest.missing()
    lines = []
    if missing:
        lines.append(
            f"Not complete: {sum(map(len, missing.values()))} of {len(contest.plan.seeds) * len(contest.names)} "
            "networks are missing, so no verdict below is final."
        )
    if (needed := needed_seeds(len(judgements))) > len(contest.plan.seeds):
        lines.append(
            f"{len(contest.plan.seeds)} seeds can show no difference, whatever its size: {len(judgements)} comparisons "
            f"need at least {needed}."
        )
    against = [each for each in judgements if each.against == RANDOM]
    if any(each.verdict != "better" for each in against):
        lines.append(_sentence(against, "random search"))
    over = [each for each in judgements if each.against == UNIFORM]
    if any(each.verdict != "better" for each in over):
        lines.append(_sentence(over, "the uniformly scaled network"))
    lines += [f"{each.name} is better than {each.against}." for each in judgements if each.verdict == "better"]
    kept = {(each.name, each.against) for each in judgements if each.verdict in ("better", "as good")}
    return lines + [_cheaper(each) for each in costs if each.verdict == "better" and (each.name, each.against) in kept]


def _cheaper(each: Judgement) -> str:
    assert each.interval is not None
    low, high = sorted(abs(end) for end in each.interval)
    return (
        f"Secondary: the networks of {each.name} have {abs(each.difference):.3g} MFLOPs fewer than those of "
        f"{each.against} ({low:.3g} to {high:.3g})."
    )


def _sentence(judgements: Sequence[Judgement], what: str) -> str:
    others = [f"{each.name} ({each.verdict})" for each in judgements if each.verdict != "better"]
    return f"Not shown to be better than {what}: {', '.join(others)}."


def page(
    contest: Contest,
    entrants: Sequence[Entrant],
    judgements: Sequence[Judgement],
    costs: Sequence[Judgement],
    scratch: Sequence[Judgement],
    where: dict[str, Any],
) -> str:
    """Return a Markdown page.

    Args:
        contest: The contest.
        entrants: Its entrants.
        judgements: The primary judgements.
        costs: Those of the FLOPs.
        scratch: Those of the architectures alone.
        where: Command, commit and machine.
    """
    facts, plan = contest.facts, contest.plan
    parts = [
        f"# {facts.get('name', plan.task)}: strategies at equal total work",
        bullets(
            {
                "command": f"`{where['command']}`",
                "commit": where["commit"] or f"release {where['elasticnas']}",
                "machine": f"{where['processor']}, {where['device']}, {where['threads']} threads",
                "seeds": ", ".join(map(str, plan.seeds)),
            }
        ),
        "## Verdict",
        "\n".join(f"* {line}" for line in verdict(contest, judgements, costs)) or "None: no network is trained yet.",
        _how(contest, judgements),
        table(_JUDGED, [_judged(each) for each in judgements]),
        "## Networks",
        table(_ENTRANTS, [_entrant(name, entrants) for name in contest.names if _of(name, entrants)]),
        _work(contest),
        "## Costs",
        "Secondary: the MFLOPs of the same networks, fewer is better. Corrected as a family of its own. Searched "
        "networks have at most the budget and the uniformly scaled one has at least that, so that fewer than it is no "
        "finding; how many fewer can be one, where the metric is as good.",
        table(_JUDGED, [_judged(each) for each in costs]),
    ]
    if scratch:
        parts += [
            "## Architectures alone",
            "Secondary: the same architectures trained from random weights, with all of the work, so that nothing but "
            "the architecture differs (the search is not paid for). Corrected as a family of its own.",
            table(_JUDGED, [_judged(each) for each in scratch]),
        ]
    parts += ["## Each seed", table(_SEEDS, [_seed(each, facts) for each in entrants])]
    text = yaml.safe_dump(plan.model_dump(mode="json"), sort_keys=False)
    parts += ["## Plan", "Fixed before the first run.", f"```yaml\n{text}```"]
    return "\n\n".join(part for part in parts if part) + "\n"


_JUDGED = ["entrant", "against", "seeds", "difference", "95% interval", "p", "corrected", "detectable", "verdict"]
_ENTRANTS = ["entrant", "seeds", "test", "validation", "MFLOPs", "architectures evaluated", "steps", "work"]
_SEEDS = [
    "seed",
    "entrant",
    "sizes",
    "MFLOPs",
    "parameters",
    "validation",
    "test",
    "steps (best)",
    "work",
    "seconds, device",
]


def _how(contest: Contest, judgements: Sequence[Judgement]) -> str:
    facts, plan = contest.facts, contest.plan
    tested = sum(each.p is not None for each in judgements)
    matters = f" A difference below {plan.smallest_difference:g} does not matter." if plan.smallest_difference else ""
    metric, direction = facts.get("metric", ""), better(facts.get("direction", "maximise"))
    return (
        f"Metric: {metric} on test data, {direction}; the mean over the seeds of paired differences (entrant minus the "
        "other). Interval: bootstrap over seeds (BCa). p: exact sign-flip test, corrected for the "
        f"{tested} comparisons of the table by Holm's method. Detectable: the true difference that a t-test "
        "would find in 4 of 5 contests like this one, and the sign-flip test in somewhat fewer if there are fewer than "
        f"ten seeds.{matters} The intervals are over seeds, that is, over supernets, "
        "searches and trainings on one dataset; they say nothing about other datasets."
    )


def _work(contest: Contest) -> str:
    facts, plan = contest.facts, contest.plan
    if not facts:
        return ""
    kept = "." if plan.patience is None else f", and stops after {plan.patience} validations without improvement."
    return (
        f"Work is in training steps of the largest network ({facts['largest_flops'] / 1e6:.2f} MFLOPs): every entrant "
        f"has {facts['work']:,.0f} in total. The supernet takes {facts['supernet_work']:,.0f} of them "
        f"({plan.supernet.steps:,} steps; a random architecture has {facts['mean_share']:.1%} of the largest one's "
        f"FLOPs on average), {plan.evaluations} evaluations and the training of the found network, from its inherited "
        "weights, the rest. The uniformly scaled network, the narrowest that has at least the budget "
        f"({plan.budget:.0%} of the FLOPs), is trained from random weights for all of it. Each network keeps the "
        f"weights of its best validation{kept}"
    )


def _of(name: str, entrants: Sequence[Entrant]) -> list[Entrant]:
    return [each for each in entrants if each.name == name]


def _spread(values: Sequence[float], places: int = 4) -> str:
    text = f"{statistics.mean(values):,.{places}f}"
    return text if len(values) < 2 else f"{text} ± {statistics.stdev(values):,.{places}f}"


def _entrant(name: str, entrants: Sequence[Entrant]) -> list[str]:
    made = _of(name, entrants)
    return [
        name,
        str(len(made)),
        _spread([each.test for each in made]),
        _spread([each.validation for each in made]),
        _spread([each.flops / 1e6 for each in made], 2),
        f"{statistics.mean([each.evaluated for each in made]):.0f}",
        f"{statistics.mean([each.steps for each in made]):,.0f}",
        f"{statistics.mean([each.work.total for each in made]):,.0f}",
    ]


def _judged(each: Judgement) -> list[str]:
    def shown(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    interval = "" if each.interval is None else f"{each.interval[0]:+.4f} to {each.interval[1]:+.4f}"
    figures = shown(each.p, ".4f"), shown(each.corrected, ".4f"), shown(each.detectable, ".4f")
    return [each.name, each.against, str(each.seeds), f"{each.difference:+.4f}", interval, *figures, each.verdict]


def _seed(each: Entrant, facts: dict[str, Any]) -> list[str]:
    return [
        str(each.seed),
        each.name.replace(SCRATCH, " (scratch)"),
        sizes_text(each.sizes),
        f"{each.flops / 1e6:.2f}",
        f"{each.params:,}",
        f"{each.validation:.4f}" + ("" if each.inherited is None else f" ({each.inherited:.4f})"),
        f"{each.test:.4f}",
        f"{each.steps:,} ({each.best_step:,})",
        f"{each.work.total:,.0f}",
        f"{sum(each.seconds.values()):.0f}" + (f", {each.device}" if each.device else ""),
    ]
