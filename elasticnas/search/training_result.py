"""TrainingResult: the result of training a supernet."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from elasticnas.record import Figures, Result, read_result
from elasticnas.report.brief import Brief, Summarised
from elasticnas.report.numbers import compact, counted
from elasticnas.report.rows import Row, row
from elasticnas.search.presentation import better
from elasticnas.search.result import Direction

__all__ = ["TrainingResult"]


class TrainingResult(Summarised, Result):
    """Result of training a supernet: ``print(result)`` shows ten lines, and a notebook a table.

    Attributes:
        metric: Metric of the validations; None without validations.
        direction: Whether the metric is maximised or minimised.
        history: One record per step: step, learning rate, the loss of the first architecture (with the sandwich rule
            the largest), and the mean loss of the others or None.
        validations: One record per validation: step, the metric of the largest, the smallest and each of the fixed
            random architectures, and their mean.
        warnings: Warnings, such as jumps of the loss.
        seconds: Total training time, interrupted runs included.
        steps: Number of steps.
    """

    metric: str | None = None
    direction: Direction | None = None
    history: list[Figures]
    validations: list[Figures] = Field(default=[])
    warnings: tuple[str, ...] = ()
    seconds: float
    steps: int

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "TrainingResult":
        """Return the result that :meth:`to_dict` converted.

        Raises:
            ConfigError: The data has another format, or is damaged.
        """
        return read_result(TrainingResult, data, "training result")

    def table(self) -> list[dict[str, Any]]:
        """Return one row for each step, as plain data: ``pandas.DataFrame(result.table())``.

        The columns are those of ``history``, then the mean of the validation metric and its value for each
        architecture, None at steps without a validation.
        """
        validated = {record["step"]: _metrics(record, self.metric) for record in self.validations}
        nothing: Row = dict.fromkeys((name for metrics in validated.values() for name in metrics), None)
        return [row(training=line, metric=nothing | validated.get(line["step"], {})) for line in self.history]

    def _brief(self) -> Brief:
        series = {
            "loss": [(line["step"], line["loss"]) for line in self.history],
            "loss of the others": [(line["step"], line["others"]) for line in self.history],
        }
        minimised = dict.fromkeys(series, True)
        if self.metric is not None and self.direction is not None:
            name = f"{self.metric}, {better(self.direction)}"
            series[name] = [(record["step"], record["mean"]) for record in self.validations]
            minimised[name] = self.direction == "minimise"
        lines = [line for name, points in series.items() if (line := _line(name, points, minimised[name]))]
        title = f"supernet training: {counted(self.steps, 'step')} in {self.seconds:.1f} s"
        notes = [("warning", line) for line in self.warnings[:3]]
        return Brief(title, ["", "first", "last", "best", "at step"], lines, notes)


def _metrics(record: Mapping[str, Any], metric: "str | None") -> Row:
    values = {f"{metric} of {arch}": value for arch, value in record["architectures"].items()}
    return {str(metric): record["mean"], **values}


def _line(name: str, points: "list[tuple[int, float | None]]", minimised: bool) -> list[str]:
    known = [(value, step) for step, value in points if value is not None]
    if not known:
        return []
    best, at = min(known, key=lambda pair: pair[0] if minimised else -pair[0])
    return [name, compact(known[0][0]), compact(known[-1][0]), compact(best), f"{at:,}"]
