"""Growth of a search's memory with its steps."""

from collections.abc import Callable

import torch

from easrec.config import Config, SearchConfig
from easrec.model import supernet
from easrec.pipeline import evaluators
from easrec.searching import search_architecture
from speed.interactions import random_split
from speed.measured import Measured, Row
from speed.scale import Scale
from speed.separate_process import in_separate_process

__all__ = ["TEXT", "TITLE", "measure", "searching"]

TITLE = "Memory of a search"
TEXT = (
    "Peak memory (increase of the resident set in a separate process) of a complete soft-mask search, including "
    "evaluations and random architectures, of nine epochs relative to three. Shorter searches are not compared, "
    "because the allocator's memory is still growing."
)
_EPOCHS = (3, 9)
_TARGET = 1.05
_HELD_OUT = 0.1


def measure(scale: Scale) -> Measured:
    """Compare a search with one that is three times as long."""
    found, used = Measured(), {}
    for epochs in _EPOCHS:
        used[epochs] = in_separate_process("speed.search_memory:searching", scale, epochs=epochs)
        memory, steps = used[epochs]["memory_bytes"] / 2**20, epochs * scale.search_steps
        figure = {"form": f"{steps} steps", "ms": 1000 * used[epochs]["seconds"], "rounds": 1, "memory_mib": memory}
        found.figures.append(figure)
    short, long = (used[epochs]["memory_bytes"] for epochs in _EPOCHS)
    name = " / ".join(f"{epochs * scale.search_steps} steps" for epochs in reversed(_EPOCHS))
    found.rows.append(Row.counted(f"memory, {name}", long / short, _TARGET))
    return found


def searching(scale: Scale, epochs: int) -> Callable[[], object]:
    """Return a function that runs a search with ``scale.search_steps`` steps per epoch."""
    data = random_split(scale, round(scale.search_steps * scale.batch / (1 - _HELD_OUT)))
    search = SearchConfig(
        epochs=epochs, batch=scale.batch, update_every=2, warmup=0.1, held_out_users=_HELD_OUT, random_architectures=2
    )
    config = Config(model=scale.config(mixing="mask"), search=search, negatives=min(100, scale.items // 2))
    model, validation = supernet(config.model, data.items, True), evaluators(data, config)["validation"]
    return lambda: search_architecture(model, data, validation, config, torch.device("cpu"))
