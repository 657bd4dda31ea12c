"""The entry point of the recipe."""

import typer

__all__ = ["recipe"]


class _Recipe:
    name = "easrec"
    summary = "EASRec: search, train, evaluate and use a compact sequential recommender."

    @property
    def commands(self) -> typer.Typer:
        """The commands, mounted as ``elasticnas easrec``."""
        from easrec.cli import commands

        return commands


recipe = _Recipe()
