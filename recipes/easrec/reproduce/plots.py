"""Plots of a matrix: Fig. 4, and accuracy against FLOPs for every method."""

from collections.abc import Sequence
from pathlib import Path

from easrec.reproduce.collect import Measured
from easrec.reproduce.figure import FLOPS, LARGEST_FLOPS, Figure, metric
from elasticnas.report import Series, pareto_plot

__all__ = ["accuracy_against_flops", "lambda_plot"]

_FIGURES = {name: metric("test", name, "ndcg@10") for name in ("unseen", "pop100")}


def lambda_plot(measured: Sequence[Measured], path: Path) -> None:
    """Fig. 4: lambda against test NDCG@10 and against FLOPs; lambda 0 stands at a tenth of the smallest other."""
    weights = [each.results[0].config.search.penalty_weight for each in measured]
    least = min((weight for weight in weights if weight > 0), default=1.0)
    places = [weight or least / 10 for weight in weights]

    def series(figure: Figure, scale: float = 1.0) -> list[tuple[float, float]]:
        return [(place, each.mean(figure) / scale) for place, each in zip(places, measured, strict=True)]

    pareto_plot(
        {
            "Accuracy": [Series(name, series(figure)) for name, figure in _FIGURES.items()],
            "Cost": [
                Series("found network", series(FLOPS, 1e6)),
                Series("largest", series(LARGEST_FLOPS, 1e6)),
            ],
        },
        path,
        cost=f"lambda (0 at {least / 10:g})",
        metrics=["test NDCG@10", "encoder MFLOPs"],
        title="The trade-off parameter lambda, no budget",
        log=True,
    )


def accuracy_against_flops(measured: Sequence[Measured], path: Path) -> None:
    """Every method's mean test NDCG@10 against its FLOPs, and the front of those that no other beats."""

    def panel(figure: Figure) -> list[Series]:
        points = {each.method.label: (each.mean(FLOPS) / 1e6, each.mean(figure)) for each in measured}
        front, best = [], float("-inf")
        for flops, value in sorted(points.values(), key=lambda point: (point[0], -point[1])):
            if value > best:
                front.append((flops, value))
                best = value
        return [*(Series(label, [point]) for label, point in points.items()), Series("Pareto front", front, "steps")]

    pareto_plot(
        {f"Protocol {name}": panel(figure) for name, figure in _FIGURES.items()},
        path,
        cost="encoder MFLOPs",
        metrics=["test NDCG@10"] * len(_FIGURES),
        title="Accuracy against FLOPs, every method",
    )
