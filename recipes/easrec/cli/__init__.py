"""The commands of ``elasticnas easrec``."""

import typer

from easrec.cli.evaluate import evaluate
from easrec.cli.export import export
from easrec.cli.ids import ids
from easrec.cli.prepare import download, prepare
from easrec.cli.recommend import recommend
from easrec.cli.refit import refit
from easrec.cli.reproduce import reproduce
from easrec.cli.run import retrain, run, search
from easrec.cli.settings import config
from elasticnas.parallel import refuse

__all__ = ["commands"]

commands = typer.Typer(no_args_is_help=True)


@commands.callback()
def one_process(context: typer.Context) -> None:
    """Search, train, evaluate and use a compact sequential recommender."""
    if context.invoked_subcommand not in ("run", "search", "retrain"):
        refuse(f"elasticnas easrec {context.invoked_subcommand}", "start it without torchrun")


for command in (run, prepare, download, search, retrain, evaluate, refit, recommend, ids, export, reproduce):
    commands.command()(command)
commands.add_typer(config, name="config")
