"""RunResult: all results of a run; ``result.json`` stores it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, Literal, TypeAlias, TypeVar, get_args

from pydantic import Field, SerializeAsAny, ValidationError, model_validator

from easrec.config import Config
from easrec.data import Split, Statistics
from easrec.data.partition import Kind
from easrec.evaluation import METRICS, PROTOCOLS
from easrec.picture import draw
from easrec.presentation import brief, rows
from easrec.sections import run_report
from easrec.sizes import sizes_text
from easrec.space import EASRecSpace, space_for
from elasticnas.calls import usage
from elasticnas.errors import ConfigError, one_line
from elasticnas.record import Figures, Record, Result, read_result
from elasticnas.report import Report
from elasticnas.report.brief import Brief, Summarised
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
    "SplitSummary",
    "Stage",
    "Training",
]

Stage: TypeAlias = Literal["validation", "test"]
NetworkName: TypeAlias = Literal["largest", "found", "random"]
Metrics: TypeAlias = dict[Stage, dict[str, dict[str, float]]]
"""Metrics by stage, protocol and name: ``metrics["test"]["unseen"]["ndcg@10"]``."""

A = TypeVar("A", bound=Space)


class FeatureSummary(Record):
    """Counts of item features: columns, distinct features, items not in the file, items with empty cells."""

    columns: list[str]
    features: int
    items_missing: int
    items_without: int


class SplitSummary(Record):
    """How interactions were split, and what its targets leave out.

    Attributes:
        kind: ``last`` (leave-one-out), ``time``, ``sessions`` or ``given``.
        cold_users: By stage, users with an interaction in its window and none before it, who are not evaluated.
        cold_targets: By stage, evaluated users whose target occurs in no training part.
        training_users: Users with a training item.
    """

    kind: Kind
    cold_users: dict[Stage, int]
    cold_targets: dict[Stage, int]
    training_users: int

    @classmethod
    def of(cls, split: Split) -> "SplitSummary":
        """Return the summary of a split."""
        trained = int((split.training.lengths > 0).sum())
        return cls(
            kind=split.kind, cold_users=split.cold_users, cold_targets=split.cold_targets(), training_users=trained
        )


class DataSummary(Record):
    """Data of a run.

    Attributes:
        statistics: Counts of the preparation.
        fingerprint: SHA-256 of the prepared data.
        features: Counts of item features, if there are any.
        split: How it was split; None in results of versions that only had leave-one-out.
    """

    statistics: Statistics
    fingerprint: str
    features: FeatureSummary | None = None
    split: SplitSummary | None = None


class SearchPart(Record, Generic[A]):
    """The search, and the peak memory of the process until its end (None if it was not recorded)."""

    result: SearchResult[A]
    peak_memory_bytes: int | None = None


class Training(Record):
    """Training of a network.

    Attributes:
        best_epoch: Epoch of the weights that were kept.
        epochs: Number of epochs run.
        seconds: Duration of the training.
        history: One record per validation.
    """

    best_epoch: int
    epochs: int
    seconds: float
    history: list[Figures]

    @property
    def still_improving(self) -> bool:
        """Whether the last epoch was the best, so that more epochs may give a better network."""
        return self.best_epoch == self.epochs


class Network(Record, Generic[A]):
    """One network of a run.

    Attributes:
        architecture: The architecture.
        hidden: Its hidden size.
        inner: Its inner size, or that of each layer.
        flops: FLOPs of the encoder for one sequence of full length.
        flops_scoring_one_position: FLOPs of scoring every item at one position, not included in ``flops``.
        params: Number of parameters; shared ones count once.
        latency_ms: Median latency of one sequence of full length, with the scores of one position.
        latency_iqr_ms: Interquartile range of this latency.
        training: Record of the training; None if the network was not trained.
        metrics: Metrics after training.
        standard_errors: Standard errors of the metrics over the users; empty if they were not recorded.
    """

    architecture: SerializeAsAny[A]
    hidden: int
    inner: int | tuple[int, ...]
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
        """Hidden size, inner size, layers, and the kind of attention if it is searched; or each layer in short."""
        return sizes_text(self.architecture, self)


class RunResult(Summarised, Result, Generic[A]):
    """All results of a run; the file is rewritten after each trained network.

    ``print(result)`` shows the networks in ten lines, a notebook as a table.

    Attributes:
        created: Start of the run or of its last resume, ISO 8601.
        seed: Random seed.
        seconds: Duration since ``created``.
        config: The whole configuration.
        data: Summary of the data.
        environment: Command, commit, versions and machine.
        search: The search; None for a run without search.
        networks: The largest, the found one, and the best of random search if it is compared.
        best_reachable: Best metrics that any model can reach, for generated data.
        baselines: Metrics of popularity and of the last item (first-order Markov chain), by name; empty in results of
            versions without them.
        fewest_negatives: Smallest number of negatives of a user under pop100, by stage.
        evaluated_users: Number of evaluated users, by stage.
        repeat_targets: Share of users whose target is in their history, by stage; ``unseen`` counts them as misses.
            Empty in results of versions that credited them.
        steering: What steered the run, why, and which lists of ``recommend`` that means, in one line; empty in results
            of versions without it.
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
    baselines: dict[str, Metrics] = Field(default={})
    fewest_negatives: dict[Stage, int | None] = Field(default={})
    evaluated_users: dict[Stage, int] = Field(default={})
    repeat_targets: dict[Stage, float] = Field(default={})
    steering: str = ""

    @model_validator(mode="after")
    def _has_every_figure(self) -> "RunResult[A]":
        for name in ("largest", "found"):
            if name not in self.networks:
                raise ValueError(f"networks has no {name!r}")
        for name, network in self.networks.items():
            for stage in get_args(Stage) if network.training else ():
                protocols = network.metrics.get(stage, {})
                for protocol in self.protocols:
                    for metric in (f"{metric}@{k}" for k in self.config.cutoffs for metric in METRICS):
                        if metric not in protocols.get(protocol, {}):
                            raise ValueError(f"networks.{name} has no {stage}/{protocol}/{metric}")
        return self

    @property
    def protocols(self) -> tuple[str, ...]:
        """Protocols of the metrics; results of earlier versions have no ``uni100``."""
        metrics = self.networks["found"].metrics.get("test", {})
        return PROTOCOLS if "uni100" in metrics else PROTOCOLS[:3]

    @property
    def complete(self) -> bool:
        """Whether all networks of the configuration are trained."""
        trained = {name for name, network in self.networks.items() if network.training is not None}
        return trained >= {"found", *self.config.compare}

    def figure(self, network: NetworkName, stage: Stage, protocol: str, metric: str) -> float:
        """Return a metric of a trained network, such as ``figure("found", "test", "unseen", "ndcg@10")``.

        Raises:
            ConfigError: There is no such metric.
        """
        try:
            return self.networks[network].metrics[stage][protocol][metric]
        except KeyError:
            raise ConfigError(
                f"no figure {network}/{stage}/{protocol}/{metric}: the networks are {', '.join(self.networks)}, the "
                f"protocols {', '.join(self.protocols)}, the cut-offs {', '.join(map(str, self.config.cutoffs))}"
            ) from None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "RunResult[EASRecSpace]":
        """Create a result from what :meth:`to_dict` returned.

        Raises:
            ConfigError: The data has another format, or is damaged.
        """
        made: type[RunResult[EASRecSpace]] = RunResult
        if isinstance(data, Mapping) and "config" in data:
            try:  # the space of its architectures; settings added later get their defaults
                made = RunResult[space_for(Config.model_validate(data["config"]).model)]  # type: ignore[assignment,misc]
            except ValidationError as error:
                raise ConfigError(f"damaged run result, {one_line(Config, error)}") from None
        return read_result(made, data, "run result")

    def table(self) -> list[dict[str, Any]]:
        """Return one row for each network, as plain data: ``pandas.DataFrame(result.table())``.

        The columns are ``network``, sizes, the fields of the architecture, of :class:`Network` and of
        :class:`Training`, and every metric as ``stage/protocol/metric``; None if a network was not trained.
        """
        return rows(self)

    @usage("result.plot(path), with a PNG file such as 'result.png'")
    def plot(self, path: "str | Path") -> None:
        """Plot search and trained networks over FLOPs, as a PNG file.

        Raises:
            PluginError: matplotlib is not installed.
            ElasticNASError: The file cannot be written.
        """
        draw(self, path)

    def report(self, folder: Path | None = None) -> Report:
        """Return the report for :func:`elasticnas.report.write_report`.

        Args:
            folder: Folder of the run, to show the losses of every step.
        """
        return run_report(self, folder)

    def _brief(self) -> Brief:
        return brief(self)
