"""Sizes of the measurements: those of MovieLens 1M, with fewer rounds, or tiny ones to check that everything runs."""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from easrec.config import ModelConfig

__all__ = ["FULL", "QUICK", "TINY", "Scale"]


@dataclass(frozen=True)
class Scale:
    """Sizes and numbers of rounds.

    Attributes:
        hidden: d of the largest network; inner, heads, length and layers are its further sizes.
        items: Number of items V.
        batch: Number of windows in a training step.
        together: Number of sequences in an inference batch.
        rounds: Rounds of computations that take about a second.
        single_rounds: Rounds of computations that take milliseconds.
        limit_s: Time limit in seconds for the rounds of one comparison.
        lengths: N of the long sequences, at least three; a network is trained on the longest.
        catalogues: V of the large catalogues.
        positions: N of their training step of 8 windows.
        matmul: Size of the square matrices that define the machine's peak.
        search_steps: Steps per epoch of a search.
        backend: Backend of torch.compile.
        data: File of interactions; None for random ones.
    """

    hidden: int = 128
    inner: int = 256
    heads: int = 4
    length: int = 200
    layers: int = 4
    items: int = 3706
    batch: int = 32
    together: int = 64
    rounds: int = 11
    single_rounds: int = 60
    limit_s: float = 240.0
    lengths: tuple[int, ...] = (200, 1_000, 5_000, 20_000)
    catalogues: tuple[int, ...] = (165_000, 1_000_000)
    positions: int = 50
    matmul: int = 2048
    search_steps: int = 10
    backend: str = "inductor"
    data: str | None = None

    def config(self, **changes: Any) -> ModelConfig:
        """Return the config of the supernet, with the gates of the preset ``ml-1m``."""
        named = {name: getattr(self, name) for name in ("hidden", "inner", "heads", "length", "layers")}
        settings = named | {"gate_input": "position", "gate_rank": min(32, self.hidden // 2)} | changes
        return ModelConfig.model_validate(settings)

    def ids(self, batch: int) -> Tensor:
        """Return random ids ``(batch, N)`` without padding."""
        generator = torch.Generator().manual_seed(0)
        return torch.randint(1, self.items + 1, (batch, self.length), generator=generator)

    def on(self, data: Path | None) -> "Scale":
        """Return the same sizes with the interactions of a file."""
        return self if data is None else replace(self, data=str(data))

    def record(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def of(cls, record: dict[str, Any]) -> "Scale":
        """Restore from plain data; lists become tuples."""
        names = {each.name for each in fields(cls)}
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in record.items() if k in names})


FULL = Scale()
QUICK = Scale(
    rounds=3, single_rounds=20, limit_s=20.0, lengths=(200, 1_000, 4_000), catalogues=(50_000,), search_steps=2
)  # fmt: skip
TINY = Scale(
    hidden=16, inner=32, heads=2, length=12, layers=2, items=40, batch=4, together=4, rounds=3, single_rounds=5,
    lengths=(20, 40, 80), catalogues=(300,), positions=6, matmul=64, search_steps=2, backend="aot_eager",
)  # fmt: skip
