"""``elasticnas easrec``: run, prepare, search, retrain, evaluate, recommend, export, reproduce."""

import csv
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from easrec.artifact import Recommender
from easrec.config import Config
from easrec.data import FORMATS, Interactions, Split
from easrec.data.download import SOURCES, download
from easrec.evaluation import METRICS, PROTOCOLS, without_popularity
from easrec.pipeline import Pipeline, evaluators
from easrec.presets import load_preset, preset_names
from easrec.reproduce import SCALES, TABLES, reproduce
from easrec.source import Source, show_statistics
from easrec.streaming import Live
from elasticnas.cli.options import Device, Out, Resume, Seed, Set, Threads, changes_of
from elasticnas.errors import ConfigError, DataError, one_line
from elasticnas.report import Stage
from elasticnas.run import Run
from elasticnas.runtime import configure_torch, device_of

__all__ = ["commands"]

commands = typer.Typer(no_args_is_help=True)

Data = Annotated[Path | None, typer.Option(help="File of interactions; only --preset demo generates its own.")]
Preset = Annotated[str, typer.Option(help=f"One of {', '.join(preset_names())}.")]
Budget = Annotated[
    str | None, typer.Option(help="FLOPs: '50%' of the largest network, a number such as 2M, or 'none'.")
]
User = Annotated[str | None, typer.Option(help="Column of the user.")]
Item = Annotated[str | None, typer.Option(help="Column of the item, in the items file too.")]
Time = Annotated[str | None, typer.Option(help="Column of the time; without one, row order.")]
Items = Annotated[Path | None, typer.Option(help="File of items with their features: CSV, TSV, Parquet or movies.dat.")]
Features = Annotated[
    list[str] | None, typer.Option(help="Column of the items file that holds features; may be given several times.")
]
Separator = Annotated[str, typer.Option(help="What stands between the features in a cell.")]
Format = Annotated[str, typer.Option(help=f"auto, or one of {', '.join(FORMATS)}.")]


def _config(preset: str, budget: str | None, seed: int | None, changes: list[str] | None) -> Config:
    given = changes_of(changes)
    if budget is not None:
        given["search.budget"] = budget
    if seed is not None:
        given["seed"] = seed
    return load_preset(preset, given)


def _start(
    source: Source,
    preset: str,
    budget: str | None,
    seed: int | None,
    device: str,
    out: Path,
    resume: bool,
    changes: list[str] | None,
    threads: int | None,
) -> Pipeline:
    console = Console(width=None if Console().is_terminal else 110)
    config, where = _config(preset, budget, seed, changes), device_of(device)
    configure_torch(threads)
    found = source.load(preset, config, console)
    if found.features is not None and not config.model.has_features:
        console.print(f"features are not used: model.backbone is {config.model.backbone}", highlight=False)
    return Pipeline(found, config, Run(out, resume=resume), where, console)


@commands.command()
def run(
    data: Data = None,
    preset: Preset = "default",
    budget: Budget = None,
    seed: Seed = None,
    device: Device = "auto",
    out: Out = Path("runs/easrec"),
    resume: Resume = False,
    set: Set = None,
    user: User = None,
    item: Item = None,
    time: Time = None,
    format: Format = "auto",
    items: Items = None,
    features: Features = None,
    feature_separator: Separator = "|",
    threads: Threads = None,
    report: Annotated[bool, typer.Option(help="Write report.html, a page of plots.")] = True,
) -> None:
    """Everything: search, extract, retrain, evaluate, compare, save."""
    source = Source(data, user, item, time, format, items, tuple(features or ()), feature_separator)
    work = _start(source, preset, budget, seed, device, out, resume, set, threads)
    work.run_all(report)
    _say_where(out)


def _say_where(out: Path) -> None:
    typer.echo(f"result: {out / 'result.json'}")
    typer.echo(f"model:  {out / 'model'}  (elasticnas easrec recommend --out {out} --user ID)")


