"""The command ``elasticnas``."""

from elasticnas.cli.main import main

__all__ = ["main"]
