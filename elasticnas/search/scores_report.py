"""Report of option scores: what each option changes, pairwise corrections, predicted against evaluated metrics."""

from typing import Any

from elasticnas.report import Series
from elasticnas.report.html import Chart, Facts, Grid, Part
from elasticnas.search.option_scores import OptionScores

__all__ = ["scores_parts"]


def scores_parts(scores: OptionScores[Any], metric: str) -> list[Part]:
    """Return the parts of a report that show scores.

    Args:
        scores: The scores.
        metric: Name of the metric in the charts.
    """
    choices = scores.space.choices()
    facts = {
        "rank correlation": f"{scores.rank_correlation:.3f}, predicted against evaluated {metric}, "
        f"on {len(scores.checked)} random architectures within the budgets that no score was fitted to",
        "references": ", ".join(map(repr, scores.references)),
        f"{metric} of the reference": f"{scores.level:.4g}",
    }
    most = max(map(len, choices.values()))
    rows = [
        [name, *(_cell(option, change) for option, change in zip(options, scores.changes[name], strict=True))]
        for name, options in choices.items()
    ]
    grid = Grid(
        ["choice", *(f"option {number}" for number in range(1, most + 1))], [_filled(r, most + 1) for r in rows]
    )
    points = [(row.predicted, row.evaluated) for row in scores.checked]
    chart = Chart(
        "Predicted and evaluated, held out", [Series("held out", points, "dots")], f"predicted {metric}", metric
    )
    return [Facts(facts), *([chart] if points else []), grid, *_pairs(scores)]


def _pairs(scores: OptionScores[Any]) -> list[Part]:
    choices = scores.space.choices()
    rows = [
        [f"{one}={choices[one][first]}", f"{other}={choices[other][second]}", f"{change:+.4g}"]
        for one, other, table in ((*pair.choices, pair.changes) for pair in scores.pairs)
        for first, row in enumerate(table)
        for second, change in enumerate(row)
        if change != 0
    ]
    return [Grid(["option", "with option", "further change"], rows)] if rows else []


def _cell(option: Any, change: float | None) -> str:
    return f"{option}: " + ("no score" if change is None else f"{change:+.4g}")


def _filled(row: list[str], length: int) -> list[str]:
    return row + [""] * (length - len(row))
