"""Interactions: formats, preparation, split, and training samples."""

from easrec.data.dataset import Interactions, Statistics, prepare
from easrec.data.formats import FORMATS
from easrec.data.readers import read_interactions
from easrec.data.split import Sequences, Split, hold_out_users
from easrec.data.windows import Batch, count_batches, pad, training_batches

__all__ = [
    "FORMATS",
    "Batch",
    "Interactions",
    "Sequences",
    "Split",
    "Statistics",
    "count_batches",
    "hold_out_users",
    "pad",
    "prepare",
    "read_interactions",
    "training_batches",
]
