"""Pipeline: the stages of a run (search, retrain, evaluate, report), each resumable."""

import json
import re
import statistics
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any, get_args

import numpy as np
import torch
from rich.console import Console

from easrec.artifact import Recommender
from easrec.backbone import require_features
from easrec.config import Config
from easrec.data import Interactions, Split, hold_out_users, training_batches
from easrec.evaluation import (
    Evaluator,
    Report,
    baseline_scores,
    draw_negatives,
    draw_uniform_negatives,
    standard_errors_at,
)
from easrec.model import EASRecModel, build, supernet
from easrec.picture import draw_in_folder
from easrec.precision import with_precision
from easrec.report import page
from easrec.result import (
    DataSummary,
    FeatureSummary,
    Metrics,
    Network,
    NetworkName,
    RunResult,
    SearchPart,
    SplitSummary,
    Training,
)
from easrec.result import Stage as StageName
from easrec.searching import encoder_flops, search_architecture, strategy_of
from easrec.shares import console_of_first, imbalance, require_parallel
from easrec.sizes import sizes_name
from easrec.space import EASRecSpace, space_for
from easrec.steering import repeat_share, steered, steering_of
from easrec.times import require_times, times_fact
from easrec.training import Trained, train
from elasticnas.checkpoint import first_difference, load_checkpoint, restoring, save_checkpoint
from elasticnas.cost import Budget, Latency, Params
from elasticnas.errors import BudgetError, CheckpointError, ConfigError
from elasticnas.extraction import extract
from elasticnas.files import read_json, write_text
from elasticnas.parallel import on_first, size
from elasticnas.report import Plan, Stage, environment, peak_memory, slowness_hint, try_report
from elasticnas.run import Progress, Run

__all__ = ["Pipeline", "Searched", "evaluators"]

_ORDER: tuple[NetworkName, ...] = ("found", "random", "largest")  # order of training
_ROUNDS = 5  # latency measurements of each network


@dataclass(frozen=True)
class Searched:
    """Result of the search stage; without a search, ``search`` is None and ``found`` the largest architecture."""

    found: Any
    random: Any
    search: SearchPart[Any] | None
    model: EASRecModel


