"""What a run is made of: its batches."""

from elasticnas.run.batches import BatchStream
from elasticnas.run.epoch import Batches, one_epoch

__all__ = ["BatchStream", "Batches", "one_epoch"]
