"""chosen_precision: the type in which a training multiplies matrices, from ``train.precision`` and the device."""

from typing import Literal

import torch

from easrec.config import Config

__all__ = ["Precision", "chosen_precision", "with_precision"]

Precision = Literal["float32", "bfloat16"]


def chosen_precision(setting: Literal["float32", "bfloat16", "auto"], device: torch.device) -> Precision:
    """Return the precision of a training; ``auto`` is ``bfloat16`` on CPUs with AMX, else ``float32``.

    AMX multiplies bfloat16 matrices several times as fast as float32 ones, with sums in float32: see
    ``docs/results/precision.md``. Other devices were not measured.
    """
    if setting != "auto":
        return setting
    return "bfloat16" if device.type == "cpu" and _has_amx() else "float32"


def with_precision(config: Config, device: torch.device) -> tuple[Config, str]:
    """Return the settings with ``auto`` replaced by what it chooses, and one line that says so; else an empty one.

    A run records the choice, since another machine may choose otherwise.
    """
    if config.train.precision != "auto":
        return config, ""
    chosen = chosen_precision("auto", device)
    why = "this CPU has AMX" if chosen == "bfloat16" else f"no AMX on this {device.type}"
    return config.updated({"train.precision": chosen}), f"train.precision=auto chooses {chosen}: {why}"


def _has_amx() -> bool:
    # versions of torch before 2.11 cannot tell
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16", False))
