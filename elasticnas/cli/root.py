"""The root of the command line: plug-ins, spaces, and every installed recipe as a group of its own."""

import io
import os
import signal
import sys
import warnings
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import elasticnas
from elasticnas.errors import ElasticNASError
from elasticnas.plugins import RECIPES, SPACES, STRATEGIES, discover, listed, load_plugin

__all__ = ["run"]


def _version(show: bool) -> None:
    if show:
        typer.echo(f"elasticnas {elasticnas.__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Neural architecture search on transformers."""


def _plugins() -> None:
    """List installed spaces, strategies and recipes, broken ones with the reason."""
    table = Table("group", "name", "package", "target", "status")
    for group in (SPACES, STRATEGIES, RECIPES):
        for plugin in discover(group):
            kind = group.rpartition(".")[2]
            table.add_row(kind, *map(escape, (plugin.name, plugin.distribution, plugin.target, plugin.error or "ok")))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _app() -> typer.Typer:
    app = typer.Typer(
        name="elasticnas", callback=_root, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
    )
    app.command("plugins")(_plugins)
    _mount(app, "space", "Show, check and sample search spaces.", _spaces)
    for name, summary in listed():
        help = summary or "Cannot be loaded; elasticnas plugins says why."
        _mount(app, name, help, partial(_recipe, name))
    return app


def _spaces() -> typer.Typer:
    from elasticnas.cli.space import spaces

    return spaces


def _recipe(name: str) -> typer.Typer:
    commands: typer.Typer = load_plugin(RECIPES, name).commands
    return commands


def _mount(app: typer.Typer, name: str, help: str, commands: Callable[[], typer.Typer]) -> None:
    """A group whose commands, and the imports that they need, are made when it is the one that is run."""

    def enter(context: typer.Context) -> None:
        group = typer.main.get_group(commands())
        signal.signal(signal.SIGINT, _interrupted)  # imports are over: a run can be stopped in order
        group.main(args=context.args, prog_name=context.command_path)

    # whatever follows the name, --help included, is the group's
    everything = {
        "allow_extra_args": True,
        "allow_interspersed_args": False,
        "ignore_unknown_options": True,
        "help_option_names": [],
    }
    app.command(name, help=help, context_settings=everything)(enter)


def run() -> None:
    """Run the command that the arguments name; every failure that a caller can cause is one line."""
    warnings.showwarning = _warn
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # ids of any script, whatever the terminal's encoding holds
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            _app()()
        finally:
            sys.stdout.flush()
    except ElasticNASError as error:
        _fail(str(error).replace("resume=True", "--resume"))  # the library words its errors for Python
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if sys.stdout.writable() and error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _fail(f"the output cannot be written, {error.strerror or error}")


def _interrupted(number: int, frame: FrameType | None) -> None:
    print("stopped; what was done is kept, --resume continues a run", file=sys.stderr)
    sys.exit(130)


def _fail(message: str) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(1)


def _warn(message: Warning | str, *rest: object, **more: object) -> None:
    print(f"warning: {message}", file=sys.stderr)
