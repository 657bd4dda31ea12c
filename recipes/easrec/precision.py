"""chosen_precision: the type in which a training multiplies matrices, from ``train.precision`` and the device."""

from collections.abc import Collection
from typing import Literal

import torch

from easrec.config import Config, ModelConfig

__all__ = ["Precision", "attention_kinds", "chosen_precision", "with_precision"]

Precision = Literal["float32", "bfloat16"]

_AS_ACCURATE = frozenset({"softmax", "none"})


def attention_kinds(model: ModelConfig) -> frozenset[str]:
    """Return the kinds of attention that a network with these settings, or a sub-network of it, can have."""
    if model.space == "wide":
        return frozenset(model.wide.attention)
    return frozenset(model.attention_choices or (model.attention,))


def chosen_precision(
    setting: Literal["float32", "bfloat16", "auto"], device: torch.device, attention: Collection[str]
) -> Precision:
    """Return the precision of a training.

    ``auto`` is ``bfloat16`` for softmax attention on CPUs with AMX, which multiplies bfloat16 matrices several times
    as fast as float32 ones, with sums in float32; else ``float32``. See ``docs/results/precision.md``: with LinRec,
    equal accuracy was not shown; other kinds of attention and other devices were not measured.

    Args:
        setting: ``train.precision``.
        device: Device of the training.
        attention: Kinds of attention in the network, from :func:`attention_kinds`.
    """
    if setting != "auto":
        return setting
    fast = device.type == "cpu" and _has_amx()
    return "bfloat16" if fast and _AS_ACCURATE.issuperset(attention) else "float32"


def with_precision(config: Config, device: torch.device) -> tuple[Config, str]:
    """Return the settings with ``auto`` replaced by what it chooses, and one line that says so; else an empty one.

    A run records the choice, since another machine may choose otherwise.
    """
    if config.train.precision != "auto":
        return config, ""
    kinds = attention_kinds(config.model)
    chosen = chosen_precision("auto", device, kinds)
    if chosen == "bfloat16":
        why = "softmax attention, and this CPU has AMX"
    elif others := sorted(kinds - _AS_ACCURATE):
        why = f"bfloat16 is not shown to be as accurate with {' and '.join(others)}"
    else:
        why = f"no AMX on this {device.type}"
    return config.updated({"train.precision": chosen}), f"train.precision=auto chooses {chosen}: {why}"


def _has_amx() -> bool:
    # versions of torch before 2.11 cannot tell
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16", False))