@commands.command("prepare")
def prepare_(
    data: Annotated[Path, typer.Option(help="File of interactions.")],
    out: Annotated[Path, typer.Option(help="File to write, .npz; --data takes it.")] = Path("data.npz"),
    preset: Annotated[
        str | None, typer.Option(help=f"Take --min-user and --min-item from one of {', '.join(preset_names())}.")
    ] = None,
    min_user: Annotated[int | None, typer.Option(min=0, help="Fewest interactions of a user.")] = None,
    min_item: Annotated[int | None, typer.Option(min=0, help="Fewest interactions of an item.")] = None,
    user: User = None,
    item: Item = None,
    time: Time = None,
    format: Format = "auto",
    items: Items = None,
    features: Features = None,
    feature_separator: Separator = "|",
) -> None:
    """Read, filter and order interactions once, with features of items where asked for, and show their statistics."""
    if out.suffix != ".npz":
        raise ConfigError(f"--out {out}: the prepared data is one .npz file")
    config = Config() if preset is None else load_preset(preset)
    least_user = config.min_user if min_user is None else min_user
    least_item = config.min_item if min_item is None else min_item
    source = Source(data, user, item, time, format, items, tuple(features or ()), feature_separator)
    found = source.read(least_user, least_item)
    found.save(out)
    show_statistics(found, Console(width=None if Console().is_terminal else 110))
    typer.echo(f"prepared: {out}")


@commands.command("download")
def download_(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(SOURCES)}.")],
    out: Annotated[Path, typer.Option(help="Folder to put it in.")] = Path("data"),
) -> None:
    """Download a public dataset and check it against its published checksum."""
    if name not in SOURCES:
        raise ConfigError(f"no dataset {name!r}; choose one of {', '.join(SOURCES)}")
    source, started = SOURCES[name], time.monotonic()
    with Stage(Console(), f"download {name}") as stage:

        def show(done: int, total: int | None) -> None:
            left = 0.0 if not total else (time.monotonic() - started) * (total - done) / max(1, done)
            stage.update(done / total if total else 0.0, f"{done / 1e6:.0f} MB", left)

        path = download(source, out, show)
    typer.echo(source.terms)
    typer.echo(f"next: elasticnas easrec run --data {path} --preset {name} --out runs/{name}")


@commands.command()
def search(
    data: Data = None,
    preset: Preset = "default",
    budget: Budget = None,
    seed: Seed = None,
    device: Device = "auto",
    out: Out = Path("runs/easrec"),
    resume: Resume = False,
    set: Set = None,
    user: User = None,
    item: Item = None,
    time: Time = None,
    format: Format = "auto",
    items: Items = None,
    features: Features = None,
    feature_separator: Separator = "|",
    threads: Threads = None,
) -> None:
    """Search only; ``retrain`` continues."""
    source = Source(data, user, item, time, format, items, tuple(features or ()), feature_separator)
    work = _start(source, preset, budget, seed, device, out, resume, set, threads)
    searched = work.search()
    if work.config.search.strategy == "none":
        typer.echo(
            f"search: none (search.strategy=none); elasticnas easrec retrain --out {out} trains the largest network"
        )
        return
    typer.echo(f"found:  {searched.found!r}: hidden {searched.found.hidden}, inner {searched.found.inner}")
    typer.echo(f"random: {searched.random!r}: hidden {searched.random.hidden}, inner {searched.random.inner}")
    typer.echo(f"search: {out / 'search.json'}")


@commands.command()
def retrain(
    out: Out = Path("runs/easrec"),
    device: Device = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in the folder, as it always does.")
    ] = False,
    threads: Threads = None,
) -> None:
    """Reconstruct and train what a search in the folder found, evaluate, compare, save."""
    searched = (out / "supernet.ckpt").exists()
    if not searched and not ((out / "run.json").exists() and _config_of(out).search.strategy == "none"):
        raise ConfigError(f"{out}: no finished search there; run elasticnas easrec search --out {out} first")
    configure_torch(threads)
    console = Console(width=None if Console().is_terminal else 110)
    run = Run(out, resume=True)
    Pipeline(_data_of(out), _config_of(out), run, device_of(device), console).run_all()
    _say_where(out)


def _run_of(out: Path) -> dict[str, Any]:
    path = out / "run.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {"data": str(content["data"]), "settings": dict(content["settings"])}
    except FileNotFoundError:
        raise ConfigError(f"{path}: not found; give the folder of a run by --out") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: damaged ({str(error).splitlines()[0]}); run again into another folder") from None


def _config_of(out: Path) -> Config:
    try:
        return Config.model_validate(_run_of(out)["settings"])
    except ValidationError as error:
        raise ConfigError(f"{out / 'run.json'}: {one_line(Config, error)}; run again into another folder") from None


