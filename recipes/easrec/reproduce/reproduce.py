"""reproduce: the matrix of runs, then tables, plots and one page."""

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
from easrec.reproduce.collect import Measured, collect, unfinished
from easrec.reproduce.efficiency import measure
from easrec.reproduce.matrix import Cell, run_matrix
from easrec.reproduce.methods import METHODS, SCALES, TABLES, Method, methods_of
from easrec.reproduce.plots import accuracy_against_flops, lambda_plot
from easrec.reproduce.published import dataset_of
from easrec.reproduce.sections import architectures, table_section
from easrec.reproduce.tables import Sheet, differences, efficiency, gates, lambdas, network_of, overall, write
from elasticnas.errors import CheckpointError, ConfigError
from elasticnas.files import write_text
from elasticnas.packages import require_package
from elasticnas.report import Report, Stage, bullets, environment, try_report
from elasticnas.report.html import Section
from elasticnas.settings import differences as differences_of

__all__ = ["cells_of", "reproduce", "set_by_methods"]

# methods set these too, where they must: for the others they are sizes like any
_SIZES = {"model.layers", "model.gate_rank", "search.budget", "search.random_architectures"}
_BATCH = 256  # users scored together, Table IV
_PAGES = {table: f"table{table}" if table.isdigit() else table for table in TABLES}
_TITLES = {
    "3": "Table III, accuracy of every method",
    "4": "Table IV, time and memory of inference",
    "5": "Table V, gates",
    "fig4": "Fig. 4, lambda without a budget",
    "differences": "What the paper leaves open",
}
_PLOTS = {"table3-pop100": "accuracy-flops.png", "fig4": "fig4.png"}


def cells_of(methods: Sequence[Method], seeds: int, scale: str, changes: dict[str, Any], folder: Path) -> list[Cell]:
    """Seed by seed, so that a matrix cut short has whole seeds.

    Raises:
        ConfigError: No such scale, or settings that do not go together.
    """
    if scale not in SCALES:
        raise ConfigError(f"--scale {scale}: choose one of {', '.join(SCALES)}")
    asked = Config().updated(SCALES[scale]).updated(changes)
    if 10 not in asked.cutoffs:
        raise ConfigError(f"--set cutoffs={list(asked.cutoffs)}: the tables show metrics at 10; keep it among them")
    given = changes.keys() | differences_of(Config().updated(changes)).keys()
    for method in METHODS:
        if own := sorted(({"seed", *method.changes} - _SIZES) & given):
            raise ConfigError(
                f"--set {own[0]}: what the methods differ in ({method.name} sets it) cannot be set for all"
            )
    cells = []
    for seed in range(seeds):
        for method in methods:
            config = asked.updated({**method.changes, "seed": seed})
            # equal training: others inherit what the search has trained
            if config.search.strategy == "none" or not config.train.inherit:
                config = config.updated({"train.epochs": config.search.epochs + config.train.epochs})
            cells.append(Cell(method, seed, folder / "runs" / method.name / f"seed-{seed}", config))
    return cells


