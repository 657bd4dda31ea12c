"""Plots of the matrix of runs: Fig. 4, and accuracy against FLOPs for every method."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from easrec.reproduce.collect import Measured
from easrec.reproduce.figure import FLOPS, LARGEST_FLOPS, Figure, metric
from elasticnas.report import Series, mean_interval, pareto_plot

__all__ = ["accuracy_against_flops", "accuracy_panels", "lambda_panels", "lambda_plot", "seeds_note"]

_FIGURES = {name: metric("test", name, "ndcg@10") for name in ("unseen", "pop100")}


def lambda_plot(measured: Sequence[Measured], path: Path) -> None:
    """Write Fig. 4 as a PNG file."""
    panels, cost = lambda_panels(measured)
    metrics = ["test NDCG@10", "encoder MFLOPs"]
    pareto_plot(panels, path, cost=cost, metrics=metrics, title="The trade-off parameter lambda, no budget", log=True)


def lambda_panels(measured: Sequence[Measured]) -> tuple[dict[str, list[Series]], str]:
    """Return the panels of Fig. 4, test NDCG@10 and FLOPs over lambda, and the label of their horizontal axis.

    Lambda 0 is drawn at a tenth of the smallest other value, because the axis is logarithmic.
    """
    weights = [each.results[0].config.search.penalty_weight for each in measured]
    least = min((weight for weight in weights if weight > 0), default=1.0)
    places = [weight or least / 10 for weight in weights]

    def series(name: str, figure: Figure, scale: float = 1.0) -> Series:
        values = [[value / scale for value in each.values(figure)] for each in measured]
        points = [(place, mean(several)) for place, several in zip(places, values, strict=True)]
        return Series(name, points, intervals=[mean_interval(several) for several in values])

    panels = {
        "Accuracy": [series(name, figure) for name, figure in _FIGURES.items()],
        "Cost": [series("found network", FLOPS, 1e6), series("largest", LARGEST_FLOPS, 1e6)],
    }
    return panels, f"lambda (0 at {least / 10:g})"


def accuracy_against_flops(measured: Sequence[Measured], path: Path) -> None:
    """Plot every method's mean test NDCG@10 against its FLOPs, as a PNG file."""
    panels = accuracy_panels(measured)
    title = "Accuracy against FLOPs, every method"
    pareto_plot(panels, path, cost="encoder MFLOPs", metrics=["test NDCG@10"] * len(panels), title=title)


def accuracy_panels(measured: Sequence[Measured]) -> dict[str, list[Series]]:
    """Return a panel for each protocol: every method's mean with its interval, and the Pareto front."""
    return {f"Protocol {name}": _methods(measured, figure) for name, figure in _FIGURES.items()}


def _methods(measured: Sequence[Measured], figure: Figure) -> list[Series]:
    made = [
        Series(
            each.method.label,
            [(each.mean(FLOPS) / 1e6, each.mean(figure))],
            intervals=[mean_interval(each.values(figure))],
        )
        for each in measured
    ]
    front, best = [], float("-inf")
    for flops, value in sorted((each.points[0] for each in made), key=lambda point: (point[0], -point[1])):
        if value > best:
            front.append((flops, value))
            best = value
    return [*made, Series("Pareto front", front, "steps")]


def seeds_note(measured: Sequence[Measured]) -> str:
    """Describe the error bars of these plots."""
    counts = sorted({len(each.seeds) for each in measured})
    if counts[-1:] < [2]:
        return "No error bars: one seed each."
    seeds = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    return f"Error bars: 95% intervals of the mean over {seeds} seeds, Student's t."
