"""reproduce: the matrix of runs, then tables, plots and one page."""

import importlib
import json
import re
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from easrec.config import Config
from easrec.data import Interactions
from easrec.reproduce.collect import Measured, collect
from easrec.reproduce.efficiency import measure
from easrec.reproduce.matrix import Cell, run_matrix
from easrec.reproduce.methods import METHODS, SCALES, TABLES, Method, methods_of
from easrec.reproduce.plots import accuracy_against_flops, lambda_plot
from easrec.reproduce.published import dataset_of
from easrec.reproduce.tables import Sheet, differences, efficiency, gates, lambdas, overall, write
from elasticnas.errors import CheckpointError, ConfigError, PluginError
from elasticnas.extraction import write_text
from elasticnas.report import Stage, bullets, environment

__all__ = ["cells_of", "reproduce"]

_BATCH = 256  # users scored together, Table IV
_PAGES = {table: f"table{table}" if table.isdigit() else table for table in (*TABLES, "all")}
_TITLES = {
    "3": "Table III, accuracy of every method",
    "4": "Table IV, time and memory of inference",
    "5": "Table V, gates",
    "fig4": "Fig. 4, lambda without a budget",
    "differences": "What the paper leaves open",
    "all": "All tables",
}
_PLOTS = {"table3-pop100": "accuracy-flops.png", "fig4": "fig4.png"}


def cells_of(methods: Sequence[Method], seeds: int, scale: str, changes: dict[str, Any], folder: Path) -> list[Cell]:
    """Seed by seed, so that a matrix cut short has whole seeds.

    Raises:
        ConfigError: No such scale, or settings that do not go together.
    """
    if scale not in SCALES:
        raise ConfigError(f"--scale {scale}: choose one of {', '.join(SCALES)}")
    cells = []
    for seed in range(seeds):
        for method in methods:
            config = Config().updated(SCALES[scale]).updated(changes).updated({**method.changes, "seed": seed})
            # equal training: others inherit what the search has trained
            if config.search.strategy == "none" or not config.train.inherit:
                config = config.updated({"train.epochs": config.search.epochs + config.train.epochs})
            cells.append(Cell(method, seed, folder / "runs" / method.name / f"seed-{seed}", config))
    return cells


def reproduce(
    interactions: Interactions,
    table: str,
    seeds: int,
    scale: str,
    jobs: int,
    threads: int,
    device: torch.device,
    folder: Path,
    changes: dict[str, Any],
    only: Sequence[str],
    console: Console,
) -> list[Cell]:
    """Run what is missing, then write a page for the table asked, its plots, and ``README.md``, which links all pages.

    Args:
        interactions: Prepared; kept in ``data.npz`` of the folder.
        table: One of ``TABLES``, or all.
        seeds: How many, from 0.
        scale: A key of ``SCALES``.
        jobs: Runs side by side.
        threads: CPU threads of each.
        device: Where networks run.
        folder: Of the matrix; runs are kept in ``runs/<method>/seed-<n>``.
        changes: Of every run's configuration.
        only: Methods or runs (``sasrec``, ``sasrec/0``) to run; empty for all. Tables show everything that is done.
        console: Where it reports.

    Returns:
        The runs that failed.

    Raises:
        PluginError: A package that the runs or the tables need is not installed.
    """
    methods = methods_of(table, interactions.features is not None)
    left_out = [
        m.label
        for m in METHODS
        if m.needs_features and interactions.features is None and (table == "all" or table in m.tables)
    ]
    if left_out:
        console.print(
            f"without item features, left out: {', '.join(left_out)} (give --items and --features)", highlight=False
        )
    cells = cells_of(methods, seeds, scale, changes, folder)
    chosen = _chosen(cells, only)
    _installed()
    data = _kept(interactions, folder)
    with Stage(console, f"{len(chosen)} runs") as stage:

        def progress(done: int, count: int, left: float, line: str) -> None:
            console.print(line, highlight=False, soft_wrap=True)
            stage.update(done / count, f"{done} of {count} runs", left)

        failed = run_matrix(chosen, data, jobs, threads, str(device), progress)
    measured = collect(cells)
    if measured:
        _write(
            measured, table, interactions, data, folder, device, threads, scale, [cell for cell, _ in failed], console
        )
    for cell, reason in failed:
        console.print(
            f"failed: {cell.name}: {reason} (log: {cell.folder / 'log.txt'}; again: --only {cell.name})",
            highlight=False,
            soft_wrap=True,
        )
    return [cell for cell, _ in failed]


def _installed() -> None:
    """Before the first run, not after hours."""
    for name in ("scipy", "matplotlib", "optuna"):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            raise PluginError(f"{name} is not installed; pip install 'elasticnas[reproduce]'") from None


def _kept(interactions: Interactions, folder: Path) -> Path:
    """The data of the matrix, written once.

    Raises:
        CheckpointError: The folder holds a matrix of other data.
    """
    path = folder / "data.npz"
    if not path.exists():
        interactions.save(path)
    elif Interactions.load(path).fingerprint != interactions.fingerprint:
        raise CheckpointError(f"{folder} holds runs on other data; use another --out")
    return path


