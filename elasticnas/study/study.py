"""Study: train a supernet, search it, take networks out, and compare them with scaled-down ones."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from elasticnas.checkpoint import first_difference
from elasticnas.cost import Flops, count_flops
from elasticnas.errors import CheckpointError, ElasticNASError
from elasticnas.extraction import axes_of, extract, save
from elasticnas.files import write_text
from elasticnas.report import Stage, environment, require_matplotlib
from elasticnas.search import SupernetTrainer, TrainerSettings, evolve
from elasticnas.search.archive import require_optuna
from elasticnas.space import Factory
from elasticnas.study.page import draw, page, summary
from elasticnas.study.row import SCRATCH, SEARCHED, UNIFORM, Row, label
from elasticnas.study.settings import StudySettings
from elasticnas.study.task import Task
from elasticnas.study.training import train_network
from elasticnas.study.uniform import uniform_sizes

__all__ = ["Study"]


class Study:
    """A study in a folder, every part resumable.

    1. The supernet is trained by :class:`~elasticnas.search.SupernetTrainer`.
    2. NSGA-II searches it for validation metric against FLOPs, random search beside it.
    3. For each share of the largest network's FLOPs, the best architecture found between the share before and this one
       is extracted and trained on for ``tune_steps``. Beside it, each trained from random weights for
       ``scratch_steps``: the same architecture, and the narrowest uniformly scaled network with at least its FLOPs.
    4. ``result.json``, ``result.md``, ``pareto.png``, and each searched network in ``networks/<percent>``.

    Args:
        task: The problem.
        model: Its supernet, with start values, on the device to use.
        settings: Lengths and rates.
        folder: Where everything goes.
        console: Where it reports; None for nowhere.
        resume: Continue what the folder holds.

    Raises:
        CheckpointError: The folder holds a study and ``resume`` is off, or another study.
        ConfigError: The task's ``build`` takes neither sizes of the space nor its architecture.
        PluginError: Optuna or matplotlib is not installed.
        ElasticNASError: The folder cannot be written.
    """

    def __init__(
        self,
        task: Task,
        model: nn.Module,
        settings: StudySettings,
        folder: str | Path,
        console: Console | None = None,
        resume: bool = False,
    ) -> None:
        require_optuna()
        require_matplotlib()
        self.task, self.model, self.settings, self.folder = task, model, settings, Path(folder)
        self.console = console or Console(quiet=True)
        self.device = next(model.parameters()).device
        self.space = axes_of(model).space
        self.factory = Factory(task.build, self.space)
        self.flops = Flops(model, task.example)
        self.whole = self.flops(self.space.largest())
        self.identity = {
            "task": task.name,
            "settings": settings.model_dump(mode="json"),
            "facts": task.facts,
            "space": {name: list(options) for name, options in self.space.choices().items()},
            "flops": self.whole,
        }
        self._open(resume)

    def run(self) -> dict[str, Any]:
        """All parts; returns what ``result.json`` holds."""
        training = self._supernet()
        search = self._search()
        rows: list[Row] = []
        for share in (*self.settings.shares, 1.0):
            rows += self._compare(share, search)
        result = {
            "task": self.task.name,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "environment": environment(self.device),
            "facts": self.task.facts,
            "settings": self.settings.model_dump(mode="json"),
            "metric": self.task.metric,
            "maximise": self.task.maximise,
            "largest_flops": self.whole,
            "supernet": training,
            "search": search,
            "rows": [asdict(row) for row in rows],
        }
        write_text(self.folder / "result.json", json.dumps(result, indent=2) + "\n")
        draw(result, self.folder / "pareto.png")
        write_text(self.folder / "result.md", page(result))
        self.console.print(summary(result))
        return result

    def _open(self, resume: bool) -> None:
        path = self.folder / "study.json"
        there = self._read(path)
        if there is None:
            write_text(path, json.dumps(self.identity, indent=2) + "\n")
        elif not resume:
            raise CheckpointError(f"{self.folder} holds a study already; --resume continues it, or use another folder")
        elif difference := first_difference(there, json.loads(json.dumps(self.identity))):
            raise CheckpointError(f"{self.folder} holds another study, {difference}; use another folder")

    def _supernet(self) -> dict[str, Any]:
        settings, checkpoint = self.settings, self.folder / "supernet.ckpt"
        trainer = SupernetTrainer(
            self.model,
            self.task.loss,
            self.task.train,
            TrainerSettings(
                steps=settings.steps,
                rule=settings.rule,
                random_architectures=settings.random_architectures,
                distillation_weight=settings.distillation_weight,
                weight_lr=settings.weight_lr,
                schedule="constant",  # the tuning brings the rate down
                warmup_steps=settings.steps // 20,
                clip_norm=settings.clip_norm,
                checkpoint_every=settings.checkpoint_every,
                seed=settings.seed,
            ),
            predict=self.task.predict if settings.distillation_weight else None,
        )
        torch.manual_seed(settings.seed)
        with Stage(self.console, "train the supernet") as stage:
            done = trainer.run(
                checkpoint,
                resume=True,
                identity=self.identity,
                progress=lambda p: stage.update(p.step / p.steps, f"loss {p.loss:.3f}", p.seconds_left),
            )
        return {"steps": done.steps, "seconds": done.seconds, "last_loss": done.history[-1]["loss"]}

    def _search(self) -> dict[str, Any]:
        path, metric = self.folder / "search.json", self.task.metric
        there = self._read(path)
        if there is not None:
            return there
        with Stage(self.console, "search it") as stage:
            result = evolve(
                self.model,
                self.task.validate,
                self.flops,
                metric=metric,
                maximise=self.task.maximise,
                trials=self.settings.trials,
                population=min(self.settings.population, max(2, self.settings.trials)),
                seed=self.settings.seed,
                progress=lambda p: stage.update(
                    p.evaluated / p.trials, f"{metric} {p.metrics[metric]:.4f}, best {p.best:.4f}", p.seconds_left
                ),
            )
        report = json.loads(json.dumps(result.to_dict()))
        write_text(path, json.dumps(report, indent=2) + "\n")
        assert isinstance(report, dict)
        return report

    def _compare(self, share: float, search: dict[str, Any]) -> list[Row]:
        """The rows at one share of the FLOPs; at 1 the searched architecture is the largest."""
        sign = 1.0 if self.task.maximise else -1.0
        below = max((s for s in self.settings.shares if s < share), default=0.0)
        within = [c for c in search["tried"] if below * self.whole < c["cost"] <= share * self.whole]
        if share == 1.0:
            arch = self.space.largest()
        elif within:
            best = max(within, key=lambda c: (sign * c["metrics"][self.task.metric], -c["cost"]))
            arch = self.space.model_validate(best["architecture"])
        else:
            shares = f"{100 * below:g} to {100 * share:g}%"
            self.console.print(f"no architecture that was evaluated has {shares} of the FLOPs", highlight=False)
            return []
        sizes = arch.model_dump(mode="json")
        rows = [self._row(SEARCHED, share, sizes, lambda: self._extracted(arch), arch)]
        if share < 1.0:
            rows.append(self._row(SCRATCH, share, sizes, lambda: self.factory(arch)))
        scaled = uniform_sizes(self.task, self.factory, self.flops(arch))
        plain = scaled.model_dump(mode="json") if hasattr(scaled, "model_dump") else dict(vars(scaled))
        rows.append(self._row(UNIFORM, share, plain, lambda: self.factory(scaled)))
        return rows

    def _extracted(self, arch: Any) -> nn.Module:
        return extract(self.model, arch, tree_map(self._here, self.task.example))

    def _here(self, value: Any) -> Any:
        return value.to(self.device) if isinstance(value, Tensor) else value

    def _row(
        self, kind: str, share: float, sizes: dict[str, Any], make: Callable[[], nn.Module], arch: Any = None
    ) -> Row:
        """Train one network and measure it, or read what was measured."""
        percent, settings = f"{100 * share:g}", self.settings
        path = self.folder / "rows" / f"{percent}-{kind}.json"
        there = self._read(path)
        if there is not None:
            return Row(**there)
        torch.manual_seed(settings.seed)
        network = make().to(self.device)
        inherited = None
        steps, rate = settings.steps_from_scratch, settings.weight_lr
        if kind == SEARCHED:
            inherited = self._measured(network, self.task.validate)
            steps, rate = settings.tune_steps, settings.tune_lr
        checkpoint = path.with_suffix(".ckpt")
        with Stage(self.console, f"{percent}% of the FLOPs: {label(kind, share)}") as stage:
            seconds = train_network(
                network,
                self.task,
                settings,
                steps,
                rate,
                checkpoint,
                self.identity | {"row": path.stem, "sizes": sizes},
                lambda p: stage.update(p.step / p.steps, f"loss {p.loss:.3f}", p.seconds_left),
            )
        row = Row(
            kind=kind,
            share=share,
            sizes=sizes,
            flops=count_flops(network, self.task.example),
            params=sum(parameter.numel() for parameter in network.parameters()),
            steps=steps,
            seconds=seconds,
            inherited=inherited,
            validation=self._measured(network, self.task.validate),
            test=self._measured(network, self.task.test),
        )
        if kind == SEARCHED:
            save(network, arch, self.folder / "networks" / percent)
        write_text(path, json.dumps(asdict(row), indent=2) + "\n")
        checkpoint.unlink(missing_ok=True)
        return row

    def _read(self, path: Path) -> dict[str, Any] | None:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise CheckpointError(f"{path}: damaged ({error}); delete it to make it again") from None
        except OSError as error:
            raise ElasticNASError(f"{path}: cannot be read, {error.strerror}; use another folder") from None
        if not isinstance(content, dict):
            raise CheckpointError(f"{path}: damaged (no object); delete it to make it again")
        return content

    @torch.no_grad()
    def _measured(self, network: nn.Module, evaluate: Callable[[nn.Module], Mapping[str, float]]) -> float:
        network.eval()
        return float(evaluate(network)[self.task.metric])
