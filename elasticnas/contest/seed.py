"""One seed of a contest: a supernet, the searches of it, and the training of every entrant's network."""

import shutil
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from elasticnas.contest.contest import Contest
from elasticnas.contest.entrant import Entrant, Work
from elasticnas.contest.plan import SCRATCH, UNIFORM, StrategyPlan
from elasticnas.contest.training import ValidatedTraining
from elasticnas.cost import Cost, count_flops
from elasticnas.errors import ConfigError
from elasticnas.extraction import extract
from elasticnas.report import Stage, device_name
from elasticnas.run import Run, drive
from elasticnas.runtime import SeededRandom
from elasticnas.search import Evolve, Problem, SearchResult, SearchSettings, Strategy, SupernetTrainer, TrainerSettings
from elasticnas.search.evaluation import require_metrics
from elasticnas.settings import updated
from elasticnas.study import Study
from elasticnas.study.examples import split_values
from elasticnas.study.uniform import uniform_sizes

__all__ = ["run_seed"]

_SAMPLED = 64  # architectures whose mean FLOPs stand for those of supernet training
_CHECKPOINT_EVERY = 200


def run_seed(
    contest: Contest, seed: int, device: torch.device, console: Console, names: Collection[str] | None = None
) -> None:
    """Make the entrants of a seed that are missing; killed, it goes on with the part that was under way.

    Args:
        contest: The contest.
        seed: One of its seeds.
        device: Device of supernet and networks.
        console: Shows the stages.
        names: The entrants to make; None for all.

    Raises:
        CheckpointError: Another process makes this seed, or the task has changed.
        ConfigError: An entrant from scratch is to be made before the one that has its architecture, a strategy trains
            without ``trains: true``, or its search leaves no work for the training of its network.
    """
    folder = contest.unfinished / str(seed)
    with Run(folder, resume=True, progress=None) as run:
        _Seed(contest, seed, run, device, console).make(contest.names if names is None else names)
    if seed not in contest.missing():
        shutil.rmtree(folder)
        with suppress(OSError):  # others are not finished
            folder.parent.rmdir()


