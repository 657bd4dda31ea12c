"""run: a whole run of EASRec in one call."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from easrec.config import Config
from easrec.data import Columns, Split, TieBreak
from easrec.data.columns import Missing, texts
from easrec.pipeline import Pipeline
from easrec.presets import load_preset
from easrec.result import RunResult
from easrec.shares import console_of_first, require_parallel
from easrec.source import Data, Part, Source, show_statistics
from easrec.space import EASRecSpace
from easrec.times import require_times
from elasticnas.run import ProgressOption, Run
from elasticnas.runtime import configure_torch, device_of
from elasticnas.settings import read_config, updated

__all__ = ["configured", "pipeline", "run"]


def run(
    data: Data = None,
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
    progress: ProgressOption = "auto",
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    format: str = "auto",
    items: str | Path | None = None,
    features: str | Sequence[str] = (),
    feature_separator: str = "|",
    header: bool = True,
    separator: str | None = None,
    time_format: str | None = None,
    missing: Missing = "refuse",
    where: str | Sequence[str] = (),
    encoding: str | None = None,
    item_separator: str | None = None,
    tie_break: TieBreak = "random",
    split: str = "last",
    validation: Part | None = None,
    test: Part | None = None,
    console: Console | None = None,
) -> RunResult[EASRecSpace]:
    """Search, extract, retrain, evaluate, compare and save, as ``elasticnas easrec run`` does.

    Args:
        data: One or several files of interactions in any readable format, or patterns such as ``part-*.csv``; a data
            frame of polars or pandas; or prepared interactions. None generates those of the preset ``demo``.
        preset: Name of the preset.
        out: Folder of the run; the result is written to ``result.json``, the network to ``model/``.
        config: YAML file of settings that override the preset, as ``elasticnas easrec config show`` prints them.
        budget: Maximum FLOPs: ``"50%"`` of the largest network's, a number, or ``"none"``; None for the preset's.
        settings: Changes to the settings by dotted name, such as ``{"model.layers": 2}``, or nested.
        seed: Random seed; None for the preset's.
        resume: Whether to continue the run in the folder.
        device: ``"cpu"``, ``"cuda"``, ``"mps"``, or ``"auto"`` for the fastest available.
        threads: CPU threads of torch; None does not change them.
        progress: See :class:`~elasticnas.run.Run`; ``"auto"`` shows bars in terminals and notebooks.
        user: Column of the user ids; None for the format's default, ``user_id`` in tables and data frames, or the only
            column whose name can only mean them.
        item: Column of the item ids, also in the file of items; None for the default, ``item_id``, or such a column.
        time: Column of the time; None for the default, ``timestamp``, or the only column whose name can only mean the
            time; ``"none"`` for row order.
        format: Format of the files; ``"auto"`` recognises it by name and content.
        items: File of items with their features.
        features: Columns of features in that file.
        feature_separator: Separator between features within a cell.
        header: Whether delimited text starts with a header; without one, columns are named 1, 2, 3 by position.
        separator: Separator of delimited text, ``"blanks"`` for any run of blanks; None to recognise it.
        time_format: Format of dates, such as ``%m/%d/%Y``; None for numbers and ISO dates.
        missing: What ids such as NA and null are: ``"refuse"``, ``"keep"`` them as ids, or ``"drop"`` the rows.
        where: Conditions that rows must satisfy, such as ``rating >= 4``.
        encoding: Encoding of text, such as ``latin1``; None for UTF-8.
        item_separator: What separates the items in a cell that holds several; ``"none"`` if none does.
        tie_break: Order of a user's interactions at the same time: ``"random"`` (seeded), ``"item"`` or ``"file"``.
        split: Which interactions become targets: ``"last"`` for leave-one-out, or points in time such as
            ``"time:80%,90%"``, see :class:`easrec.data.SplitRule`.
        validation: Files or a data frame of the validation interactions, if they are given; those of ``data`` then
            train.
        test: The same for the test interactions.
        console: Where statistics and stages are printed; None prints nothing.

    Returns:
        The result, which is also written to ``result.json``.

    Raises:
        ElasticNASError: Settings or data are wrong, no architecture meets the budget, or the folder holds another run.
    """
    layout = header, separator, time_format, missing, texts(where), encoding, item_separator
    columns = Columns(user, item, time, format, *layout)
    file = None if items is None else Path(items)
    source = Source(data, columns, validation, test, tie_break, split, file, texts(features), feature_separator)
    config_of_run = configured(preset, None if config is None else Path(config), budget, seed, settings)
    run = Run(out, resume=resume, progress=progress, parallel="ddp")
    return pipeline(source, preset, config_of_run, run, device, threads, console).run_all()


def configured(
    preset: str,
    file: Path | None = None,
    budget: str | float | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Config:
    """Return the settings of a run: the preset, overridden by the file, then by the other arguments.

    Raises:
        ConfigError: A preset or setting is unknown, or a value is not allowed.
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
    """Read the data, configure torch, and return the pipeline of a run."""
    require_parallel(run.parallel)
    where, shown = device_of(str(device)), console_of_first(console or Console(quiet=True))
    configure_torch(threads)
    found = source.load(preset, config, shown)
    require_times(config.model, found)
    split = Split(found, config.model.uses_times)
    show_statistics(found, split, shown)
    if found.features is not None and not config.model.has_features:
        shown.print(f"features are not used: model.backbone is {config.model.backbone}", highlight=False)
    return Pipeline(found, config, run, where, console, split)
