"""EASRec: elastic architecture search for sequential recommenders (arXiv:2402.00390), as a recipe of elasticnas."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from easrec.artifact import Recommender
    from easrec.config import Config
    from easrec.model import EASRecModel
    from easrec.presets import load_preset
    from easrec.running import run
    from easrec.space import space_for

__all__ = ["Config", "EASRecModel", "Recommender", "load_preset", "run", "space_for"]

if find_spec("polars") is None:
    raise ModuleNotFoundError("polars is not installed; pip install 'elasticnas[easrec]'")

# loaded on first use: the command line lists the recipe without importing torch and polars
_HOMES = {
    "Config": "config",
    "EASRecModel": "model",
    "Recommender": "artifact",
    "load_preset": "presets",
    "run": "running",
    "space_for": "space",
}

if not TYPE_CHECKING:  # type checkers would accept every misspelt name

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name in _HOMES:
            return getattr(import_module(f"easrec.{_HOMES[name]}"), name)
        raise AttributeError(f"module 'easrec' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