class _Seed:
    def __init__(self, contest: Contest, seed: int, run: Run, device: torch.device, console: Console) -> None:
        self.contest, self.plan, self.seed, self.run, self.console = contest, contest.plan, seed, run, console
        self.device = device
        self.strategies = {name: given.made() for name, given in self.plan.strategies.items()}
        self.study = self._study()
        self.space, self.flops = self.study.space, _flops_of(self.study)
        self.whole = self.flops(self.space.largest())
        rng = SeededRandom(0)
        drawn = [self.flops(self.space.sample(rng)) / self.whole for _ in range(_SAMPLED)]
        self.mean_share = sum(drawn) / len(drawn)
        self.identity = {"plan": contest.plan.model_dump(mode="json", exclude={"seeds"}), "seed": seed}
        contest.begin(self._facts())

    def _study(self) -> Study[Any]:
        torch.manual_seed(self.seed)
        return self.plan.made(self.seed, self.device)

    def _facts(self) -> dict[str, Any]:
        return {
            "name": self.study.name,
            "metric": self.study.metric,
            "direction": self.study.direction,
            "space": {name: [str(option) for option in options] for name, options in self.space.choices().items()},
            "largest_flops": self.whole,
            "mean_share": self.mean_share,
            "supernet_work": self.supernet_work,
            "work": self.planned,
        }

    @property
    def supernet_work(self) -> float:
        """Work of the shared supernet."""
        given, smallest = self.plan.supernet, self.flops(self.space.smallest()) / self.whole
        drawn = self.mean_share * (1 if given.rule == "single" else given.random_architectures)
        return given.steps * (drawn + (1.0 + smallest if given.rule == "sandwich" else 0.0))

    @property
    def planned(self) -> float:
        """Total work of every entrant."""
        return self._search_work + self.plan.train_steps * self.plan.budget * self._step_work

    @property
    def _search_work(self) -> float:
        """Work of the shared supernet and of the evaluations, each at the budget."""
        return self.supernet_work + self.plan.evaluations * self.plan.evaluation_work * self.plan.budget

    @property
    def _step_work(self) -> float:
        """Work of a training step of a network with its part of the validations, per share of the FLOPs."""
        return 1.0 + self.plan.evaluation_work / self.plan.validate_every

    def make(self, names: Collection[str]) -> None:
        """Make those of the named entrants that are missing."""
        for name in self.contest.names:
            if name not in names or self.contest.entrant(name, self.seed) is not None:
                continue
            if name == UNIFORM:
                self._uniform()
            elif name.endswith(SCRATCH):
                self._from_scratch(name)
            else:
                self._searched(name)

    def _searched(self, name: str) -> None:
        given = self.plan.strategies.get(name)
        strategy = self.strategies.get(name) or Evolve("random", self.plan.evaluations)
        if given is not None and given.trains:
            found, work, model, seconds = self._search_of_its_own(name, strategy, given)
        else:
            model, trained = self._supernet
            started = time.perf_counter()
            settings = SearchSettings(seed=self.seed, random_architectures=1)
            problem = replace(self._problem(self.study), train=None)  # training that nobody counts is refused
            try:
                found = self._search(name, strategy, problem, settings)
            except ConfigError as error:
                raise ConfigError(f"{name}: {error}; a strategy that trains needs trains: true in the plan") from None
            seconds = {"supernet": trained, "search": time.perf_counter() - started}
            work = Work(supernet=self.supernet_work, evaluations=self._evaluations(found))
        arch = found.best
        about = {
            "work": work,
            "seconds": seconds,
            "evaluated": len(_evaluated(found)),
            "warnings": found.warnings,
        }
        sizes = arch.model_dump(mode="json")
        self._enter(name, sizes, lambda: self._extracted(model, arch), inherits=True, **about)

    def _from_scratch(self, name: str) -> None:
        """Train the architecture that a search found from random weights."""
        searched = name.removesuffix(SCRATCH)
        found = self.contest.entrant(searched, self.seed)
        if found is None:
            raise ConfigError(f"{name} needs the architecture of {searched}, which is missing: make it first")
        arch = self.space.model_validate(found.sizes)
        self._enter(name, found.sizes, lambda: self.study.factory(arch), work=Work(), seconds={})

    def _search(self, name: str, strategy: Strategy, problem: Problem[Any], settings: Any) -> SearchResult[Any]:
        with self._stage(f"search by {name}") as stage:
            run = self.run.stage(f"search-{name}".replace(" ", "-"), self.identity, lambda p: stage.show(p, ""))
            return strategy.search(problem, settings, run)

    def _search_of_its_own(self, name: str, strategy: Strategy, given: StrategyPlan) -> Any:
        """Search by a strategy that trains a supernet itself, with the work of the shared one and its evaluations."""
        started, plan = time.perf_counter(), self.plan
        settings = SearchSettings(
            weight_lr=plan.supernet.weight_lr, clip_norm=plan.clip_norm, seed=self.seed, random_architectures=1
        )
        settings = updated(settings, given.search)
        per_step = given.step_work * (1 + 1 / settings.update_every)
        steps = given.steps or max(1, int(self._search_work / per_step))
        study = self._study()
        found = self._search(name, strategy, self._problem(study), settings.model_copy(update={"steps": steps}))
        # patience may have ended it earlier
        work = Work(supernet=min(steps, found.steps) * per_step, evaluations=self._evaluations(found))
        return found, work, study.model, {"search": time.perf_counter() - started}

    def _problem(self, study: Study[Any]) -> Problem[Any]:
        return replace(
            study.problem, costs={"flops": _flops_of(study)}, budgets={"flops": f"{100 * self.plan.budget:g}%"}
        )

    def _evaluations(self, found: SearchResult[Any]) -> float:
        """Return the work of all evaluations, also of architectures above the budget, and of failed attempts."""
        failed = sum(self.flops(each.architecture) * each.attempts for each in found.failures)
        return (sum(_evaluated(found)) + failed) / self.whole * self.plan.evaluation_work

    @cached_property
    def _supernet(self) -> tuple[nn.Module, float]:
        """The shared supernet, trained or loaded, and the seconds of its training."""
        plan = self.plan
        settings = TrainerSettings(
            steps=plan.supernet.steps,
            rule=plan.supernet.rule,
            random_architectures=plan.supernet.random_architectures,
            distillation_weight=0.0,
            weight_lr=plan.supernet.weight_lr,
            schedule="cosine",
            warmup_steps=plan.supernet.steps // 20,
            clip_norm=plan.clip_norm,
            checkpoint_every=_CHECKPOINT_EVERY,
            seed=self.seed,
        )
        trainer = SupernetTrainer(self.study.problem, settings)
        torch.manual_seed(self.seed)
        with self._stage("train the supernet") as stage:
            shown = self.run.stage("supernet", self.identity, lambda p: stage.show(p, f"loss {p.figures['loss']:.3f}"))
            seconds = trainer.run(shown).seconds
        return self.study.model, seconds

    def _extracted(self, model: nn.Module, arch: Any) -> nn.Module:
        example = tree_map(lambda v: v.to(self.study.device) if isinstance(v, Tensor) else v, self.study.example)
        return extract(model, arch, example, calibration=())

    def _uniform(self) -> None:
        study = self.study
        scaled = uniform_sizes(study.scaled, study.factory, study.example, self.plan.budget * self.whole)
        sizes = scaled.model_dump(mode="json") if hasattr(scaled, "model_dump") else dict(vars(scaled))
        self._enter(UNIFORM, sizes, lambda: study.factory(scaled), work=Work(), seconds={})

    def _enter(
        self,
        name: str,
        sizes: dict[str, Any],
        make: Callable[[], nn.Module],
        work: Work,
        seconds: dict[str, float],
        inherits: bool = False,
        **about: Any,
    ) -> None:
        """Train a network with the work that is left, test it, and save the entrant."""
        study, plan = self.study, self.plan
        torch.manual_seed(self.seed)
        network = make().to(study.device)
        flops = count_flops(network, study.example)
        steps = int((self.planned - work.total) / (flops / self.whole * self._step_work))
        if steps < 1:
            raise ConfigError(
                f"seed {self.seed}: {name} leaves no work to train its network: supernet {work.supernet:,.0f} and "
                f"evaluations {work.evaluations:,.0f} of {self.planned:,.0f}; let it evaluate less or smaller "
                "architectures, or raise train_steps or evaluations in a new plan"
            )
        inherited = self._metric(network.eval()) if inherits else None
        assert study.problem.loss is not None and study.problem.train is not None
        training = ValidatedTraining(
            network,
            study.problem.loss,
            study.problem.train,
            self._metric,
            study.direction,
            steps=steps,
            rate=plan.train_lr if inherits else plan.scratch_lr,
            clip_norm=plan.clip_norm,
            every=plan.validate_every,
            patience=plan.patience,
            seed=self.seed,
        )
        torch.manual_seed(self.seed)
        with self._stage(f"train {name}") as stage:
            part = f"train-{self.contest.path(name, self.seed).stem}"
            run = self.run.stage(part, {**self.identity, "sizes": sizes}, lambda p: stage.show(p, _shown(p.figures)))
            spent = drive(training, run, "train", _CHECKPOINT_EVERY)
        done = work.model_copy(update={"training": training.step * flops / self.whole * self._step_work})
        training.finish()
        with torch.no_grad():
            given, values = split_values(study.test(network), study.metric)
        self.contest.keep(
            Entrant(
                name=name,
                seed=self.seed,
                sizes=sizes,
                flops=flops,
                params=sum(parameter.numel() for parameter in network.parameters()),
                inherited=inherited,
                validation=training.best,
                test=require_metrics(given, study.metric)[study.metric],
                examples=0 if values is None else len(values),
                work=done,
                planned=self.planned,
                steps=training.step,
                best_step=training.best_step,
                seconds={**seconds, "training": spent},
                device=device_name(self.device),
                **about,
            )
        )

    def _metric(self, network: nn.Module) -> float:
        assert self.study.problem.evaluate is not None
        with torch.no_grad():
            return require_metrics(self.study.problem.evaluate(network), self.study.metric)[self.study.metric]

    def _stage(self, text: str) -> Stage:
        return Stage(self.console, f"seed {self.seed}: {text}")


def _flops_of(study: Study[Any]) -> Cost[Any]:
    """Return the FLOPs of a study: those of its problem, which may be counted faster, or its own."""
    return (study.problem.costs or {}).get("flops", study.flops)


def _evaluated(found: SearchResult[Any]) -> list[float]:
    """Return the FLOPs of all evaluated architectures, one for each evaluation.

    ``tried`` may have only those within the budget. Gradient-based searches have none: they evaluate what they find
    and, with ``evaluate_every``, the most probable architectures before.
    """
    records = [each["costs"] for each in found.history if "evaluated" in each]
    candidates = found.tried or (*found.validated, found.found)
    return [costs["flops"] for costs in records or [each.costs for each in candidates]]


def _shown(figures: Mapping[str, float]) -> str:
    return f"loss {figures['loss']:.3f}" if "loss" in figures else ""
