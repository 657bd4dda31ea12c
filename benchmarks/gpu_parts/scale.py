"""Sizes of the GPU benchmark: the paper's, and tiny ones to rehearse on any machine."""

from dataclasses import dataclass

from easrec.config import ModelConfig

__all__ = ["FULL", "TINY", "Scale"]


@dataclass(frozen=True)
class Scale:
    """Sizes of the measurements.

    Attributes:
        preset: Preset of the run of EASRec.
        settings: Its settings that differ from the preset.
        model: The supernet of the timings.
        items: Its number of items.
        batch: Sequences in a training step.
        rounds: Rounds of each timing.
        lengths: Lengths of sequences for LinRec and fused attention.
        losses: Rows and items of each loss.
        contracts: Number of contracts of the law; None for all.
    """

    preset: str
    settings: dict[str, object]
    model: ModelConfig
    items: int
    batch: int
    rounds: int
    lengths: tuple[int, ...]
    losses: tuple[tuple[int, int], ...]
    contracts: int | None = None


_FAST = {"train.precision": "bfloat16", "search.batch": 128, "train.batch": 128}
FULL = Scale(
    "ml-1m", _FAST, ModelConfig(), 3706, 128, 30, (50, 200, 800, 2000, 4000, 8000), ((25_600, 3_706), (8_192, 100_000))
)
"""The paper's sizes: d = 128, D = 256, N = 200, 4 layers, 4 heads; ML-1M."""

_LITTLE: dict[str, object] = {"model.hidden": 16, "model.inner": 16, "model.layers": 1, "model.heads": 2}
_LITTLE |= {"model.length": 16, "search.epochs": 1, "train.epochs": 1, "search.random_architectures": 1}
TINY = Scale(
    "demo",
    {**_LITTLE, "train.precision": "bfloat16", "search.batch": 256, "train.batch": 256},
    ModelConfig(hidden=16, inner=16, layers=2, heads=2, length=16),
    50,
    2,
    2,
    (16, 32),
    ((64, 50),),
    contracts=3,
)
"""Sizes that any machine runs in a minute."""
