"""StudyResult: the result of a study, saved as ``result.json``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from elasticnas.calls import usage
from elasticnas.record import Record, Result, read_result
from elasticnas.report import Report
from elasticnas.report.brief import Brief, Summarised
from elasticnas.search import SearchResult
from elasticnas.search.result import Direction
from elasticnas.space import Space
from elasticnas.space.space import S
from elasticnas.study.comparison import Comparison
from elasticnas.study.plots import draw
from elasticnas.study.presentation import brief, rows
from elasticnas.study.report import study_report
from elasticnas.study.row import Row
from elasticnas.study.settings import StudySettings

__all__ = ["StudyResult", "SupernetTraining"]

A = TypeVar("A", bound=Space)


class SupernetTraining(Record):
    """Training of the supernet: number of optimizer steps, their seconds, and the last loss."""

    steps: int
    seconds: float
    last_loss: float


class StudyResult(Summarised, Result, Generic[A]):
    """Result of a study: ``print(result)`` shows ten lines, and a notebook a table.

    Attributes:
        task: Name of the task.
        created: When it was finished, ISO 8601.
        environment: Command, commit, versions and machine.
        facts: Facts about the data.
        settings: Settings of the study.
        metric: The metric that is compared.
        direction: Whether the metric is maximised or minimised.
        largest_flops: FLOPs of the largest network.
        supernet: Training of the supernet.
        search: Result of the search.
        rows: The trained networks, by share of the FLOPs.
        comparisons: Comparisons of searched networks with the uniformly scaled one at the same share.
    """

    task: str
    created: str
    environment: dict[str, Any]
    facts: dict[str, Any]
    settings: StudySettings
    metric: str
    direction: Direction
    largest_flops: float
    supernet: SupernetTraining
    search: SearchResult[A]
    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...] = ()

    @classmethod
    def from_dict(cls, data: Mapping[str, object], space: type[S]) -> "StudyResult[S]":
        """Return the result that :meth:`to_dict` converted.

        Args:
            data: Plain data.
            space: The space of its architectures.

        Raises:
            ConfigError: The data has another format, or is damaged.
        """
        return read_result(StudyResult[space], data, "study result")  # type: ignore[valid-type]

    def table(self) -> list[dict[str, Any]]:
        """Return one row for each trained network, as plain data: ``pandas.DataFrame(result.table())``.

        The columns are ``kind``, ``share``, the sizes, and the other fields of :class:`Row`. A field with the name of a
        size is called ``measured NAME``.
        """
        return rows(self)

    @usage("result.plot(path), with a PNG file such as 'result.png'")
    def plot(self, path: "str | Path") -> None:
        """Plot the search and the trained networks against FLOPs, as a PNG file.

        Raises:
            PluginError: matplotlib is not installed.
            ElasticNASError: The file cannot be written.
        """
        draw(self, path)

    def report(self, folder: Path | None = None) -> Report:
        """Return the report for :func:`elasticnas.report.write_report`: networks, verdicts, search, training, data.

        Args:
            folder: Folder of the study's run, to show the losses of every step; None leaves them out.
        """
        return study_report(self, folder)

    def _brief(self) -> Brief:
        return brief(self)
