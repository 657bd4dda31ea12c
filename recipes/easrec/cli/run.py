"""``run``, ``search`` and ``retrain``: from interactions to a trained recommender, in one step or two."""

import shlex
from pathlib import Path
from textwrap import fill
from typing import Annotated

import typer

from easrec.cli.folder import config_of, data_of
from easrec.cli.options import Budget, Preset, Set, takes_source
from easrec.conclusion import conclusion
from easrec.figures import still_improving, summary_table
from easrec.pipeline import Pipeline
from easrec.running import configured, pipeline
from easrec.sizes import is_wide, sizes_text
from easrec.source import Source
from easrec.steering import recommending
from elasticnas.cli.options import ConfigFile, Device, Out, Resume, Seed, Threads, changes_of
from elasticnas.errors import ConfigError, escaped
from elasticnas.parallel import rank
from elasticnas.report import open_console
from elasticnas.run import Run
from elasticnas.runtime import configure_torch, device_of

__all__ = ["retrain", "run", "search"]

_OUT = Path("runs/easrec")
All = Annotated[bool, typer.Option("--all", help="Show validation too, and all protocols.")]


@takes_source
def run(
    source: Source,
    preset: Preset = "default",
    config: ConfigFile = None,
    budget: Budget = None,
    seed: Seed = None,
    device: Device = "auto",
    out: Out = _OUT,
    resume: Resume = False,
    set: Set = None,
    threads: Threads = None,
    every: All = False,
    report: Annotated[bool, typer.Option(help="Write pareto.png and report.html, a page of plots.")] = True,
) -> None:
    """Search, extract, retrain, evaluate, compare and save, in one command."""
    work = _start(source, preset, config, budget, seed, device, out, resume, set, threads)
    _finish(work, out, every, report)


@takes_source
def search(
    source: Source,
    preset: Preset = "default",
    config: ConfigFile = None,
    budget: Budget = None,
    seed: Seed = None,
    device: Device = "auto",
    out: Out = _OUT,
    resume: Resume = False,
    set: Set = None,
    threads: Threads = None,
) -> None:
    """Search only. The command retrain continues from there."""
    work = _start(source, preset, config, budget, seed, device, out, resume, set, threads)
    searched = work.search()
    if rank() > 0:
        return
    if work.config.search.strategy == "none":
        typer.echo(
            f"search: none (search.strategy=none); elasticnas easrec retrain --out {out} trains the largest network"
        )
        return
    for name, arch in (("found", searched.found), ("random", searched.random)):
        said = sizes_text(arch) if is_wide(arch) else f"{arch!r}: hidden {arch.hidden}, inner {arch.inner}"
        typer.echo(f"{name + ':':<7} {said}")
    typer.echo(f"search: {out / 'search.json'}")


def retrain(
    out: Out = _OUT,
    device: Device = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume the run in the folder. This command always does.")
    ] = False,
    threads: Threads = None,
    every: All = False,
) -> None:
    """Extract and train what a search in the folder found; evaluate, compare and save it."""
    searched = (out / "supernet.ckpt").exists()
    if not searched and not ((out / "run.json").exists() and config_of(out).search.strategy == "none"):
        raise ConfigError(f"{out}: no finished search there; run elasticnas easrec search --out {out} first")
    configure_torch(threads)
    work = Pipeline(
        data_of(out), config_of(out), Run(out, resume=True, parallel="ddp"), device_of(device), open_console()
    )
    _finish(work, out, every)


def _start(
    source: Source,
    preset: str,
    file: Path | None,
    budget: str | None,
    seed: int | None,
    device: str,
    out: Path,
    resume: bool,
    changes: list[str] | None,
    threads: int | None,
) -> Pipeline:
    config = configured(preset, file, budget, seed, changes_of(changes))
    return pipeline(source, preset, config, Run(out, resume=resume, parallel="ddp"), device, threads, open_console())


def _shown(users: list[str]) -> str:
    """Return the first user id that a terminal shows as it is."""
    return next((user for user in users if user.isprintable()), escaped(users[0]))


def _finish(work: Pipeline, out: Path, every: bool, report: bool = True) -> None:
    """Run the remaining stages; then print the table of networks, and the outcome in one sentence."""
    result, console = work.run_all(report), work.console
    if rank() > 0:
        return
    console.print(summary_table(result, every=every))
    if line := still_improving(result):
        console.print(line, highlight=False)
    written = [out / name for name in ("result.md", "result.json", "report.html") if (out / name).exists()]
    picture = out / "pareto.png"
    typer.echo(f"\nresult: {', '.join(map(str, written))}")
    typer.echo(f"model:  {out / 'model'}")
    command = [*recommending(work.config, out), "--user", _shown(work.data.user_ids)]
    typer.echo(f"next:   {shlex.join(command)}\n")
    # do not break paths, so that they can be copied
    sentence = conclusion(result, picture if picture.exists() else None)
    typer.echo(fill(sentence, console.width, break_long_words=False, break_on_hyphens=False))
