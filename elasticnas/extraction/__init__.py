"""Extraction of plain networks from supernets, verification, saving and loading."""

from elasticnas.extraction.batchnorm import recalibrate
from elasticnas.extraction.bind import bind, bind_unverified
from elasticnas.extraction.extract import extract, extract_unverified
from elasticnas.extraction.inspect import axes_of, check
from elasticnas.extraction.sameness import Sameness
from elasticnas.extraction.storage import load, save

__all__ = [
    "Sameness",
    "axes_of",
    "bind",
    "bind_unverified",
    "check",
    "extract",
    "extract_unverified",
    "load",
    "recalibrate",
    "save",
]