class Pipeline:
    """The stages of a run of EASRec; a context manager that holds the run's folder.

    Args:
        data: Prepared interactions.
        config: Settings.
        run: Gives the output folder and whether to resume.
        device: Device of the networks.
        console: Where stages are printed; None shows them where ``run`` reports its progress.
        split: The split of the data, if it is made already.

    Raises:
        CheckpointError: The folder holds a run and ``resume`` is False, or it holds a run of other data or settings;
            on entering: another process uses the folder.
        BudgetError: No architecture meets the budget; without a search, the largest does not meet it.
        ConfigError: The network uses item features or times, and the data has none; or the strategy's options are
            wrong.
        DataError: Fewer than two users have enough interactions to train on.
    """

    def __init__(
        self,
        data: Interactions,
        config: Config,
        run: Run,
        device: torch.device,
        console: Console | None = None,
        split: Split | None = None,
    ) -> None:
        require_parallel(run.parallel)
        if run.folder is None or run.allow:
            given = (
                "a folder: Run(folder)" if run.folder is None else "a Run without allow: its stages build on each other"
            )
            raise ConfigError(f"a run of EASRec needs {given}")
        require_times(config.model, data)
        self.split = Split(data, config.model.uses_times) if split is None else split
        config, self.steering = steered(config, self.split)
        config, self.precision = with_precision(config, device)
        self.data, self.config, self.run, self.device = data, config, run, device
        self.console = console_of_first(console or run.reporting.console)
        self.folder, self._begun = run.folder, False
        self._said: set[str] = set()
        self._baselines: dict[str, Metrics] = {}
        self.fingerprint = data.fingerprint_of(config.model.uses_times)
        self.identity = {"data": self.fingerprint, "settings": config.recorded()}
        require_features(config.model, data.features)
        resumed = on_first(self._holds_run)
        self.evaluators = evaluators(self.split, config)
        self.causal = config.train.form == "causal"
        self.space = space_for(config.model)
        self.plan = _plan_of(config)
        if not resumed:
            # report wrong data or settings before anything is written
            hold_out_users(self.split.training.lengths, config.search.held_out_users, config.seed)
            flops = encoder_flops(self.new_supernet())
            if config.search.strategy != "none":
                strategy_of(config, flops)
            if config.search.budget is not None:
                self._require_within(Budget.parse(config.search.budget, flops))

    def __enter__(self) -> "Pipeline":
        """Lock the folder, and write the data and settings of the run."""
        self.run.__enter__()
        try:
            self._say(self.steering)
            self._say(self.precision)
            for name, line in times_fact(self.config).items():
                self._say(f"{name}: {line}")
            self._say_imbalance()
            on_first(self._begin)
            self._begun = True
        except BaseException:
            self.run.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run.__exit__(kind, error, trace)

    def _begin(self) -> None:
        """Write data and settings, if they are not there."""
        holds_run = self._holds_run()
        if not (holds_run and (self.folder / "data.npz").exists()):
            self.data.save(self.folder / "data.npz")
        if not holds_run:
            write_text(self.folder / "run.json", json.dumps(self.identity, indent=2) + "\n")

    def _say_imbalance(self) -> None:
        if size() > 1:
            train, length = self.config.train, self.config.model.length
            first = training_batches(
                self.split.training, length, train.batch, train.unit, train.form, self.config.seed, 0
            )
            more = 100 * imbalance(first)
            self._say(f"{size()} processes share each batch; the busiest has {more:.2f}% more positions than the mean")

    def _say(self, line: str) -> None:
        if line and line not in self._said:
            self._said.add(line)
            self.console.print(line, highlight=False, markup=False)

    def _require_within(self, budget: Budget) -> None:
        """Check, for a run without search, that the largest network meets the budget."""
        largest = self.space.largest()
        if self.config.search.strategy == "none" and not budget.allows(largest):
            raise BudgetError(
                f"search.strategy=none trains the largest network, {budget.cost(largest):,.0f} FLOPs, over "
                f"search.budget={budget.text} ({budget.limit:,.0f}): set search.budget=null, or a number of FLOPs and "
                "smaller sizes"
            )

    def _holds_run(self) -> bool:
        """Return whether the folder holds this run already."""
        path = self.folder / "run.json"
        try:
            if not path.exists():
                return False
        except OSError as error:
            raise ConfigError(f"--out {str(self.folder)[:80]}: {error.strerror}; use another folder") from None
        if not self.run.resume and not self._begun:
            raise CheckpointError(f"{self.folder} holds a run already; resume=True continues it, or use another folder")
        try:
            there = read_json(path)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path}: damaged ({error}); use another --out") from None
        if difference := first_difference(there, self.identity):
            raise CheckpointError(
                f"{self.folder} holds a run of other data or settings ({difference.removeprefix('settings.')}); "
                "use another --out, or the same data and settings"
            )
        return True

    def new_supernet(self) -> EASRecModel:
        """Return the initialized supernet."""
        torch.manual_seed(self.config.seed)
        return supernet(self.config.model, self.split.items, self.causal, self.data.features)

    def search(self) -> Searched:
        """Search, or read the result of a finished search."""
        with self:  # writes the data and settings, which the next stage reads
            return self._searched()

    def _searched(self) -> Searched:
        done = self.folder / "supernet.ckpt"
        model = self.new_supernet()
        if self.config.search.strategy == "none":
            return Searched(self.space.largest(), self.space.largest(), None, model)
        if on_first(done.exists):
            state, _ = load_checkpoint(done, self.identity)
            with restoring(done):
                model.load_state_dict(state["model"])
                found = SearchPart[self.space].model_validate(json.loads(state["search"]))  # type: ignore[name-defined]
        else:
            hint = self._hint("search.batch", self.config.search.batch)
            with Stage(self.console, "search", self.plan.of("search")) as stage:
                run = self.run.stage(
                    "search",
                    self.identity,
                    lambda p: stage.show(p, _search_note(p, self.config.early_stopping_metric) + hint),
                )
                result = search_architecture(
                    model,
                    self.split,
                    self.evaluators["validation"],
                    self.config,
                    self.device,
                    run,
                )
                found = SearchPart(result=result, peak_memory_bytes=peak_memory(self.device))
                on_first(lambda: self._save_search(done, model, found))
                run.discard()
        return Searched(found.result.best, found.result.random.architecture, found, model)

    def _save_search(self, done: Path, model: EASRecModel, found: SearchPart[Any]) -> None:
        write_text(self.folder / "search.json", json.dumps(found.result.to_dict(), indent=2) + "\n")
        # as text, because checkpoints are read without pickled objects
        report = json.dumps(found.model_dump(mode="json"))
        save_checkpoint(done, {"model": model.state_dict(), "search": report}, self.identity)

    def _hint(self, setting: str, batch: int) -> str:
        """Return the reason why steps are slow, for the progress line; empty if they are not."""
        train, length = self.config.train, self.config.model.length
        if train.unit == "targets":
            positions = float(batch) if train.form == "causal" else float(batch * length)
        else:
            positions = batch * float(np.minimum(self.split.training.lengths, length).mean())
        reason = slowness_hint(self.device, positions, setting)
        return f", {reason}" if reason else ""

    def retrain(self, searched: Searched, which: str) -> tuple[Any, Trained]:
        """Extract or build a network (found, random or largest) and train it; return architecture and result."""
        arch = {"found": searched.found, "random": searched.random, "largest": self.space.largest()}[which]
        name = sizes_name(arch)
        network = self.initial(searched, arch)
        hint = self._hint("train.batch", self.config.train.batch)
        with self, Stage(self.console, f"train {which} ({name})", self.plan.of(which)) as stage:
            trained = train(
                network,
                self.split,
                self.evaluators["validation"],
                self.config,
                self.device,
                self.run.stage(f"train-{name}", self.identity, lambda p: stage.show(p, self._train_note(p) + hint)),
            )
        return arch, trained

    def initial(self, searched: Searched, arch: Any) -> EASRecModel:
        """Return the plain network of an architecture with the weights that its training starts from."""
        torch.manual_seed(self.config.seed)
        if self.config.train.inherit and self.config.search.strategy != "none":
            example = torch.from_numpy(np.arange(min(self.config.model.length, 5))[None] % self.split.items + 1)
            model = searched.model.to("cpu")
            return extract(model, arch, model.example(example))
        return build(self.config.model, self.split.items, arch, self.causal, self.data.features)

    def _train_note(self, p: Progress) -> str:
        metric = self.config.early_stopping_metric
        best = f", best validation {metric} {p.figures['best']:.4f}" if "best" in p.figures else ""
        epoch = min(int(p.figures["epoch"]) + 1, self.config.train.epochs)
        return f"epoch {epoch} of {self.config.train.epochs}, loss {p.figures['loss']:.3f}{best}"

    def run_all(self, report: bool = True) -> RunResult[EASRecSpace]:
        """Run all stages; write the result to ``result.json`` and the found network to ``model/``.

        Args:
            report: Whether to write ``pareto.png`` and ``report.html`` as well.
        """
        with self:
            result = self._all()
            if report:
                on_first(lambda: self._report(result))
        return result

    def _report(self, result: RunResult[Any]) -> None:
        draw_in_folder(result, self.folder, self.console)
        try_report(result.report(self.folder), self.folder / "report.html", self.console)

    def _all(self) -> RunResult[Any]:
        started, created = time.perf_counter(), datetime.now(timezone.utc).isoformat(timespec="seconds")
        searched = self.search()
        costs, where = self._costs(searched.model), environment(self.device)
        archs: dict[NetworkName, Any] = {"largest": self.space.largest()}
        trained: dict[NetworkName, _Measured] = {}
        # the found network first, because it matters most
        for which in _ORDER:
            if which != "found" and which not in self.config.compare:
                continue
            archs[which], done = self.retrain(searched, which)
            trained[which] = self._measured(done)
            if which == "found":
                network, arch = done.network, archs[which]
                on_first(lambda network=network, arch=arch: self._save(network, arch))  # type: ignore[misc]
            result: RunResult[Any] = RunResult(
                created=created,
                seed=self.config.seed,
                seconds=time.perf_counter() - started,
                config=self.config,
                data=self._data(),
                environment=where,
                search=searched.search,
                networks=self._networks(archs, costs, trained),
                best_reachable=self._best_reachable(),
                baselines=self.baselines(),
                fewest_negatives={stage: each.fewest_negatives for stage, each in trained["found"].reports.items()},
                evaluated_users={stage: len(each.users) for stage, each in trained["found"].reports.items()},
                repeat_targets={stage: each.repeat_targets for stage, each in trained["found"].reports.items()},
                steering=steering_of(self.config, repeat_share(self.split)),
            )
            # after every network, so that a long run has results before its end
            on_first(lambda result=result: self._write(result))  # type: ignore[misc]
        return result

    def _write(self, result: RunResult[Any]) -> None:
        write_text(self.folder / "result.json", json.dumps(result.to_dict(), indent=2) + "\n")
        write_text(self.folder / "result.md", page(result))

    def _save(self, network: EASRecModel, arch: Any) -> None:
        ids, features = self.data.item_ids, self.data.features
        saved = Recommender(network.to("cpu"), arch, self.config, ids, features, self.fingerprint)
        saved.save(self.folder / "model")

    def _measured(self, trained: Trained) -> "_Measured":
        network = trained.network.to(self.device)
        reports = {
            stage: evaluator.evaluate(network.next_item, self.device, shared=True)
            for stage, evaluator in self.evaluators.items()
        }
        training = Training(
            best_epoch=trained.best_epoch, epochs=trained.epochs, seconds=trained.seconds, history=trained.history
        )
        return _Measured(training, reports)

    def _costs(self, model: EASRecModel) -> dict[str, Any]:
        ids, *rest = model.example(torch.ones(1, self.config.model.length, dtype=torch.long))
        example = ids, torch.tensor([ids.shape[1]]), *rest[1:]
        return {
            "flops": encoder_flops(model),
            "params": Params(model),
            "latency": Latency(model, example, self.device, call=_score_last),
        }

    def _networks(
        self, archs: dict[NetworkName, Any], costs: dict[str, Any], trained: "dict[NetworkName, _Measured]"
    ) -> dict[NetworkName, Network[Any]]:
        # in turns, so that changes in the machine's speed affect all networks; the same architecture is measured once
        rounds = on_first(lambda: [self._latencies(archs, costs["latency"]) for _ in range(_ROUNDS)])
        networks: dict[NetworkName, Network[Any]] = {}
        for which, arch in archs.items():
            done = trained.get(which)
            networks[which] = Network(
                architecture=arch,
                hidden=arch.hidden,
                inner=arch.inner,
                flops=costs["flops"](arch),
                # one multiply-add per hidden unit and item
                flops_scoring_one_position=2 * arch.hidden * (self.split.items + 1),
                params=int(costs["params"](arch)),
                latency_ms=statistics.median(measured[which][0] for measured in rounds),
                latency_iqr_ms=statistics.median(measured[which][1] for measured in rounds),
                training=None if done is None else done.training,
                metrics={} if done is None else {stage: dict(report) for stage, report in done.reports.items()},
                standard_errors={} if done is None else self._standard_errors(done),
            )
        return networks

    def _latencies(self, archs: dict[NetworkName, Any], latency: Latency) -> dict[NetworkName, tuple[float, float]]:
        """Return median and interquartile range by network."""
        measured = {arch: latency.measure(arch) for arch in set(archs.values())}
        return {which: (measured[arch].median_ms, measured[arch].iqr_ms) for which, arch in archs.items()}

    def _standard_errors(self, done: "_Measured") -> Metrics:
        cutoffs = self.config.cutoffs
        return {
            stage: {protocol: standard_errors_at(ranks, cutoffs) for protocol, ranks in report.ranks.items()}
            for stage, report in done.reports.items()
        }

    def _data(self) -> DataSummary:
        features = self.data.features
        return DataSummary(
            statistics=self.data.statistics,
            fingerprint=self.fingerprint,
            features=None if features is None else FeatureSummary(**features.summary()),
            split=SplitSummary.of(self.split),
        )

    def baselines(self) -> dict[str, Metrics]:
        """Return the metrics of popularity and of the last item, which need no training; computed once."""
        if not self._baselines:
            for name, score in baseline_scores(self.split.training, self.split.items).items():
                found = {
                    stage: dict(each.evaluate(score, self.device, shared=True))
                    for stage, each in self.evaluators.items()
                }
                self._baselines[name] = found
        return self._baselines

    def _best_reachable(self) -> Metrics | None:
        """Return the best reachable metrics of generated data, under full ranking."""
        best = self.data.best
        return None if best is None else {stage: {"full": best[stage]} for stage in self.evaluators}