def _data_of(out: Path) -> Interactions:
    data = Interactions.load(out / "data.npz")
    if data.fingerprint != _run_of(out)["data"]:
        raise DataError(f"{out / 'data.npz'}: other data than the run in this folder was made with; run again")
    return data


def _recommender_of(out: Path, device: torch.device | None = None, data: Interactions | None = None) -> Recommender:
    """The model in a run's folder, of that run; a folder with model/ alone will do."""
    recommender = Recommender.load(out / "model", device)
    if (out / "run.json").exists():
        if data is None and (out / "data.npz").exists():
            data = _data_of(out)
        recommender.require_run(out, _config_of(out), None if data is None else data.item_ids)
    return recommender


@commands.command()
def evaluate(
    out: Out = Path("runs/easrec"),
    device: Device = "auto",
    threads: Threads = None,
    popularity: Annotated[
        float, typer.Option(help="Take so many times log(training interactions) from every score: towards rarer items.")
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of the table.")] = False,
) -> None:
    """Evaluate the saved network anew, loaded from its files, under the three protocols."""
    configure_torch(threads)
    where, config, data = device_of(device), _config_of(out), _data_of(out)
    recommender = _recommender_of(out, where, data)
    split = Split(data)
    score = without_popularity(recommender.network.next_item, split.training.counts(split.items), popularity)
    reports = {stage: evaluator.evaluate(score, where) for stage, evaluator in evaluators(split, config).items()}
    if as_json:
        typer.echo(json.dumps({f"{stage}/{key}": v for stage, r in reports.items() for key, v in r.to_flat().items()}))
        return
    names = [f"{metric}@{k}" for k in config.cutoffs for metric in METRICS]
    table = Table("stage", "protocol", *names)
    for stage, report in reports.items():
        for protocol in PROTOCOLS:
            table.add_row(stage, protocol, *(f"{report[protocol][name]:.4f}" for name in names))
    Console(width=None if Console().is_terminal else 140).print(table)


@commands.command()
def recommend(
    out: Out = Path("runs/easrec"),
    user: Annotated[list[str] | None, typer.Option(help="Original user id; may be given several times.")] = None,
    history: Annotated[
        list[str] | None,
        typer.Option(help="Original item ids in time order, commas between; ids with commas in double quotes."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many items.")] = 10,
    include_seen: Annotated[bool, typer.Option("--include-seen", help="Also items of the history.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="Answer every line 'user TAB item' of the standard input, as JSON.")
    ] = False,
    device: Device = "auto",
) -> None:
    """The items to recommend next, for users of the data, for given histories, or after every event of a stream."""
    if stream and (user or history):
        raise ConfigError("--stream reads users and items from the standard input: leave out --user and --history")
    if stream:
        _stream(out, top, include_seen, device_of(device))
        return
    if not user and not history:
        raise ConfigError("give --user, --history or --stream")
    data = _data_of(out) if user else None
    recommender = _recommender_of(out, device_of(device), data)
    asked: list[tuple[str, list[int]]] = []
    if user and data is not None:
        history_of = _histories(data)
        for name in user:
            known = history_of(name)
            if not known:
                raise DataError(f"unknown user {name!r}; the data has {len(data.user_ids):,} users")
            asked.append((name, known))
    for text in history or []:
        items = [item for row in csv.reader([text], skipinitialspace=True) for item in row if item]
        if not items:
            raise DataError(f"--history {text!r}: no item; give original item ids, commas between")
        asked.append((text, recommender.numbers(items)))
    answers = recommender.recommend([numbers for _, numbers in asked], top, include_seen)
    for (name, _), answer in zip(asked, answers, strict=True):
        if as_json:
            typer.echo(_as_line(name, answer))
        else:
            table = Table("rank", "item", "score", title=escape(name))
            for rank, (item, score) in enumerate(answer, 1):
                table.add_row(str(rank), escape(item), f"{score:.3f}")
            if not answer:
                table.caption = "every item has been seen; --include-seen recommends those too"
            Console().print(table)


def _stream(out: Path, top: int, include_seen: bool, device: torch.device) -> None:
    data = _data_of(out)
    live = Live(_recommender_of(out, device, data), _histories(data))
    for number, line in enumerate(sys.stdin, 1):
        words = line.rstrip("\r\n").split("\t")
        if len(words) != 2 or not all(words):
            raise DataError(f"standard input, line {number}: {line.strip()[:80]!r} is not a user, a tab and an item")
        try:
            answer = live.event(words[0], words[1], top, include_seen)
        except DataError as error:
            raise DataError(f"standard input, line {number}: {error}") from None
        typer.echo(_as_line(words[0], answer))
        sys.stdout.flush()


def _histories(data: Interactions) -> Callable[[str], list[int]]:
    """From a user's original id to the numbers of the items, in time order; to none for a user who is not there."""
    numbers = {name: number for number, name in enumerate(data.user_ids)}

    def history(name: str) -> list[int]:
        n = numbers.get(name)
        found: list[int] = [] if n is None else data.items[data.offsets[n] : data.offsets[n + 1]].tolist()
        return found

    return history


def _as_line(name: str, answer: list[tuple[str, float]]) -> str:
    """An answer as one line of JSON."""
    return json.dumps({"for": name, "items": [item for item, _ in answer], "scores": [score for _, score in answer]})


@commands.command("export")
def export_(
    to: Annotated[Path, typer.Option(help="File to write, such as model.onnx or model.pt2.")],
    out: Out = Path("runs/easrec"),
    format: Annotated[Literal["onnx", "torch"], typer.Option(help="ONNX, or a .pt2 file of torch.export.")] = "onnx",
) -> None:
    """The saved network as one file, checked: ids (batch, length) right padded with 0 to scores (batch, items + 1).

    Batch and length are free, up to the model's length; causal LinRec keeps that length.
    """
    from easrec.export import export, fixed_length  # the exporter takes a second to import

    recommender = _recommender_of(out)
    written = export(recommender, format, to)
    length = f"{'exactly' if fixed_length(recommender) else 'up to'} {recommender.config.model.length} ids a row"
    size = f"{written.size_bytes / 1e6:.2f} MB"
    typer.echo(f"{to}: {size}, {length}, scores differ from the network's by at most {written.largest_difference:.1e}")


@commands.command("reproduce")
def reproduce_(
    data: Annotated[Path, typer.Option(help="File of interactions, or prepared data.")],
    table: Annotated[str, typer.Option(help=f"{', '.join(TABLES)}, or all.")] = "3",
    seeds: Annotated[int, typer.Option(min=1, max=1_000, help="How many, from 0.")] = 5,
    scale: Annotated[str, typer.Option(help=f"{', '.join(SCALES)}: sizes and lengths.")] = "full",
    jobs: Annotated[int, typer.Option(min=1, max=1_024, help="Runs side by side.")] = 1,
    only: Annotated[
        list[str] | None, typer.Option(help="A method, or METHOD/SEED, to run now; may be given several times.")
    ] = None,
    tables_only: Annotated[bool, typer.Option("--tables-only", help="Run nothing: tables of what is done.")] = False,
    device: Device = "auto",
    out: Out = Path("runs/reproduce"),
    set: Set = None,
    user: User = None,
    item: Item = None,
    time: Time = None,
    format: Format = "auto",
    items: Items = None,
    features: Features = None,
    feature_separator: Separator = "|",
    min_user: Annotated[int | None, typer.Option(min=0, help="Fewest interactions of a user.")] = None,
    min_item: Annotated[int | None, typer.Option(min=0, help="Fewest interactions of an item.")] = None,
    threads: Annotated[int, typer.Option(min=1, max=1_024, help="CPU threads of each run.")] = 1,
) -> None:
    """The paper's experiment: every method, every seed, then its tables and plots. The same command goes on."""
    source = Source(data, user, item, time, format, items, tuple(features or ()), feature_separator)
    console, where, changes = Console(width=None if Console().is_terminal else 160), device_of(device), changes_of(set)
    changes |= {key: value for key, value in (("min_user", min_user), ("min_item", min_item)) if value is not None}
    prepared = source.load("", Config().updated(changes), console)
    failed = reproduce(
        prepared, table, seeds, scale, jobs, threads, where, out, changes, only or (), not tables_only, console
    )
    if (out / "README.md").exists():
        typer.echo(f"page: {out / 'README.md'}")
    if failed:
        raise ConfigError(f"{len(failed)} of the runs failed: {', '.join(cell.name for cell in failed)}")