def set_by_methods() -> set[str]:
    """Settings in which the methods differ, and the seed: they cannot be set for all."""
    return {name for method in METHODS for name in ("seed", *method.changes)} - _SIZES


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
    run: bool,
    console: Console,
) -> list[Cell]:
    """Run what is missing, then write a page for each table asked, its plots, and ``README.md``, which links all pages.

    ``report.html`` has the tables of this call, with plots to look at.

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
        run: Whether to run anything; else tables show what is done.
        console: Where it reports.

    Returns:
        The runs that failed now.

    Raises:
        PluginError: A package that the runs or the tables need is not installed.
    """
    methods = methods_of(table, interactions.features is not None)
    if left_out := _left_out(table, interactions):
        console.print(
            f"without item features, left out: {', '.join(left_out)} (give --items and --features)",
            highlight=False,
            markup=False,
        )
    cells = cells_of(methods, max(seeds, _seeds_there(folder)), scale, changes, folder)
    chosen = _chosen([cell for cell in cells if cell.seed < seeds], only)
    for package in ("scipy", "matplotlib", "optuna"):  # before the first run, not after hours
        require_package(package, "reproduce")
    if not run and not collect(cells):
        raise ConfigError(f"{folder}: no run of --table {table} --scale {scale} is done there; leave --tables-only out")
    data = _kept(interactions, folder)
    failed = _run(chosen, data, jobs, threads, str(device), console) if run else []
    for cell, reason in failed:
        again = f" (log: {cell.folder / 'log.txt'}; again: --only {cell.name})"
        console.print(
            f"failed: {cell.name}: {reason}{again if (cell.folder / 'failed.txt').exists() else ''}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    sections = []
    for name in TABLES if table == "all" else (table,):
        own = [cell for cell in cells if name in cell.method.tables]
        sections += _Page(name, own, interactions, folder, scale, device).write(data, threads, console)
    if sections:
        report = Report("The paper's experiment", [*sections, architectures(collect(cells))])
        try_report(report, folder / "report.html", console)
    return [cell for cell, _ in failed]


def _left_out(table: str, interactions: Interactions) -> list[str]:
    """Methods of the table that need features where the items have none."""
    if interactions.features is not None:
        return []
    return [m.label for m in METHODS if m.needs_features and (table == "all" or table in m.tables)]


def _run(
    cells: Sequence[Cell], data: Path, jobs: int, threads: int, device: str, console: Console
) -> list[tuple[Cell, str]]:
    with Stage(console, f"{len(cells)} runs") as stage:

        def progress(done: int, count: int, left: float, line: str) -> None:
            console.print(line, highlight=False, markup=False, soft_wrap=True)
            stage.update(done / count, f"{done} of {count} runs", left)

        return run_matrix(cells, data, jobs, threads, device, progress)


def _seeds_there(folder: Path) -> int:
    """Tables show every seed that has been run, also where fewer are asked for now."""
    names = (re.fullmatch(r"seed-(\d+)", path.name) for path in folder.glob("runs/*/seed-*"))
    return max((int(name[1]) + 1 for name in names if name), default=0)


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


class _Page:
    """One table's page.

    Args:
        table: One of ``TABLES``.
        cells: Its runs, done or not.
        interactions: Their data.
        folder: Of the matrix.
        scale: Of the runs.
        device: Where Table IV is measured.
    """

    def __init__(
        self,
        table: str,
        cells: Sequence[Cell],
        interactions: Interactions,
        folder: Path,
        scale: str,
        device: torch.device,
    ) -> None:
        self.table, self.cells, self.folder = table, cells, folder
        self.interactions, self.scale, self.device = interactions, scale, device
        self.measured = collect(cells)
        self.left_out = _left_out(table, interactions)
        self.dataset = dataset_of(interactions.statistics.users, interactions.statistics.items)

    def write(self, data: Path, threads: int, console: Console) -> list[Section]:
        """The page, its CSV, JSON and plots, and the index of all pages; nothing where no run is done or has failed.

        Returns:
            Its section of the report, where there is a table.
        """
        failed, waiting = unfinished(self.cells)
        if not self.measured and not failed:
            return []
        if not self.measured:
            sheets = []
        elif self.table == "4":
            sheets = [self._efficiency(data, threads, console)]
        else:
            sheets = self._sheets()
        runs = _environments(self.measured)
        environments = {"scale": self.scale, "runs": runs, "page": environment(self.device)}
        write_text(self.folder / f"{_PAGES[self.table]}-environment.json", json.dumps(environments, indent=2) + "\n")
        record = _record(self.measured, runs, self.interactions, self.scale)
        parts = [f"# {_TITLES[self.table]}", bullets({**record, "command": f"`{record['command']}`"})]
        for sheet in sheets:
            if sheet.name in _PLOTS:
                parts.append(f"![{sheet.title}]({_PLOTS[sheet.name]})")
            parts.append(write(sheet, self.folder))
        if failed:
            parts.append("Runs that failed:\n\n" + bullets(failed))
        if waiting:
            parts.append("Not run yet: " + ", ".join(waiting) + ".")
        if self.left_out:
            parts.append("Left out, as they need item features: " + ", ".join(self.left_out) + ".")
        write_text(self.folder / f"{_PAGES[self.table]}.md", "\n\n".join(part.strip() for part in parts) + "\n")
        links = [
            f"* [{_TITLES[name]}]({page}.md)" for name, page in _PAGES.items() if (self.folder / f"{page}.md").exists()
        ]
        write_text(self.folder / "README.md", "# The paper's experiment\n\n" + "\n".join(links) + "\n")
        if sheets:
            _show(sheets[0], console)
        return [table_section(_TITLES[self.table], record, sheets, self.measured)] if sheets else []

    def _sheets(self) -> list[Sheet]:
        if self.table == "3":
            accuracy_against_flops(self.measured, self.folder / _PLOTS["table3-pop100"])
            return [overall(self.measured, self.dataset, protocol) for protocol in ("pop100", "unseen", "full")]
        if self.table == "5":
            return [gates(self.measured, self.dataset)]
        if self.table == "fig4":
            lambda_plot(self.measured, self.folder / _PLOTS["fig4"])
            return [lambdas(self.measured)]
        return [differences(self.measured)]

    def _efficiency(self, data: Path, threads: int, console: Console) -> Sheet:
        """Every network that some seed found is measured once: what it costs does not depend on its weights."""
        networks: dict[str, Path] = {}
        for each in self.measured:
            for seed, size in zip(each.seeds, each.sizes(), strict=True):
                folder = self.folder / "runs" / each.method.name / f"seed-{seed}" / "model"
                networks.setdefault(network_of(each, size), folder)
        kept = self._inference(networks, data, threads, console)
        where, users = kept["environment"], self.interactions.statistics.users
        how = (
            f"Scores of what follows every user's history ({users:,} users, {_BATCH} at a time): mean and deviation of "
            "five warm passes of each network, in turns; p by Welch's test over the passes. Networks are those that "
            "the seeds found, each measured once. Memory is what a pass needs beyond the loaded network, in three "
            f"processes of its own; the paper's is all of a GPU's. {where['processor']}, {where['device']}, {threads} "
            f"threads; commit {_commit(where)}."
        )
        return efficiency(self.measured, kept["networks"], kept["broken"], self.dataset, how)

    def _inference(self, networks: dict[str, Path], data: Path, threads: int, console: Console) -> dict[str, Any]:
        """What ``inference.json`` holds of the same networks on the same machine; else measured anew and kept there."""
        path, where = self.folder / "inference.json", environment(self.device)
        versions = {key: where[key] for key in ("processor", "device", "elasticnas", "torch")}
        model = self.cells[0].config.model.model_dump(mode="json")  # what methods do not differ in
        same = {"networks": sorted(networks), "model": model, "threads": threads, "batch": _BATCH, **versions}
        try:
            kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if kept["same"] == same and not kept["broken"] and kept["networks"].keys() == networks.keys():
                return kept
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass  # none, or damaged
        with Stage(console, f"inference time and memory of {len(networks)} networks"):
            found, broken = measure(networks, data, str(self.device), _BATCH, threads)
        kept = {"same": same, "networks": found, "broken": broken, "environment": where}
        write_text(path, json.dumps(kept, indent=2) + "\n")
        return kept


def _environments(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """Where the runs ran, without repetition: some may be of another commit or machine than the page."""
    found: list[dict[str, Any]] = []
    for each in measured:
        for result in each.results:
            where = {key: value for key, value in result.environment.items() if key != "command"}
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
        "command": shlex.join(["elasticnas", *sys.argv[1:]]),
        "commit of the runs": "; ".join(dict.fromkeys(map(_commit, runs))),
        "scale": scale,
        "seeds": _seeds(measured),
        "machine": "; ".join(dict.fromkeys(machines)),
        "versions": "; ".join(dict.fromkeys(versions)),
        "data": f"{statistics.users:,} users, {statistics.items:,} items, {statistics.interactions:,} interactions, "
        f"fingerprint `{interactions.fingerprint[:12]}`",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _seeds(measured: Sequence[Measured]) -> str:
    """All that some method has; what others miss stands below their tables."""
    return ", ".join(map(str, sorted({seed for each in measured for seed in each.seeds}))) or "none"


def _show(sheet: Sheet, console: Console) -> None:
    from rich.table import Table

    shown = Table(title=sheet.title, caption="\n".join(sheet.notes))
    for position, name in enumerate(sheet.head):
        shown.add_column(name, justify="right" if position > 1 else "left")
    for row in sheet.rows:
        shown.add_row(*(re.sub(r"(?<!\\)\*", "", cell).replace("\\*", "*") for cell in row))
    console.print(shown)