@dataclass(frozen=True)
class _Measured:
    """Training record and metrics of a network."""

    training: Training
    reports: dict[StageName, Report]


def _plan_of(config: Config) -> Plan:
    """Return the work of each stage, in epochs of the largest network.

    A supernet with block mixing counts each candidate; the networks of the search count with the budget's share.
    """
    budget, searches = config.search.budget or "100%", config.search.strategy != "none"
    share = float(budget[:-1]) / 100 if searches and re.fullmatch(r"[\d.]+%", budget) else 1.0
    blocks = config.model.space == "paper" and config.model.mixing == "block"
    candidates = len(config.model.sizes()) if blocks else 1
    work = {"search": float(config.search.epochs * candidates)} if searches else {}
    for name in _ORDER:
        if name in ("found", *config.compare):
            work[name] = config.train.epochs * (1.0 if name == "largest" else share)
    return Plan(work)


def evaluators(split: Split, config: Config) -> dict[StageName, Evaluator]:
    """Return evaluators of the validation and the test targets; a user has the same negatives in both."""
    counts, stages = split.training.counts(split.items), get_args(StageName)
    evaluated = np.union1d(*(split.users(stage) for stage in stages))
    own = split.complete().take(evaluated)
    negatives = draw_negatives(counts, own, config.negatives, config.seed)
    uniform = draw_uniform_negatives(split.items, own, config.negatives, config.seed)
    found: dict[StageName, Evaluator] = {}
    for stage in stages:
        users = split.users(stage)
        rows = np.searchsorted(evaluated, users)
        found[stage] = Evaluator(
            split.history(stage),
            split.targets(stage),
            negatives[rows],
            config.model.length,
            config.cutoffs,
            items=split.items,
            uniform=uniform[rows],
            users=users,
        )
    return found


def _score_last(network: Any, example: Any) -> Any:
    return network.next_item(*example)


def _search_note(p: Progress, metric: str) -> str:
    notes = [f"loss {p.figures['loss']:.3f}"] if "loss" in p.figures else []
    notes += [f"validation {metric} {p.figures[metric]:.4f}"] if metric in p.figures else []
    notes += [f"expected {p.figures['expected_cost'] / 1e6:.2f} MFLOPs"] if "expected_cost" in p.figures else []
    return ", ".join(notes)
