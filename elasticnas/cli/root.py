"""The root of the command line: spaces, plug-ins, and one command group per installed recipe."""

import io
import os
import signal
import sys
import warnings
from collections.abc import Callable
from functools import cached_property, partial
from types import FrameType
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

import elasticnas
from elasticnas.cli.compare import compare
from elasticnas.errors import ElasticNASError, printable
from elasticnas.plugins import BUILT_IN, RECIPES, SPACES, STRATEGIES, discover, listed, load_plugin

__all__ = ["run"]

_NAME, _COMPLETING = "elasticnas", "_ELASTICNAS_COMPLETE"


def _version(show: bool) -> None:
    if show:
        typer.echo(f"elasticnas {elasticnas.__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Neural architecture search on transformers."""


def _plugins() -> None:
    """List installed spaces, strategies and recipes, and the reason for each one that cannot be used."""
    from elasticnas.report import figures_table, open_console  # imports torch

    console, broken = open_console(), []
    for group in (SPACES, STRATEGIES, RECIPES):
        table = figures_table([group.rpartition(".")[2], "target (package)"], labels=2)
        for each in discover(group):
            table.add_row(escape(each.name), escape(f"{each.target} ({each.distribution})"))
            broken += [each] if each.error else []
        console.print(table)
        console.print()
    for each in broken:
        line = printable(f"broken: {each.name} ({each.target}), {each.error}")
        console.print(line, highlight=False, markup=False, soft_wrap=True)


class _LazyGroup(TyperGroup):
    """A command group that builds its commands, and imports what they need, when it is entered."""

    def __init__(self, name: str, help: str, commands: Callable[[], typer.Typer]) -> None:
        super().__init__(name=name, help=help)
        self._commands = commands

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Return the context of the built group, which runs, shows help and completes."""
        group = typer.main.get_group(self._commands())
        signal.signal(signal.SIGINT, _interrupted)  # imports are done, so an exception stops a run cleanly
        return group.make_context(info_name, args, parent=parent, **extra)


class _Root(TyperGroup):
    """The commands of elasticnas, and one group per installed recipe."""

    @cached_property
    def _recipes(self) -> dict[str, str | None]:
        return dict(listed())

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Return the names of all commands, built-in ones first."""
        return [*BUILT_IN, *self._recipes]

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        """Return a command, or a group that has not built its commands yet; None if the name is unknown."""
        if cmd_name == "space":
            return _LazyGroup("space", "Show, check and sample search spaces.", _spaces)
        if cmd_name in self.commands or cmd_name not in self._recipes:
            return super().get_command(ctx, cmd_name)
        help = self._recipes[cmd_name] or "Cannot be loaded; see elasticnas plugins."
        return _LazyGroup(cmd_name, help, partial(_recipe, cmd_name))


def _app() -> typer.Typer:
    app = typer.Typer(
        name="elasticnas", cls=_Root, callback=_root, no_args_is_help=True, pretty_exceptions_enable=False
    )
    app.command("plugins")(_plugins)
    app.command("compare")(compare)
    return app


def _spaces() -> typer.Typer:
    from elasticnas.cli.space import spaces

    return spaces


def _recipe(name: str) -> typer.Typer:
    commands: typer.Typer = load_plugin(RECIPES, name).commands
    return commands


def run() -> None:
    """Run the command line; print every error that a caller can cause as one line."""
    warnings.showwarning = _warn
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # ids may hold characters that the terminal cannot encode
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            _app()(prog_name=_NAME)
        finally:
            sys.stdout.flush()
    except ElasticNASError as error:
        if _COMPLETING in os.environ:  # the shell would read the message as a completion
            sys.exit(1)
        # errors of the library name Python arguments
        _fail(str(error).replace("resume=True", "--resume").replace("run_code=True", "--run-code"))
    except BrokenPipeError:  # the reader, such as head, closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.filename is not None:
            _fail(f"{error.filename}: {error.strerror or error}; check this path")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _fail(f"the output cannot be written, {error.strerror or error}")


def _interrupted(number: int, frame: FrameType | None) -> None:
    print("stopped; finished work is kept, --resume continues a run", file=sys.stderr)
    sys.exit(130)


def _fail(message: str) -> None:
    print(f"error: {printable(message)}", file=sys.stderr)
    sys.exit(1)


def _warn(message: Warning | str, *rest: object, **more: object) -> None:
    if os.environ.get("RANK", "0") == "0":  # one of the processes of torchrun: all of them have the same warnings
        print(f"warning: {printable(str(message))}", file=sys.stderr)
