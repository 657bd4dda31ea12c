"""The entry point of the recipe."""

import typer

__all__ = ["recipe"]


class _Recipe:
    name = "charlm"
    summary = "Charlm: a small language model of your text files, searched and compared with uniformly scaled ones."

    @property
    def commands(self) -> typer.Typer:
        """The commands, mounted as ``elasticnas charlm``."""
        from elasticnas_recipes.charlm.cli import commands

        return commands


recipe = _Recipe()
