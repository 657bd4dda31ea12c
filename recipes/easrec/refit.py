"""refit: trains the architecture that a run found on all interactions, targets included, for serving."""

import json
from pathlib import Path
from typing import Any

import torch

from easrec.artifact import Recommender
from easrec.config import Config
from easrec.data import Interactions, Split, count_batches
from easrec.losses import BatchLoss
from easrec.pipeline import Pipeline
from easrec.training import epoch_batches, learning_rate
from elasticnas.errors import CheckpointError, ConfigError
from elasticnas.files import read_json, write_text
from elasticnas.run import Run, drive
from elasticnas.search import PlainTraining

__all__ = ["refit"]


def refit(
    data: Interactions, config: Config, folder: Path, to: Path, device: torch.device, resume: bool = False
) -> int:
    """Train the found network of a finished run again, on all interactions; write a folder for ``recommend``.

    It starts from the same initial weights as in the run and trains for the epochs after which the run's validation was
    best, at the same learning rates: with all interactions there is no target left to validate on.

    Args:
        data: The data of the run.
        config: The settings of the run.
        folder: Folder of the run.
        to: Folder to write.
        device: Device of the training.
        resume: Whether to continue a training in ``to``.

    Returns:
        The number of epochs.

    Raises:
        ConfigError: ``to`` is the folder of the run.
        CheckpointError: The run is not finished or damaged, or ``to`` holds other work.
    """
    if to.resolve() == folder.resolve():
        raise ConfigError(f"--to {to}: is the folder of the run, whose model it would replace; name another folder")
    epochs = _best_epoch(folder)
    pipeline = Pipeline(data, config, Run(folder, resume=True), device)
    searched = pipeline.search()
    network = pipeline.initial(searched, searched.found).to(device)
    everything = Split(data, config.model.uses_times).complete()
    train, length = config.train, config.model.length

    def batches(epoch: int) -> int:
        return count_batches(everything, length, train.batch, train.unit, train.form, config.seed, epoch)

    planned = batches(0) * train.epochs
    work = PlainTraining(
        network,
        BatchLoss(train, everything.counts(pipeline.split.items)),
        epoch_batches(everything, config, train.batch, device),
        steps=sum(map(batches, range(epochs))),
        rate=lambda step: learning_rate(step, planned, config),
        clip_norm=train.clip_norm,
        seed=config.seed,
        identity={"kind": "refit", **pipeline.identity},
    )
    with Run(to / "refit", resume=resume) as run:
        drive(work, run, "refit", config.checkpoint_steps)
        ids, known = data.item_ids, (data.features, pipeline.fingerprint)
        saved = Recommender(network.to("cpu"), searched.found, config, ids, *known, refit=True)
        saved.save(to / "model")
        data.save(to / "data.npz")
        write_text(to / "run.json", json.dumps(pipeline.identity, indent=2) + "\n")
    return epochs


def _best_epoch(folder: Path) -> int:
    path = folder / "result.json"
    try:
        content: Any = read_json(path)
        return int(content["networks"]["found"]["training"]["best_epoch"])
    except FileNotFoundError:
        raise CheckpointError(f"{path}: not found; finish the run first (run --resume)") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: damaged ({error!r:.80}); finish the run again (run --resume)") from None
