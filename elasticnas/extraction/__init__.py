"""Extraction of plain networks, their verification, and their files."""

from elasticnas.extraction.extract import extract, unverified
from elasticnas.extraction.inspect import axes_of, check
from elasticnas.extraction.storage import load, save
from elasticnas.files import write_bytes, write_text

__all__ = ["axes_of", "check", "extract", "load", "save", "unverified", "write_bytes", "write_text"]
