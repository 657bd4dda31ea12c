"""How a study was made, in words and facts: for its page and its report."""

from typing import TYPE_CHECKING, Any

from elasticnas.search.result import better
from elasticnas.settings import differences

if TYPE_CHECKING:
    from elasticnas.study.result import StudyResult

__all__ = ["differing", "protocol", "record", "title", "tried"]


def title(result: "StudyResult[Any]") -> str:
    """Of the page."""
    return f"{result.task}: searched networks against uniformly scaled ones"


def record(result: "StudyResult[Any]") -> dict[str, Any]:
    """Command, commit, seed, machine, versions, date, and facts of the data."""
    where = result.environment
    return {
        "command": where["command"],
        "commit": where["commit"] or f"release {where['elasticnas']}",
        "seed": result.settings.seed,
        "machine": f"{where['processor']}, {where['device']}, {where['threads']} threads",
        "versions": f"elasticnas {where['elasticnas']}, torch {where['torch']}, Python {where['python']}",
        "date": result.created,
        **{name: str(fact) for name, fact in result.facts.items()},
    }


def protocol(result: "StudyResult[Any]") -> str:
    """How networks were trained, chosen and measured."""
    lengths = result.settings
    equal = "as many passes in all as the supernet and the searched networks took"
    work = equal if lengths.scratch_steps is None else "as set"
    examples = max((row.examples for row in result.rows), default=0)
    over = f" Intervals are over {examples:,} test examples, at 95%." if examples else ""
    return (
        f"Metric: {result.metric}, {better(result.direction)}. One supernet was trained for {lengths.steps:,} steps of "
        f"{lengths.passes} architecture{'s' if lengths.passes > 1 else ''} ({result.supernet.seconds:.0f} s). "
        "A searched network is the best on validation data, of those between the share of FLOPs before and its own "
        f"that the search evaluated with the supernet's weights; it inherits them and takes {lengths.tune_steps:,} "
        f"steps of its own. The others start from random weights and take {lengths.steps_from_scratch:,} steps each "
        f"({work}), with the same schedule. A uniformly scaled network has every width of the largest times one "
        "factor, the smallest with at least the FLOPs of the searched one. Test data chose nothing. In brackets: "
        f"validation before training on.{over}"
    )


def tried(result: "StudyResult[Any]") -> dict[str, str]:
    """Facts of the search, and its warnings."""
    search = result.search
    facts = {
        "time": f"{search.seconds:.0f} s, {search.steps} architectures, as many by random search",
        "best on validation, any FLOPs": f"{search.found.metrics[result.metric]:.4f}",
        "likewise by random search": f"{search.random.metrics[result.metric]:.4f}",
    }
    return facts | {f"warning {number}": line for number, line in enumerate(search.warnings, 1)}


def differing(result: "StudyResult[Any]") -> dict[str, str]:
    """Settings that are not the library's."""
    found = differences(result.settings).items()
    return {name: f"{value} (default {default})" for name, (value, default) in found}
