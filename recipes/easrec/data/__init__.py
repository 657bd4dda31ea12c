"""Interactions and features of items: formats, preparation, split, and training samples."""

from easrec.data.columns import Columns
from easrec.data.dataset import Interactions, Statistics
from easrec.data.features import ItemFeatures, number_features
from easrec.data.formats import FORMATS, Format, Layout, known_formats
from easrec.data.frames import DataFrame, read_frame
from easrec.data.items import read_items
from easrec.data.partition import Partition
from easrec.data.preparing import TieBreak, prepare
from easrec.data.readers import read_interactions
from easrec.data.repeats import repeat_targets
from easrec.data.split import Sequences, Split, hold_out_users
from easrec.data.splitting import SplitRule
from easrec.data.windows import Batch, count_batches, pad, times_of, training_batches

__all__ = [
    "FORMATS",
    "Batch",
    "Columns",
    "DataFrame",
    "Format",
    "Interactions",
    "ItemFeatures",
    "Layout",
    "Partition",
    "Sequences",
    "Split",
    "SplitRule",
    "Statistics",
    "TieBreak",
    "count_batches",
    "hold_out_users",
    "known_formats",
    "number_features",
    "pad",
    "prepare",
    "read_frame",
    "read_interactions",
    "read_items",
    "repeat_targets",
    "times_of",
    "training_batches",
]
