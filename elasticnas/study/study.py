"""Study: train and search a supernet, extract networks, and compare them with uniformly scaled-down ones."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Generic

import torch
from pydantic import ValidationError
from rich.console import Console
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from elasticnas.checkpoint import first_difference, load_part
from elasticnas.cost import Flops, count_flops
from elasticnas.errors import CheckpointError, ConfigError, one_line
from elasticnas.extraction import extract, recalibrate, save
from elasticnas.extraction.batchnorm import norms_of, warn_of_stale
from elasticnas.files import write_signed, write_text
from elasticnas.parallel import kind_of, on_first, prepared, rank, unsharded, wrapped_as
from elasticnas.report import Plan, Stage, environment, mean_interval, require_matplotlib, require_scipy, try_report
from elasticnas.run import Progress, Run, drive, one_epoch
from elasticnas.search import (
    Evolve,
    PlainTraining,
    Problem,
    SearchResult,
    SearchSettings,
    SupernetTrainer,
    TrainerSettings,
)
from elasticnas.search.evaluation import require_metrics
from elasticnas.search.schedule import warm_cosine
from elasticnas.search.sharing import shared
from elasticnas.search.storage import require_optuna
from elasticnas.space import Factory
from elasticnas.space.space import A
from elasticnas.study.comparison import Comparison, compare
from elasticnas.study.examples import Values, read_values, split_values, write_values
from elasticnas.study.page import page, show
from elasticnas.study.result import StudyResult, SupernetTraining
from elasticnas.study.row import SCRATCH, SEARCHED, UNIFORM, Kind, Row, label
from elasticnas.study.settings import StudySettings
from elasticnas.study.uniform import uniform_sizes

__all__ = ["Study"]


class Study(Generic[A]):
    """A comparison of searched and uniformly scaled networks, saved in a folder; every part can be resumed.

    1. :class:`~elasticnas.search.SupernetTrainer` trains the supernet.
    2. NSGA-II searches it for the validation metric against FLOPs; a random search evaluates as many architectures.
    3. For each share of the largest network's FLOPs, the best architecture between the previous share and this one is
       extracted and trained for ``tune_steps``. Two networks are trained from random weights for ``scratch_steps``:
       the same architecture, and the narrowest uniformly scaled network with at least its FLOPs.
    4. The folder gets ``result.json``, ``result.md``, ``report.html``, ``pareto.png``, and each searched network in
       ``networks/<percent>``.

    Args:
        problem: The problem: supernet with initial weights on its device, loss, train, evaluate on validation data,
            metric, direction, and predict for distillation. Its costs are replaced by the FLOPs of one pass on the
            example.
        build: Builds a plain network with new weights for an architecture or for a result of ``scaled``; it is called
            as described in :class:`~elasticnas.space.Factory`.
        scaled: ``scaled(factor)`` returns the sizes of the largest network with every width multiplied by a factor in
            (0, 1], rounded to valid sizes, as attributes named like fields and properties; ``scaled(1.0)`` is the
            largest network.
        test: ``test(network) -> {metric: values}`` on test data, which the problem does not have: one value per
            example, in the same order for all networks; the metric is their mean. With a single number instead, there
            are no verdicts.
        example: An input of the network on the CPU, to count FLOPs and check extraction.
        settings: Settings of the study.
        name: Name in titles.

    Raises:
        ConfigError: The problem lacks a part, or ``build`` takes neither sizes of the space nor its architecture.
        PluginError: Optuna, matplotlib or SciPy is not installed.
    """

    def __init__(
        self,
        problem: Problem[A],
        build: Callable[..., nn.Module],
        scaled: Callable[[float], object],
        test: Callable[[nn.Module], Mapping[str, object]],
        example: object,
        settings: StudySettings | None = None,
        *,
        name: str = "study",
    ) -> None:
        require_optuna()
        require_matplotlib()
        require_scipy()
        problem.require("Study", "loss", "train", "evaluate")
        self.problem, self.scaled, self.test, self.example, self.name = problem, scaled, test, example, name
        self.settings, self.model = settings or StudySettings(), problem.model
        self.device = next(self.model.parameters()).device
        self.metric, self.direction = problem.ranking
        self.space = problem.axes.space
        self.factory = Factory(build, self.space)
        self.flops = Flops(self.model, example)
        self.whole = self.flops(self.space.largest())

    def run(self, run: Run, console: Console | None = None) -> StudyResult[Any]:
        """Run all parts of the study.

        Args:
            run: The run, with a folder, and facts about the data as its identity.
            console: Shows the stages and, at the end, the table; None uses the bar of ``run``.

        Raises:
            CheckpointError: The folder holds a study and ``resume`` is off, or another study, or is in use.
            ConfigError: The run has no folder.
            ElasticNASError: The folder cannot be written.
        """
        if run.folder is None or run.allow:
            given = (
                "a folder: Run(folder)" if run.folder is None else "a Run without allow: its parts build on each other"
            )
            raise ConfigError(f"a study needs {given}")
        self.problem = shared(self.problem, run)
        prepared(self.problem.model, "Study")  # refuses before anything is written
        first = rank() == 0
        with run:
            shown = (console or run.reporting.console) if first else Console(quiet=True)
            result = _StudyRun(self, run, run.folder, shown).result()
        if console is not None and first:
            show(result, console)
        return result


class _StudyRun:
    """One call of :meth:`Study.run`."""

    def __init__(self, study: Study, run: Run, folder: Path, console: Console) -> None:
        self.study, self.run, self.folder, self.console = study, run, folder, console
        self.settings, self.model, self.device = study.settings, study.problem.model, study.device
        self.plan = _plan_of(self.settings)
        self.identity = {
            "task": study.name,
            "settings": self.settings.model_dump(mode="json"),
            "facts": run.identity,
            "space": {name: list(options) for name, options in study.space.choices().items()},
            "flops": study.whole,
        }
        path = folder / "study.json"
        stored = _read(path)
        if stored is None:
            on_first(lambda: write_signed(path, self.identity))
        elif not run.resume:
            raise CheckpointError(f"{folder} holds a study already; resume=True continues it, or use another folder")
        elif difference := first_difference(stored, json.loads(json.dumps(self.identity))):
            raise CheckpointError(f"{folder} holds another study, {difference}; use another folder")

    def result(self) -> StudyResult[Any]:
        """Run or load all parts and write the result."""
        study = self.study
        supernet = self._supernet()
        search = self._search()
        rows, comparisons = [], []
        for share in (*self.settings.shares, 1.0):
            measured = self._compare(share, search)
            rows += [row for row, _ in measured]
            comparisons += _comparisons(measured) if share < 1.0 else []
        result: StudyResult[Any] = StudyResult(
            task=study.name,
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            environment=environment(self.device),
            facts=self.run.identity,
            settings=self.settings,
            metric=study.metric,
            direction=study.direction,
            largest_flops=study.whole,
            supernet=supernet,
            search=search,
            rows=tuple(rows),
            comparisons=tuple(comparisons),
        )
        on_first(lambda: self._write(result))
        return result

    def _write(self, result: StudyResult[Any]) -> None:
        write_text(self.folder / "result.json", json.dumps(result.to_dict(), indent=2) + "\n")
        result.plot(self.folder / "pareto.png")
        write_text(self.folder / "result.md", page(result))
        try_report(result.report(self.folder), self.folder / "report.html", self.console)

    def _part(self, name: str, progress: Callable[[Progress], None], **further: Any) -> Run:
        return self.run.stage(name, self.identity | further, progress)

    def _supernet(self) -> SupernetTraining:
        settings = self.settings
        trainer = SupernetTrainer(
            self.study.problem,
            TrainerSettings(
                steps=settings.steps,
                rule=settings.rule,
                random_architectures=settings.random_architectures,
                distillation_weight=settings.distillation_weight,
                weight_lr=settings.weight_lr,
                schedule="constant",  # the rate decays during tuning
                warmup_steps=settings.steps // 20,
                clip_norm=settings.clip_norm,
                checkpoint_every=settings.checkpoint_every,
                seed=settings.seed,
            ),
        )
        torch.manual_seed(settings.seed)
        with Stage(self.console, "train the supernet", self.plan.of("supernet")) as stage:
            done = trainer.run(self._part("supernet", lambda p: stage.show(p, f"loss {p.figures['loss']:.3f}")))
        return SupernetTraining(steps=done.steps, seconds=done.seconds, last_loss=done.history[-1]["loss"])

    def _search(self) -> SearchResult[Any]:
        path, metric, settings = self.folder / "search.json", self.study.metric, self.settings
        if (stored := _read(path)) is not None:
            try:
                return SearchResult.from_dict(stored, self.study.space)
            except ConfigError as error:
                raise CheckpointError(f"{path}: {error}; delete it to search again") from None
        problem = replace(self.study.problem, costs={"flops": self.study.flops}, budgets=None)
        strategy = Evolve("nsga2", settings.trials, min(settings.population, max(2, settings.trials)))

        def note(p: Progress) -> str:
            return ", ".join(f"{name} {p.figures[name]:.4f}" for name in (metric, "best") if name in p.figures)

        with Stage(self.console, "search it", self.plan.of("search")) as stage:
            run = self._part("search", lambda p: stage.show(p, note(p)))
            result = strategy.search(problem, SearchSettings(seed=settings.seed), run)
        on_first(lambda: write_signed(path, result.to_dict()))
        return result

    def _compare(self, share: float, search: SearchResult[Any]) -> list[tuple[Row, Values | None]]:
        """Return the rows at one share of the FLOPs; at 1 the searched architecture is the largest."""
        study, whole = self.study, self.study.whole
        sign = 1.0 if study.direction == "maximise" else -1.0
        below = max((s for s in self.settings.shares if s < share), default=0.0)
        within = [c for c in search.tried if below * whole < c.costs["flops"] <= share * whole]
        if share == 1.0:
            arch = study.space.largest()
        elif within:
            arch = max(within, key=lambda c: (sign * c.metrics[study.metric], -c.costs["flops"])).architecture
        else:
            shares = f"{100 * below:g} to {100 * share:g}%"
            self.console.print(f"no architecture that was evaluated has {shares} of the FLOPs", highlight=False)
            return []
        sizes = arch.model_dump(mode="json")
        rows = [self._row(SEARCHED, share, sizes, lambda: self._extract(arch), arch)]
        if share < 1.0:
            rows.append(self._row(SCRATCH, share, sizes, lambda: study.factory(arch)))
        scaled = uniform_sizes(study.scaled, study.factory, study.example, study.flops(arch))
        plain = scaled.model_dump(mode="json") if hasattr(scaled, "model_dump") else dict(vars(scaled))
        rows.append(self._row(UNIFORM, share, plain, lambda: study.factory(scaled)))
        return rows

    def _extract(self, arch: Any) -> nn.Module:
        problem = self.study.problem
        network = extract(self.model, arch, tree_map(self._to_device, self.study.example), calibration=())
        if problem.calibration is None:
            warn_of_stale(network, "give Study a Problem(calibration=batches)")
        elif norms_of(network):
            recalibrate(network, one_epoch(problem.calibration, "calibration", self.settings.seed), problem.loss)
        return network

    def _to_device(self, value: Any) -> Any:
        return value.to(self.device) if isinstance(value, Tensor) else value

    def _row(
        self, kind: Kind, share: float, sizes: dict[str, Any], make: Callable[[], nn.Module], arch: Any = None
    ) -> tuple[Row, Values | None]:
        """Train and evaluate one network, or load its row; also return its metric values of single test examples."""
        percent, problem = f"{100 * share:g}", self.study.problem
        path = self.folder / "rows" / f"{percent}-{kind}.json"
        if (stored := _read(path)) is not None:
            try:
                known = Row.model_validate(stored)
                if (known.kind, known.share) != (kind, share):
                    raise CheckpointError(
                        f"{path}: is the row of {known.kind} at {known.share:g}; delete it to make it again"
                    )
                return known, on_first(lambda: read_values(path.with_suffix(".values"), known.examples))
            except ValidationError as error:
                raise CheckpointError(f"{path}: damaged ({one_line(Row, error)}); delete it to make it again") from None
        torch.manual_seed(self.settings.seed)
        network = make().to(self.device)
        assert problem.evaluate is not None
        inherited = self._evaluate(network, problem.evaluate) if kind == SEARCHED else None
        name = f"{percent}% of the FLOPs: {label(kind, share)}"
        with Stage(self.console, name, self.plan.of(path.stem)) as stage:
            run = self._part(
                f"rows/{path.stem}",
                lambda p: stage.show(p, f"loss {p.figures['loss']:.3f}"),
                row=path.stem,
                sizes=sizes,
            )
            steps, seconds = self._train(network, kind, run)
        test, values = self._test(network)
        row = Row(
            kind=kind,
            share=share,
            sizes=sizes,
            flops=count_flops(network, self.study.example),
            params=sum(parameter.numel() for parameter in network.parameters()),
            steps=steps,
            seconds=seconds,
            inherited=inherited,
            validation=self._evaluate(network, problem.evaluate),
            test=test,
            interval=None if values is None else mean_interval(values),
            examples=0 if values is None else len(values),
        )
        plain = unsharded(network)

        def write() -> None:
            if kind == SEARCHED:
                save(plain, arch, self.folder / "networks" / percent)
            if values is not None:
                write_values(path.with_suffix(".values"), values)
            write_signed(path, row.model_dump(mode="json"))

        on_first(write)
        run.discard()
        return row, values

    def _train(self, network: nn.Module, kind: str, run: Run) -> tuple[int, float]:
        """Train a network; return steps and seconds."""
        settings, problem = self.settings, self.study.problem
        steps = settings.tune_steps if kind == SEARCHED else settings.steps_from_scratch
        rate = settings.tune_lr if kind == SEARCHED else settings.weight_lr
        assert problem.loss is not None and problem.train is not None
        work = PlainTraining(
            wrapped_as(network, kind_of(self.model)),
            problem.loss,
            problem.train,
            steps=steps,
            rate=lambda step: rate * warm_cosine(step, steps, steps // 20),
            clip_norm=settings.clip_norm,
            seed=settings.seed,
            identity={"rate": rate},
        )
        torch.manual_seed(settings.seed)
        seconds = drive(work, run, "train", settings.checkpoint_every)
        network.eval()
        return steps, seconds

    @torch.no_grad()
    def _evaluate(self, network: nn.Module, evaluate: Callable[[nn.Module], Mapping[str, float]]) -> float:
        network.eval()
        return require_metrics(evaluate(network), self.study.metric)[self.study.metric]

    @torch.no_grad()
    def _test(self, network: nn.Module) -> tuple[float, Values | None]:
        network.eval()
        given, values = split_values(self.study.test(network), self.study.metric)
        return require_metrics(given, self.study.metric)[self.study.metric], values


def _comparisons(measured: Sequence[tuple[Row, Values | None]]) -> list[Comparison]:
    """Return the comparisons at one share."""
    theirs = next((row for row, _ in measured if row.kind == UNIFORM), None)
    values = {row.kind: found for row, found in measured if found is not None}
    return [] if theirs is None else [compare(row, theirs, values) for row, _ in measured if row is not theirs]


def _plan_of(settings: StudySettings) -> Plan:
    """Return the work of each part in training steps of one network; an evaluation counts as two steps."""
    evaluations = 2 * settings.trials  # random search included
    work = {"supernet": float(settings.steps * settings.passes), "search": 2.0 * evaluations}
    for share in (*settings.shares, 1.0):
        work[f"{100 * share:g}-{SEARCHED}"] = settings.tune_steps
        for kind in (SCRATCH, UNIFORM) if share < 1.0 else (UNIFORM,):
            work[f"{100 * share:g}-{kind}"] = settings.steps_from_scratch
    return Plan(work)


def _read(path: Path) -> dict[str, Any] | None:
    """Read a file on rank 0, for all ranks; None if there is none."""
    return on_first(lambda: load_part(path))
