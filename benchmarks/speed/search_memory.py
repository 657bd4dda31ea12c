"""Whether the memory of a search grows with its steps."""

from collections.abc import Callable

import torch

from easrec.config import Config, SearchConfig
from easrec.model import supernet
from easrec.pipeline import evaluators
from easrec.searching import search_architecture
from speed.interactions import random_split
from speed.measured import Measured, Row
from speed.own_process import in_own_process
from speed.scale import Scale

__all__ = ["TEXT", "TITLE", "measure", "searching"]

TITLE = "Memory of a search"
TEXT = (
    "Peak memory (the rise of the resident set in a process of its own) of a whole search by soft masks, evaluations "
    "and random architectures included, over three epochs and over nine. The first epochs are left out: there the "
    "allocator still fills."
)
_EPOCHS = (3, 9)
_TARGET = 1.05
_HELD_OUT = 0.1


def measure(scale: Scale) -> Measured:
    """A search against one that is three times as long."""
    found, used = Measured(), {}
    for epochs in _EPOCHS:
        used[epochs] = in_own_process("speed.search_memory:searching", scale, epochs=epochs)
        memory, steps = used[epochs]["memory_bytes"] / 2**20, epochs * scale.search_steps
        figure = {"form": f"{steps} steps", "ms": 1000 * used[epochs]["seconds"], "rounds": 1, "memory_mib": memory}
        found.figures.append(figure)
    short, long = (used[epochs]["memory_bytes"] for epochs in _EPOCHS)
    name = " / ".join(f"{epochs * scale.search_steps} steps" for epochs in reversed(_EPOCHS))
    found.rows.append(Row.counted(f"memory, {name}", long / short, _TARGET))
    return found


def searching(scale: Scale, epochs: int) -> Callable[[], object]:
    """A search over as many steps an epoch as the scale says."""
    data = random_split(scale, round(scale.search_steps * scale.batch / (1 - _HELD_OUT)))
    search = SearchConfig(
        epochs=epochs, batch=scale.batch, update_every=2, warmup=0.1, held_out_users=_HELD_OUT, random_architectures=2
    )
    config = Config(model=scale.config(mixing="mask"), search=search, negatives=min(100, scale.items // 2))
    model, validation = supernet(config.model, data.items, True), evaluators(data, config)["validation"]
    return lambda: search_architecture(model, data, validation, config, torch.device("cpu"))
