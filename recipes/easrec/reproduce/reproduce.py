"""reproduce: runs the matrix of methods and seeds, then writes tables, plots and pages."""

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
from easrec.data import Interactions, Split
from easrec.facts import split_facts
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

# set by some methods, but may be changed for the others
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
    """Return the runs, ordered by seed so that an interrupted matrix has complete seeds.

    Raises:
        ConfigError: The scale is unknown, or settings contradict each other or the methods.
    """
    if scale not in SCALES:
        raise ConfigError(f"--scale {scale}: choose one of {', '.join(SCALES)}")
    common = Config().updated(SCALES[scale]).updated(changes)
    if 10 not in common.cutoffs:
        raise ConfigError(f"--set cutoffs={list(common.cutoffs)}: the tables show metrics at 10; include 10")
    given = changes.keys() | differences_of(Config().updated(changes)).keys()
    for method in METHODS:
        if own := sorted(({"seed", *method.changes} - _SIZES) & given):
            raise ConfigError(
                f"--set {own[0]}: it differs between methods ({method.name} sets it), so it cannot be set for all"
            )
    cells = []
    for seed in range(seeds):
        for method in methods:
            config = common.updated({**method.changes, "seed": seed})
            # equal training time: other methods inherit weights trained in the search
            if config.search.strategy == "none" or not config.train.inherit:
                config = config.updated({"train.epochs": config.search.epochs + config.train.epochs})
            cells.append(Cell(method, seed, folder / "runs" / method.name / f"seed-{seed}", config))
    return cells


def set_by_methods() -> set[str]:
    """Return the settings that the methods or the seed determine, which cannot be set for all runs."""
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
    """Run the missing runs, then write a page and plots for each table, and ``README.md`` with links to all pages.

    ``report.html`` contains the tables of this call, with interactive plots.

    Args:
        interactions: Prepared interactions; stored in ``data.npz`` of the folder.
        table: One of ``TABLES``, or ``all``.
        seeds: Number of seeds, from 0.
        scale: A key of ``SCALES``.
        jobs: Number of runs in parallel.
        threads: CPU threads of each run.
        device: Device of the networks.
        folder: Output folder; runs are stored in ``runs/<method>/seed-<n>``.
        changes: Changes to the configuration of every run.
        only: Methods or runs (``sasrec``, ``sasrec/0``) to run; empty for all. Tables show all finished runs.
        run: Whether to run anything; otherwise only tables of finished runs are written.
        console: Where progress and tables are printed.

    Returns:
        The runs that failed in this call.

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
    cells = cells_of(methods, max(seeds, _existing_seeds(folder)), scale, changes, folder)
    chosen = _chosen([cell for cell in cells if cell.seed < seeds], only)
    for package in ("scipy", "matplotlib", "optuna"):  # check before the first run, not after hours
        require_package(package, "reproduce")
    if not run and not collect(cells):
        raise ConfigError(f"{folder}: no run of --table {table} --scale {scale} is done there; leave --tables-only out")
    data = _store_data(interactions, folder)
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
    """Return the labels of the table's methods that need item features, if there are none."""
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


def _existing_seeds(folder: Path) -> int:
    """Return the number of seeds with a folder; tables show all of them, even if fewer are requested now."""
    names = (re.fullmatch(r"seed-(\d+)", path.name) for path in folder.glob("runs/*/seed-*"))
    return max((int(name[1]) + 1 for name in names if name), default=0)


def _store_data(interactions: Interactions, folder: Path) -> Path:
    """Store the data of the matrix if it is not stored yet; return its path.

    Raises:
        CheckpointError: The folder holds runs on other data.
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
    """Writes the page of one table.

    Args:
        table: One of ``TABLES``.
        cells: Its runs, finished or not.
        interactions: Data of the runs.
        folder: Output folder.
        scale: Scale of the runs.
        device: Device on which Table IV is measured.
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
        """Write the page, its CSV, JSON and plots, and the index of all pages; nothing if no run has ended.

        Returns:
            The section of the report, or an empty list without a table.
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
        """Measure every distinct network that the seeds found once, since its cost does not depend on its weights."""
        networks: dict[str, Path] = {}
        for each in self.measured:
            for seed, size in zip(each.seeds, each.sizes(), strict=True):
                folder = self.folder / "runs" / each.method.name / f"seed-{seed}" / "model"
                networks.setdefault(network_of(each, size), folder)
        kept = self._inference(networks, data, threads, console)
        where, users = kept["environment"], len(Split(self.interactions).users("test"))
        how = (
            f"Time to score the next item of every test user ({users:,} users, {_BATCH} at a time): mean and deviation "
            "of five passes of each network after a warm-up, in turns; p by Welch's test over the passes. Each "
            "distinct network that the seeds found is measured once. Memory is what a pass needs in addition to the "
            "loaded network, measured in three processes; the paper's is the total of a GPU. "
            f"{where['processor']}, {where['device']}, {threads} "
            f"threads; commit {_commit(where)}."
        )
        return efficiency(self.measured, kept["networks"], kept["broken"], self.dataset, how)

    def _inference(self, networks: dict[str, Path], data: Path, threads: int, console: Console) -> dict[str, Any]:
        """Read ``inference.json`` if networks and machine are the same; otherwise measure and write it."""
        path, where = self.folder / "inference.json", environment(self.device)
        versions = {key: where[key] for key in ("processor", "device", "elasticnas", "torch")}
        model = self.cells[0].config.recorded()["model"]  # the settings common to all methods
        same = {"networks": sorted(networks), "model": model, "threads": threads, "batch": _BATCH, **versions}
        try:
            kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if kept["same"] == same and not kept["broken"] and kept["networks"].keys() == networks.keys():
                return kept
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass  # missing or damaged
        with Stage(console, f"inference time and memory of {len(networks)} networks"):
            found, broken = measure(networks, data, str(self.device), _BATCH, threads)
        kept = {"same": same, "networks": found, "broken": broken, "environment": where}
        write_text(path, json.dumps(kept, indent=2) + "\n")
        return kept


def _environments(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """Return the distinct environments of the runs, which may differ in commit or machine from that of the page."""
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
        **(split_facts(measured[0].results[0].data.split, measured[0].results[0].evaluated_users) if measured else {}),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _seeds(measured: Sequence[Measured]) -> str:
    """Return the seeds that any method has; notes below the tables name the missing ones."""
    return ", ".join(map(str, sorted({seed for each in measured for seed in each.seeds}))) or "none"


def _show(sheet: Sheet, console: Console) -> None:
    from rich.table import Table

    shown = Table(title=sheet.title, caption="\n".join(sheet.notes))
    for position, name in enumerate(sheet.head):
        shown.add_column(name, justify="right" if position > 1 else "left")
    for row in sheet.rows:
        shown.add_row(*(re.sub(r"(?<!\\)\*", "", cell).replace("\\*", "*") for cell in row))
    console.print(shown)
