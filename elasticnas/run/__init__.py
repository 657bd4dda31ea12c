"""Runs: folders of long work, checkpoints and resuming, progress, and sources of batches."""

from elasticnas.run.batches import BatchStream
from elasticnas.run.driver import PlainState, Stateful, Work, drive
from elasticnas.run.epoch import Batches, one_epoch
from elasticnas.run.generators import Generators
from elasticnas.run.progress import Progress
from elasticnas.run.reporting import ProgressOption
from elasticnas.run.run import Run

__all__ = [
    "BatchStream",
    "Batches",
    "Generators",
    "PlainState",
    "Progress",
    "ProgressOption",
    "Run",
    "Stateful",
    "Work",
    "drive",
    "one_epoch",
]
