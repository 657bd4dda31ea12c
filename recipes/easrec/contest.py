"""The task of ``elasticnas compare`` on interactions: the wide space against the hand-made network."""

from typing import Any

import torch
from rich.console import Console

from easrec.config import Config
from easrec.data import Interactions
from easrec.parts import parts
from easrec.presets import load_preset
from easrec.source import Source
from elasticnas.study import Study

__all__ = ["task"]


def task(seed: int, device: torch.device, data: str, settings: dict[str, Any] | None = None) -> Study[Any]:
    """Return the study of prepared interactions with a seed.

    Args:
        seed: Seed of weights, batches and architectures.
        device: Device of the supernet.
        data: File of interactions.
        settings: Changes to the preset ``wide``, by dotted name; batches are those of ``search.batch``.
    """
    config = load_preset("wide", settings)
    made = parts(_interactions(data, config), config, seed, device)
    return Study(made.problem, made.build, made.scaled, made.test, made.example, name="easrec")


def _interactions(path: str, config: Config) -> Interactions:
    return Source(path).load("wide", config, Console(quiet=True))
