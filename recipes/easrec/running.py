"""run: a whole run of EASRec in one call, as the command makes it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from easrec.config import Config
from easrec.data import DataFrame, Interactions
from easrec.pipeline import Pipeline
from easrec.presets import load_preset
from easrec.result import RunResult
from easrec.source import Source
from elasticnas.run import Run, Shown
from elasticnas.runtime import configure_torch, device_of
from elasticnas.settings import read_config, updated

__all__ = ["configured", "pipeline", "run"]


def run(
    data: str | Path | Interactions | DataFrame | None = None,
    preset: str = "default",
    out: str | Path = "runs/easrec",
    *,
    config: str | Path | None = None,
    budget: str | float | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
    resume: bool = False,
    device: str | torch.device = "auto",
    threads: int | None = None,
    progress: Shown = "auto",
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    format: str = "auto",
    items: str | Path | None = None,
    features: Sequence[str] = (),
    feature_separator: str = "|",
    console: Console | None = None,
) -> RunResult[Any]:
    """Search, extract, retrain, evaluate, compare and save: what ``elasticnas easrec run`` does.

    Args:
        data: A file of interactions in any readable format, a data frame of polars or pandas, or prepared
            interactions; None generates those of the preset ``demo``.
        preset: Name of the preset.
        out: Folder of the run: the result in ``result.json``, the network in ``model/``.
        config: YAML file of settings that change the preset, as ``elasticnas easrec config show`` prints them.
        budget: FLOPs, such as ``"50%"`` of the largest network, a number, or ``"none"``; None takes the preset's.
        settings: Changes to these settings by dotted name, such as ``{"model.layers": 2}``, or nested.
        seed: Random seed; None takes the preset's.
        resume: Continue the run in the folder.
        device: ``"cpu"``, ``"cuda"``, ``"mps"``; ``"auto"`` takes what there is.
        threads: CPU threads of torch; None leaves them.
        progress: As :class:`~elasticnas.run.Run` takes it; ``"auto"`` shows bars in terminals and notebooks.
        user: Column of the user; None takes the format's own, ``user_id`` in tables and data frames.
        item: Column of the item, in the items file too; likewise ``item_id``.
        time: Column of the time; likewise ``timestamp``, and row order without one.
        format: Of the file; ``"auto"`` tells it by the name.
        items: File of items with their features.
        features: Columns of that file.
        feature_separator: Between the features in a cell.
        console: Where statistics and stages are printed, as the command does; None prints nothing.

    Returns:
        The result, which ``result.json`` holds too.

    Raises:
        ElasticNASError: One line, the command's own: wrong settings or data, an impossible budget, a folder that holds
            another run.
    """
    data = Path(data) if isinstance(data, str) else data
    files = None if items is None else Path(items)
    source = Source(data, user, item, time, format, files, tuple(features), feature_separator)
    config_of_run = configured(preset, None if config is None else Path(config), budget, seed, settings)
    where = Run(out, resume=resume, progress=progress)
    return pipeline(source, preset, config_of_run, where, device, threads, console).run_all()


def configured(
    preset: str,
    file: Path | None = None,
    budget: str | float | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Config:
    """The settings of a run: the preset, changed by the file, changed by the rest.

    Raises:
        ConfigError: An unknown preset or setting, or a value that is not allowed; one of the file's names the file.
    """
    changes = dict(settings or {})
    if budget is not None:
        changes["search.budget"] = budget
    if seed is not None:
        changes["seed"] = seed
    return updated(read_config(load_preset(preset), file), changes)


def pipeline(
    source: Source,
    preset: str,
    config: Config,
    run: Run,
    device: str | torch.device,
    threads: int | None,
    console: Console | None,
) -> Pipeline:
    """The stages of a run, its data read and its process set up."""
    where, shown = device_of(str(device)), console or Console(quiet=True)
    configure_torch(threads)
    found = source.load(preset, config, shown)
    if found.features is not None and not config.model.has_features:
        shown.print(f"features are not used: model.backbone is {config.model.backbone}", highlight=False)
    return Pipeline(found, config, run, where, console)
