"""Reads settings, data and model from the folder of a run, and checks that they belong together."""

from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from easrec.artifact import Recommender
from easrec.config import Config
from easrec.data import Interactions
from elasticnas.errors import ConfigError, DataError, one_line
from elasticnas.files import read_json

__all__ = ["config_of", "data_of", "recommender_of"]


def config_of(out: Path) -> Config:
    """Read the settings of the run in a folder.

    Raises:
        ConfigError: There is no run, or ``run.json`` is damaged.
    """
    try:
        return Config.model_validate(_run_of(out)["settings"])
    except ValidationError as error:
        raise ConfigError(f"{out / 'run.json'}: {one_line(Config, error)}; run again into another folder") from None


def data_of(out: Path) -> Interactions:
    """Read the data of the run in a folder.

    Raises:
        ConfigError: There is no run.
        DataError: ``data.npz`` is missing, damaged, or belongs to another run.
    """
    run = _run_of(out)
    data = Interactions.load(out / "data.npz")
    if data.fingerprint_of(config_of(out).model.uses_times) != run["data"]:
        raise DataError(f"{out / 'data.npz'}: is not the data of the run in this folder; run again")
    return data


def recommender_of(out: Path, device: torch.device | None = None, data: Interactions | None = None) -> Recommender:
    """Load the model in a folder and check that it belongs to the run there, unless there is only ``model/``."""
    recommender = Recommender.load(out, device)
    if (out / "run.json").exists():
        if data is None and (out / "data.npz").exists():
            data = data_of(out)
        fingerprint = _run_of(out)["data"]
        recommender.require_run(out, config_of(out), None if data is None else data.item_ids, fingerprint)
    return recommender


def _run_of(out: Path) -> dict[str, Any]:
    path = out / "run.json"
    try:
        content = read_json(path)
        return {"data": str(content["data"]), "settings": dict(content["settings"])}
    except FileNotFoundError:
        raise ConfigError(f"{path}: not found; give the folder of a run by --out") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: damaged ({str(error).splitlines()[0]}); run again into another folder") from None
