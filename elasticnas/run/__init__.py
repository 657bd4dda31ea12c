"""Runs: folders of long work, checkpoints and resuming, progress, and sources of batches."""

from elasticnas.run.batches import BatchStream
from elasticnas.run.driver import Kept, Stateful, Work, drive
from elasticnas.run.epoch import Batches, one_epoch
from elasticnas.run.generators import Generators
from elasticnas.run.progress import Progress
from elasticnas.run.reporting import Shown
from elasticnas.run.run import Run

__all__ = [
    "BatchStream",
    "Batches",
    "Generators",
    "Kept",
    "Progress",
    "Run",
    "Shown",
    "Stateful",
    "Work",
    "drive",
    "one_epoch",
]
