"""RunResult: every figure of a run, as ``result.json`` holds it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, Literal, TypeAlias, TypeVar, get_args

from pydantic import Field, SerializeAsAny, ValidationError, model_validator

from easrec.config import Config
from easrec.data import Statistics
from easrec.evaluation import METRICS, PROTOCOLS
from easrec.picture import draw
from easrec.presentation import brief, rows
from easrec.sections import run_report
from easrec.space import space_for
from elasticnas.errors import ConfigError, one_line
from elasticnas.record import Figures, Record, Result, read_result
from elasticnas.report import Report
from elasticnas.search import SearchResult
from elasticnas.space import Space

__all__ = [
    "DataSummary",
    "FeatureSummary",
    "Metrics",
    "Network",
    "NetworkName",
    "RunResult",
    "SearchPart",
    "Stage",
    "Training",
]

Stage: TypeAlias = Literal["validation", "test"]
NetworkName: TypeAlias = Literal["largest", "found", "random"]
Metrics: TypeAlias = dict[Stage, dict[str, dict[str, float]]]
"""By stage, protocol and metric: ``metrics["test"]["unseen"]["ndcg@10"]``."""

A = TypeVar("A", bound=Space)


class FeatureSummary(Record):
    """The items' features: columns read, different features, items the file lacks, items with empty cells."""

    columns: list[str]
    features: int
    items_missing: int
    items_without: int


class DataSummary(Record):
    """What a run was made with: counts, SHA-256 of the prepared data, and the items' features, if any."""

    statistics: Statistics
    fingerprint: str
    features: FeatureSummary | None = None


class SearchPart(Record, Generic[A]):
    """The search, and the most memory that the process took until its end (None where that was not recorded)."""

    result: SearchResult[A]
    peak_memory_bytes: int | None = None


class Training(Record):
    """How a network was trained.

    Attributes:
        best_epoch: Whose weights were kept.
        epochs: That were run.
        seconds: That these took.
        history: One record per validation.
    """

    best_epoch: int
    epochs: int
    seconds: float
    history: list[Figures]


class Network(Record, Generic[A]):
    """One network of a run.

    Attributes:
        architecture: The architecture.
        hidden: Its hidden size.
        inner: Its inner size.
        flops: Of the encoder, one sequence of full length.
        flops_scoring_one_position: Of scoring every item once, beside ``flops``.
        params: Parameters, those shared counted once.
        latency_ms: Median of one sequence of full length, scored once.
        latency_iqr_ms: Interquartile range of the same.
        training: None where it is only measured, not trained.
        metrics: After training.
        standard_errors: Of the metrics, over the users; empty where they were not kept.
    """

    architecture: SerializeAsAny[A]
    hidden: int
    inner: int
    flops: float
    flops_scoring_one_position: int
    params: int
    latency_ms: float
    latency_iqr_ms: float
    training: Training | None = None
    metrics: Metrics = Field(default={})
    standard_errors: Metrics = Field(default={})

    @property
    def sizes(self) -> str:
        """Hidden size, inner size, layers, and the kind of attention where it is a choice."""
        arch: Any = self.architecture
        shown = [self.hidden, self.inner, arch.depth, *([arch.attention] if hasattr(arch, "attention") else [])]
        return ", ".join(map(str, shown))


class RunResult(Result, Generic[A]):
    """Every figure of a run; rewritten after each network that is trained.

    ``print(result)`` shows the networks in ten lines, and a notebook as a table.

    Attributes:
        created: When the run, or its last resumption, began; ISO 8601.
        seed: Random seed.
        seconds: Since then.
        config: The whole configuration.
        data: What it was made with.
        environment: Command, commit, versions and machine.
        search: None where nothing is searched.
        networks: The largest, the found one, and the best of random search where it is compared.
        best_reachable: For generated data, what no model can beat.
        fewest_negatives: Per stage, negatives of the user with fewest, under pop100.
        evaluated_users: Per stage, how many users the metrics are over.
    """

    created: str
    seed: int
    seconds: float
    config: Config
    data: DataSummary
    environment: dict[str, Any]
    search: SearchPart[A] | None
    networks: dict[NetworkName, Network[A]]
    best_reachable: Metrics | None = None
    fewest_negatives: dict[Stage, int | None] = Field(default={})
    evaluated_users: dict[Stage, int] = Field(default={})

    @model_validator(mode="after")
    def _has_every_figure(self) -> "RunResult[A]":
        for name in ("largest", "found"):
            if name not in self.networks:
                raise ValueError(f"networks has no {name!r}")
        for name, network in self.networks.items():
            for stage in get_args(Stage) if network.training else ():
                protocols = network.metrics.get(stage, {})
                for protocol in PROTOCOLS:
                    for metric in (f"{metric}@{k}" for k in self.config.cutoffs for metric in METRICS):
                        if metric not in protocols.get(protocol, {}):
                            raise ValueError(f"networks.{name} has no {stage}/{protocol}/{metric}")
        return self

    @property
    def complete(self) -> bool:
        """Whether every network that the configuration asks for is trained."""
        trained = {name for name, network in self.networks.items() if network.training is not None}
        return trained >= {"found", *self.config.compare}

    def figure(self, network: NetworkName, stage: Stage, protocol: str, metric: str) -> float:
        """A metric of a trained network, such as ``figure("found", "test", "unseen", "ndcg@10")``.

        Raises:
            ConfigError: There is none of this name.
        """
        try:
            return self.networks[network].metrics[stage][protocol][metric]
        except KeyError:
            raise ConfigError(
                f"no figure {network}/{stage}/{protocol}/{metric}: the networks are {', '.join(self.networks)}, the "
                f"protocols {', '.join(PROTOCOLS)}, the cut-offs {', '.join(map(str, self.config.cutoffs))}"
            ) from None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "RunResult[Space]":
        """The result that :meth:`to_dict` gave.

        Raises:
            ConfigError: Of another format, or damaged.
        """
        made: type[RunResult[Space]] = RunResult
        if isinstance(data, Mapping) and "config" in data:
            try:  # the space of its architectures; settings that came later have their defaults
                made = RunResult[space_for(Config.model_validate(data["config"]).model)]  # type: ignore[assignment,misc]
            except ValidationError as error:
                raise ConfigError(f"damaged run result, {one_line(Config, error)}") from None
        return read_result(made, data, "run result")

    def table(self) -> list[dict[str, Any]]:
        """One row for each network, as plain data: ``pandas.DataFrame(result.table())``.

        The columns are ``network``, sizes, the fields of the architecture, what was measured and how it was trained,
        as :class:`Network` and :class:`Training` name it, and every metric as ``stage/protocol/metric``; None where a
        network was not trained.
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
        """Sections for :func:`elasticnas.report.write_report`: networks, search, training, data.

        Args:
            folder: Of the run: losses of every step are shown too.
        """
        return run_report(self, folder)

    def __str__(self) -> str:
        return brief(self).text()

    def __repr__(self) -> str:
        return str(self)  # the fields of the search in it are thousands of lines

    def _repr_html_(self) -> str:
        return brief(self).html()
