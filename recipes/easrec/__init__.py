"""EASRec: elastic architecture search for sequential recommenders (arXiv:2402.00390), as a recipe of elasticnas."""

__all__ = ["Config", "EASRec", "Recommender", "load_preset", "space_for"]

try:
    import polars as _polars  # noqa: F401
except ModuleNotFoundError:
    raise ModuleNotFoundError("polars is not installed; pip install 'elasticnas[easrec]'") from None

from easrec.artifact import Recommender
from easrec.config import Config
from easrec.model import EASRec
from easrec.presets import load_preset
from easrec.space import space_for
