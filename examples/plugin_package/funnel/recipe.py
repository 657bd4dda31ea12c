"""The recipe, mounted as ``elasticnas funnel``: the largest perceptron within a budget."""

from typing import Annotated, Any

import torch
import typer
from torch import nn

import elasticnas.nn as enn
from elasticnas.cost import Flops
from elasticnas.errors import BudgetError
from funnel.space import Funnel

__all__ = ["perceptron", "recipe"]

commands = typer.Typer(no_args_is_help=True)


def perceptron(sizes: Any) -> nn.Module:
    """Return a perceptron, ``(B, 16) -> (B, 2)``: a supernet from axes, a plain network from an architecture."""
    first, second = enn.Linear(16, sizes.first), enn.Linear(sizes.first, sizes.second)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), enn.Linear(sizes.second, 2))


@commands.command()
def largest(budget: Annotated[float, typer.Option(min=1, help="FLOPs of one row.")]) -> None:
    """Show the largest architecture within a budget."""
    cost = Flops(perceptron(Funnel.axes()), torch.zeros(1, 16))
    costs = {arch: cost(arch) for arch in Funnel.enumerate()}
    within = [arch for arch in costs if costs[arch] <= budget]
    if not within:
        # the command line prints a user's mistake as one line and exits with code 1
        raise BudgetError(
            f"--budget {budget:g}: the smallest funnel needs {min(costs.values()):,.0f} FLOPs; raise the budget"
        )
    best = max(within, key=costs.__getitem__)
    typer.echo(f"{best!r}: {costs[best]:,.0f} FLOPs")


class _Recipe:
    name, summary, commands = "funnel", "Perceptrons with decreasing widths, within a budget.", commands


recipe = _Recipe()
