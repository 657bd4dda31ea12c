"""StudyResult: everything that a study measured, as ``result.json`` holds it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from elasticnas.record import Record, Result, read_result
from elasticnas.report import Report
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
    """How the supernet was trained: optimizer steps, their seconds, and the loss of the last one."""

    steps: int
    seconds: float
    last_loss: float


class StudyResult(Result, Generic[A]):
    """Outcome of a study: ``print(result)`` shows it in ten lines, and a notebook as a table.

    Attributes:
        task: Its name.
        created: When it was finished, ISO 8601.
        environment: Command, commit, versions and machine.
        facts: Of the data.
        settings: Lengths and rates.
        metric: What is compared.
        direction: Whether more of it is better.
        largest_flops: FLOPs of the largest network.
        supernet: How it was trained.
        search: What was found in it.
        rows: The trained networks, by share of the FLOPs.
        comparisons: Of searched networks with the uniformly scaled one at their share.
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
        """The result that :meth:`to_dict` gave.

        Args:
            data: Plain data.
            space: Of its architectures.

        Raises:
            ConfigError: Of another format, or damaged.
        """
        return read_result(StudyResult[space], data, "study result")  # type: ignore[valid-type]

    def table(self) -> list[dict[str, Any]]:
        """One row for each trained network, as plain data: ``pandas.DataFrame(result.table())``.

        The columns are ``kind``, ``share``, the sizes, and what was measured, as :class:`Row` names it. What is
        measured under the name of a size is called ``measured NAME``.
        """
        return rows(self)

    def plot(self, path: "str | Path") -> None:
        """Search and trained networks over FLOPs, as a PNG file.

        Raises:
            PluginError: matplotlib is not installed.
            ElasticNASError: The file cannot be written.
        """
        draw(self, path)

    def report(self, folder: Path | None = None) -> Report:
        """Sections for :func:`elasticnas.report.write_report`: networks, verdicts, search, training, data.

        Args:
            folder: Of the study's run: losses of every step are shown too.
        """
        return study_report(self, folder)

    def __str__(self) -> str:
        return brief(self).text()

    def __repr__(self) -> str:
        return str(self)  # the fields of the search in it are thousands of lines

    def _repr_html_(self) -> str:
        return brief(self).html()
