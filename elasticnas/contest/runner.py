"""Runner of a contest: seeds in parallel processes, then the result and its page."""

import json
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from elasticnas.contest.contest import Contest
from elasticnas.contest.page import page, verdict
from elasticnas.errors import ElasticNASError
from elasticnas.files import write_text
from elasticnas.report import environment
from elasticnas.run.processes import ELASTICNAS, Processes, environment_with, exit_on_signals, failure

__all__ = ["run_seeds", "write_result"]


def run_seeds(
    contest: Contest,
    path: Path,
    seeds: Sequence[int],
    names: Sequence[str],
    jobs: int,
    threads: int,
    device: str,
    console: Console,
) -> dict[int, str]:
    """Make the missing entrants of seeds, each seed in a process of its own; return the failed seeds with the reason.

    Args:
        contest: The contest.
        path: File of its plan.
        seeds: The seeds.
        names: The entrants.
        jobs: Number of processes.
        threads: CPU threads of each.
        device: Device of each.
        console: Shows the progress.
    """
    processes, failed, started = Processes(), dict[int, str](), time.monotonic()
    missing = contest.missing(names)
    left = [seed for seed in seeds if seed in missing]

    def one(seed: int) -> str | None:
        log = contest.unfinished / f"{seed}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [*ELASTICNAS, "compare", str(path), "--out", str(contest.folder), "--seed", str(seed), "--jobs", "1"]
        command += ["--threads", str(threads), "--device", device]
        command += [word for name in names for word in ("--entrant", name)]
        with log.open("ab") as file:
            at = file.tell()
            code = processes.run(command, file, environment_with(threads))
        if code == 0:
            log.unlink()
        if code == 0 or processes.stopping:
            return None
        return f"{failure(log, at, code)} ({log})"

    with exit_on_signals(), ThreadPoolExecutor(jobs) as pool:
        try:
            waiting = {pool.submit(one, seed): seed for seed in left}
            while waiting:
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    seed, reason = waiting.pop(future), future.result()
                    if reason is not None:
                        failed[seed] = reason
                    finished = len(left) - len(waiting)
                    minutes = (time.monotonic() - started) / finished * len(waiting) / 60
                    word = "done" if reason is None else f"failed, {reason}"
                    line = f"seed {seed}: {word}; {len(waiting)} seeds and about {minutes:.0f} minutes left"
                    console.print(line, highlight=False, markup=False, soft_wrap=True)
        except BaseException:
            processes.stop()
            raise
    return failed


def write_result(contest: Contest, where: dict[str, Any] | None = None) -> list[str]:
    """Write ``result.json`` and ``result.md`` from the entrants that are made; return the lines of the verdict.

    Raises:
        ElasticNASError: No entrant is made yet.
    """
    entrants = contest.entrants()
    if not entrants:
        raise ElasticNASError(f"{contest.folder}: no network is trained yet; run the contest first")
    judgements, costs = contest.judgements(entrants), contest.judgements_of_cost(entrants)
    scratch = contest.judgements_from_scratch(entrants)
    where = where or environment(torch.device("cpu"))
    content = {
        "format": 1,
        "facts": contest.facts,
        "environment": where,
        "judgements": [each.model_dump(mode="json") for each in judgements],
        "costs": [each.model_dump(mode="json") for each in costs],
        "from_scratch": [each.model_dump(mode="json") for each in scratch],
        "entrants": [each.model_dump(mode="json") for each in entrants],
    }
    text = page(contest, entrants, judgements, costs, scratch, where)
    write_text(contest.folder / "result.json", json.dumps(content, indent=2) + "\n")
    write_text(contest.folder / "result.md", text)
    return verdict(contest, judgements, costs)
