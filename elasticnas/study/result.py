"""StudyResult: everything that a study measured, as ``result.json`` holds it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from rich.table import Table

from elasticnas.record import Record, Result, read_result
from elasticnas.report import Report
from elasticnas.search import SearchResult
from elasticnas.search.result import Direction
from elasticnas.space import Space
from elasticnas.study.comparison import Comparison
from elasticnas.study.page import summary
from elasticnas.study.plots import draw
from elasticnas.study.report import study_report
from elasticnas.study.row import Row
from elasticnas.study.settings import StudySettings
from elasticnas.study.verdicts import verdicts

__all__ = ["StudyResult", "SupernetTraining"]

A = TypeVar("A", bound=Space)


class SupernetTraining(Record):
    """How the supernet was trained: optimizer steps, their seconds, and the loss of the last one."""

    steps: int
    seconds: float
    last_loss: float


class StudyResult(Result, Generic[A]):
    """Outcome of a study; ``str(result)`` says it in a few lines.

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
    def from_dict(cls, data: Mapping[str, Any], space: type[A]) -> "StudyResult[A]":
        """The result that :meth:`to_dict` gave.

        Args:
            data: Plain data.
            space: Of its architectures.

        Raises:
            ConfigError: Of another format, or damaged.
        """
        return read_result(StudyResult[space], data, "study result")  # type: ignore[valid-type]

    def table(self) -> Table:
        """The networks side by side, and what they say."""
        return summary(self)

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
        first = (
            f"{self.task}: {self.metric} of {len(self.rows)} networks of up to {self.largest_flops / 1e6:.2f} MFLOPs"
        )
        return "\n".join([first, *verdicts(self)])