def _chosen(cells: Sequence[Cell], only: Sequence[str]) -> list[Cell]:
    known = {cell.method.name for cell in cells} | {cell.name for cell in cells}
    unknown = [name for name in only if name not in known]
    if unknown:
        names = ", ".join(dict.fromkeys(cell.method.name for cell in cells))
        raise ConfigError(f"--only {unknown[0]}: no such run; methods are {names}, runs are METHOD/SEED")
    return [cell for cell in cells if not only or cell.method.name in only or cell.name in only]


def _write(
    measured: Sequence[Measured],
    table: str,
    interactions: Interactions,
    data: Path,
    folder: Path,
    device: torch.device,
    threads: int,
    scale: str,
    failed: Sequence[Cell],
    console: Console,
) -> None:
    users, items = interactions.statistics.users, interactions.statistics.items
    dataset = dataset_of(users, items)

    def of(name: str) -> list[Measured]:
        return [each for each in measured if name in each.method.tables and table in (name, "all")]

    sheets: list[Sheet] = []
    if of("3"):
        sheets += [overall(of("3"), dataset, protocol) for protocol in ("pop100", "unseen", "full")]
        accuracy_against_flops(of("3"), folder / _PLOTS["table3-pop100"])
    if of("5"):
        sheets.append(gates(of("5"), dataset))
    if of("fig4"):
        sheets.append(lambdas(of("fig4")))
        lambda_plot(of("fig4"), folder / _PLOTS["fig4"])
    if of("differences"):
        sheets.append(differences(of("differences")))
    runs = _environments(measured)
    header = bullets(_record(measured, runs, interactions, scale))
    environments = {"scale": scale, "runs": runs, "page": environment(device)}
    write_text(folder / f"{_PAGES[table]}-environment.json", json.dumps(environments, indent=2) + "\n")
    _page(table, header, sheets, failed, folder)
    if of("4"):  # what is known already is written: measuring takes minutes
        models = {
            each.method.name: folder / "runs" / each.method.name / f"seed-{each.seeds[0]}" / "model" for each in of("4")
        }
        with Stage(console, "inference time and memory"):
            taken = measure(models, data, str(device), _BATCH, threads)
        where = environment(device)
        how = (
            f"Scores of what follows every user's history ({users:,} users, {_BATCH} at a time), of each method its "
            "first finished seed: median and quartiles of five passes, networks in turns; memory is what a pass needs "
            f"beyond the loaded network, in a process of its own. {where['processor']}, {where['device']}, "
            f"{threads} threads; commit {_commit(where)}."
        )
        sheets.insert(3 if of("3") else 0, efficiency(of("4"), taken, dataset, how))
        _page(table, header, sheets, failed, folder)
    for sheet in sheets[:1] + [sheet for sheet in sheets[1:] if not sheet.name.startswith("table3")]:
        _show(sheet, console)


def _environments(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """Where the runs ran, without repetition: some may be of another commit or machine than the page."""
    found: list[dict[str, Any]] = []
    for each in measured:
        for result in each.results:
            where = {key: value for key, value in result["environment"].items() if key != "command"}
            if where not in found:
                found.append(where)
    return found


def _commit(where: dict[str, Any]) -> str:
    return where["commit"] or f"release {where['elasticnas']}"


def _record(
    measured: Sequence[Measured], runs: Sequence[dict[str, Any]], interactions: Interactions, scale: str
) -> dict[str, str]:
    statistics = interactions.statistics
    machines = (f"{run['processor']}, {run['device']}, {run['threads']} threads a run" for run in runs)
    versions = (f"elasticnas {run['elasticnas']}, torch {run['torch']}, Python {run['python']}" for run in runs)
    return {
        "command": f"`{shlex.join(['elasticnas', *sys.argv[1:]])}`",
        "commit of the runs": "; ".join(dict.fromkeys(map(_commit, runs))),
        "scale": scale,
        "seeds": str(max(len(each.seeds) for each in measured)),
        "machine": "; ".join(dict.fromkeys(machines)),
        "versions": "; ".join(dict.fromkeys(versions)),
        "data": f"{statistics.users:,} users, {statistics.items:,} items, {statistics.interactions:,} interactions, "
        f"fingerprint `{interactions.fingerprint[:12]}`",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _page(table: str, header: str, sheets: Sequence[Sheet], failed: Sequence[Cell], folder: Path) -> None:
    """The page of a table, and the index of all pages that are there."""
    parts = [f"# {_TITLES[table]}", header]
    for sheet in sheets:
        if sheet.name in _PLOTS:
            parts.append(f"![{sheet.title}]({_PLOTS[sheet.name]})")
        parts.append(write(sheet, folder))
    if failed:
        parts.append("Runs that failed: " + ", ".join(cell.name for cell in failed))
    write_text(folder / f"{_PAGES[table]}.md", "\n\n".join(part.strip() for part in parts) + "\n")
    links = [f"* [{_TITLES[name]}]({page}.md)" for name, page in _PAGES.items() if (folder / f"{page}.md").exists()]
    write_text(folder / "README.md", "# The paper's experiment\n\n" + "\n".join(links) + "\n")


def _show(sheet: Sheet, console: Console) -> None:
    from rich.table import Table

    shown = Table(title=sheet.title, caption="\n".join(sheet.notes))
    for position, name in enumerate(sheet.head):
        shown.add_column(name, justify="right" if position > 1 else "left")
    for row in sheet.rows:
        shown.add_row(*(re.sub(r"(?<!\\)\*", "", cell).replace("\\*", "*") for cell in row))
    console.print(shown)
