"""Plan of a contest: what is compared, how much work each may do, and what counts, fixed before the first run."""

from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from elasticnas.calls import NamedFields
from elasticnas.errors import ConfigError, describe_error, one_line
from elasticnas.files import read_text
from elasticnas.plain_yaml import parse_yaml
from elasticnas.plugins import STRATEGIES, load_plugin
from elasticnas.search import Evolve, Strategy
from elasticnas.study import Study

__all__ = ["RANDOM", "UNIFORM", "ContestPlan", "StrategyPlan", "SupernetPlan", "file_name", "read_plan"]

RANDOM, UNIFORM = "random search", "uniformly scaled"


class _Frozen(BaseModel, metaclass=NamedFields):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class StrategyPlan(_Frozen):
    """A strategy of a contest.

    Attributes:
        strategy: ``evolve``, or the name of an installed strategy (``elasticnas plugins`` lists them).
        options: Arguments of its constructor.
        trains: Whether it trains a supernet of its own, as gradient-based strategies do, instead of searching the
            one that the others share.
        steps: Weight steps of a strategy that trains; None for the work of the shared supernet and its evaluations.
        step_work: Work of such a step; a relaxed supernet of elastic primitives runs at the size of the largest
            network.
        search: Further settings of a strategy that trains, see :class:`~elasticnas.search.SearchSettings`.
    """

    strategy: str
    options: dict[str, Any] = Field(default={})
    trains: bool = False
    steps: int | None = Field(default=None, ge=1)
    step_work: float = Field(default=1.0, gt=0)
    search: dict[str, Any] = Field(default={})

    def made(self) -> Strategy:
        """Return the strategy.

        Raises:
            ConfigError: An option is unknown or not allowed.
            PluginError: There is no such strategy.
        """
        kind: type[Strategy] = Evolve if self.strategy == Evolve.name else load_plugin(STRATEGIES, self.strategy)
        try:
            return kind(**self.options)
        except TypeError as error:
            raise ConfigError(f"strategy {self.strategy}, options {self.options}: {error}") from None


class SupernetPlan(_Frozen):
    """Training of the supernet that strategies search, see :class:`~elasticnas.search.TrainerSettings`."""

    steps: int = Field(default=1000, ge=1)
    rule: Literal["sandwich", "random", "single"] = "single"
    random_architectures: int = Field(default=2, ge=1)
    weight_lr: float = Field(default=2e-3, gt=0)


class ContestPlan(_Frozen):
    """The plan of a contest.

    Work is counted in training steps of the largest network: a step of a network counts its share of the largest
    network's FLOPs.

    Attributes:
        task: ``module:function``; ``function(seed, device, **settings)`` returns a
            :class:`~elasticnas.study.Study`: the problem with a new supernet, ``build``, ``scaled``, ``test`` and the
            example. Settings of the study are not used.
        settings: Further arguments of the function.
        budget: Share of the largest network's FLOPs that a network may have.
        seeds: Random seeds; each gives one supernet and one network per entrant.
        strategies: The strategies by name; random search and the uniformly scaled network are always entrants.
        supernet: Training of the shared supernet.
        evaluations: Architectures that each search evaluates.
        evaluation_work: Work of one evaluation on validation data, in training steps of the evaluated network.
        train_steps: Training steps of a network that uses the whole budget; a smaller one gets more, for equal work.
        train_lr: Highest learning rate for networks with inherited weights.
        scratch_lr: The same for the uniformly scaled network, which starts from random weights.
        clip_norm: Largest norm of the gradients; None for no clipping.
        validate_every: Training steps of a network between validations; the weights of the best one are kept.
        patience: Validations without improvement that end the training of a network; None for all steps.
        scratch: Whether searched architectures are also trained from random weights, with all of the work: a secondary
            comparison of architectures alone.
        smallest_difference: The smallest difference of the metric that matters, for the verdicts.
    """

    task: str
    settings: dict[str, Any] = Field(default={})
    budget: float = Field(gt=0, lt=1)
    seeds: tuple[int, ...]
    strategies: dict[str, StrategyPlan]
    supernet: SupernetPlan = SupernetPlan()
    evaluations: int = Field(default=100, ge=2)
    evaluation_work: float = Field(default=1.0, gt=0)
    train_steps: int = Field(default=1000, ge=1)
    train_lr: float = Field(default=2e-3, gt=0)
    scratch_lr: float = Field(default=2e-3, gt=0)
    clip_norm: float | None = Field(default=1.0, gt=0)
    validate_every: int = Field(default=100, ge=1)
    patience: int | None = Field(default=None, ge=1)
    scratch: bool = False
    smallest_difference: float = Field(default=0.0, ge=0)

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds) or not seeds or not all(0 <= seed < 2**32 for seed in seeds):
            raise ValueError("different seeds from 0 to 4294967295 are needed")
        return seeds

    @field_validator("strategies")
    @classmethod
    def _named(cls, strategies: dict[str, StrategyPlan]) -> dict[str, StrategyPlan]:
        for name in strategies:
            if name in (RANDOM, UNIFORM) or not name or not set(name) <= _NAMES or name.endswith(SCRATCH):
                raise ValueError(
                    f"{name!r} is no name for a strategy: use letters, digits, blanks and -, and neither {RANDOM!r}, "
                    f"{UNIFORM!r} nor an end {SCRATCH!r}"
                )
        files = {file_name(name): name for name in (RANDOM, UNIFORM)}
        for name in strategies:
            for entrant in (name, name + SCRATCH):
                if (other := files.setdefault(file_name(entrant), name)) != name:
                    raise ValueError(f"{name!r} and {other!r} would share a file: give them more different names")
        if not strategies:
            raise ValueError("at least one strategy is needed")
        return strategies

    def made(self, seed: int, device: torch.device) -> Study[Any]:
        """Return the task with a seed, its model on a device.

        Raises:
            ConfigError: There is no such function, or it does not take the settings or return a study.
        """
        module, _, name = self.task.partition(":")
        try:
            function = getattr(import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(
                f"task: {self.task!r} is not module:function that can be imported ({describe_error(error)})"
            ) from None
        try:
            study = function(seed, device, **self.settings)
        except TypeError as error:
            raise ConfigError(f"task {self.task}, settings {self.settings}: {error}") from None
        if not isinstance(study, Study):
            raise ConfigError(f"task {self.task} returns {type(study).__name__}: a Study is needed")
        return study


SCRATCH = ", from scratch"
_NAMES = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -")


def file_name(name: str) -> str:
    """Return the name of an entrant's files, without the ending; lower case, as some disks know no other."""
    return name.replace(",", "").replace(" ", "-").lower()


def read_plan(path: Path) -> ContestPlan:
    """Read a plan from a YAML file.

    Raises:
        ConfigError: The file cannot be read, is no mapping, or has an unknown or wrong field.
    """
    try:
        content = parse_yaml(read_text(path))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}; check this path") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: no YAML ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: a mapping of fields such as task and seeds is needed")
    try:
        return ContestPlan.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{path}: {one_line(ContestPlan, error)}") from None
