"""Protocol of a study as text and facts, for its page and its report."""

from typing import TYPE_CHECKING, Any

from elasticnas.search.result import better
from elasticnas.settings import differences

if TYPE_CHECKING:
    from elasticnas.study.result import StudyResult

__all__ = ["differing", "protocol", "record", "title", "tried"]


def title(result: "StudyResult[Any]") -> str:
    """Return the title of the page."""
    return f"{result.task}: searched networks against uniformly scaled ones"


def record(result: "StudyResult[Any]") -> dict[str, Any]:
    """Return command, commit, seed, machine, versions, date, and facts about the data."""
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
    """Describe how networks were trained, chosen and measured."""
    lengths = result.settings
    equal = "as many forward passes in total as for the supernet and the searched networks"
    work = equal if lengths.scratch_steps is None else "as set"
    examples = max((row.examples for row in result.rows), default=0)
    over = f" Intervals are over {examples:,} test examples, at 95%." if examples else ""
    return (
        f"Metric: {result.metric}, {better(result.direction)}. One supernet was trained for {lengths.steps:,} steps of "
        f"{lengths.passes} architecture{'s' if lengths.passes > 1 else ''} ({result.supernet.seconds:.0f} s). "
        "The searched network at each share of the FLOPs is the best one on validation data, with the supernet's "
        "weights, that the search evaluated between the previous share and this one; it inherits these weights and is "
        f"trained for {lengths.tune_steps:,} steps. The other networks are trained from random weights for "
        f"{lengths.steps_from_scratch:,} steps each ({work}), with the same schedule. A uniformly scaled network has "
        "every width of the largest one multiplied by the smallest factor that gives at least the FLOPs of the "
        "searched network. No choice depends on test data. In parentheses: validation metric before this "
        f"training.{over}"
    )


def tried(result: "StudyResult[Any]") -> dict[str, str]:
    """Return facts about the search, and its warnings."""
    search = result.search
    facts = {
        "time": f"{search.seconds:.0f} s, {search.steps} architectures, and as many by random search",
        "best on validation, any FLOPs": f"{search.found.metrics[result.metric]:.4f}",
        "best of random search": f"{search.random.metrics[result.metric]:.4f}",
    }
    return facts | {f"warning {number}": line for number, line in enumerate(search.warnings, 1)}


def differing(result: "StudyResult[Any]") -> dict[str, str]:
    """Return the settings that differ from the defaults."""
    found = differences(result.settings).items()
    return {name: f"{value} (default {default})" for name, (value, default) in found}
