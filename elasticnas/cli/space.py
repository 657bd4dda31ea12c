"""``elasticnas space``: show, check and sample search spaces."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer
import yaml
from rich.markup import escape

from elasticnas.errors import ArchitectureError, SpaceError
from elasticnas.files import read_text
from elasticnas.plugins import SPACES, load_plugin
from elasticnas.report import figures_table, open_console
from elasticnas.space import Space, TooManyCombinations, load_space

__all__ = ["spaces"]

spaces = typer.Typer(no_args_is_help=True)
Source = Annotated[
    str, typer.Argument(help="Space: a .yaml file, module:Class, file.py:Class, or the name of an installed space.")
]

RunCode = Annotated[
    bool,
    typer.Option("--run-code", help="Import the module that a space file names, which runs its code. Only if trusted."),
]


def _load(source: str, run_code: bool) -> type[Space]:
    if ":" in source or source.endswith((".yaml", ".yml", ".json")):
        return load_space(source, run_code)
    space: type[Space] = load_plugin(SPACES, source)
    return space


def _derived(space: type[Space], name: str) -> Iterator[tuple[str, str]]:
    """Yield each size that a property gives, by name, with its options as text."""
    try:
        for label, quantity in space.info().derived(name).items():
            yield label, ", ".join(map(str, quantity.options))
    except TooManyCombinations:
        yield name, "too many to list"


@spaces.command()
def show(source: Source, run_code: RunCode = False) -> None:
    """Show the choices, the sizes derived from them, and the number of architectures."""
    space = _load(source, run_code)
    table = figures_table(["choice", "options"], space.__name__, labels=2)
    choices = space.choices()
    for name, options in choices.items():
        table.add_row(escape(name), escape(", ".join(map(str, options))))
    for name in space.info().properties:
        for label, values in _derived(space, name):
            table.add_row(escape(f"{label} (derived)"), escape(values))
    open_console().print(table)
    try:
        count = f"{space.size():,}"
    except SpaceError:
        count = "too many to count"
    typer.echo(f"architectures: {count}")
    typer.echo(f"largest:  {space.largest()!r}")
    typer.echo(f"smallest: {space.smallest()!r}")


@spaces.command()
def check(
    source: Source,
    architecture: Annotated[Path | None, typer.Argument(help="YAML or JSON file of an architecture.")] = None,
    run_code: RunCode = False,
) -> None:
    """Check that a space is valid, and that an architecture belongs to it."""
    space = _load(source, run_code)
    largest = space.largest()
    for name in space.info().properties:
        list(_derived(space, name))
    if architecture is None:
        typer.echo(f"ok: {space.__name__} is a valid space; its largest architecture is {largest!r}")
        return
    try:
        arch = space.from_yaml(read_text(architecture))
    except (OSError, UnicodeDecodeError) as error:
        raise ArchitectureError(f"{architecture}: cannot be read ({error})") from None
    except ArchitectureError as error:
        raise ArchitectureError(f"{architecture}: {error}") from None
    typer.echo(f"ok: {arch!r}")


@spaces.command()
def sample(
    source: Source,
    count: Annotated[int, typer.Option(min=1, help="Number of architectures.")] = 1,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    format: Annotated[
        Literal["yaml", "json"], typer.Option(help="yaml: one document each; json: one object per line.")
    ] = "yaml",
    run_code: RunCode = False,
) -> None:
    """Sample random architectures."""
    space, rng = _load(source, run_code), random.Random(seed)
    drawn = [space.sample(rng).model_dump(mode="json") for _ in range(count)]
    if format == "json":
        for arch in drawn:
            typer.echo(json.dumps(arch))
    else:
        typer.echo(yaml.safe_dump_all(drawn, sort_keys=False), nl=False)
