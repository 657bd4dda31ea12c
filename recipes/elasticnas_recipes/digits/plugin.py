"""The entry point of the recipe."""

import typer

__all__ = ["recipe"]


class _Recipe:
    name = "digits"
    summary = "Digits: a small vision transformer, searched and compared with uniformly scaled ones."

    @property
    def commands(self) -> typer.Typer:
        """The commands, mounted as ``elasticnas digits``."""
        from elasticnas_recipes.digits.cli import commands

        return commands


recipe = _Recipe()
