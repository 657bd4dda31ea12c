"""Kill workloads inside their writes, resume them, and compare their figures with those of uninterrupted ones.

``python benchmarks/kills.py docs/results`` kills 30 workloads of each kind, most of them twice, and writes
``kills.json`` and ``kills.md``; it takes about 15 minutes.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from killed import WORKLOADS, child
from record import heading, write

from elasticnas.report import environment

_PRELOADED = ("killed", "torch._dynamo", "optuna", "matplotlib.backends.backend_agg", "easrec.cli", "easrec.plugin")


class Kind:
    """A kind of workload, with the figures of an uninterrupted run.

    Args:
        name: Key of `WORKLOADS`.
        folder: Folder for all its runs.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.folder.mkdir(parents=True)
        whole = folder / "whole"
        assert self._start(whole, None) == 0
        self.points, self.expected = _lines(whole), _figures(whole)

    def kill(self, number: int) -> dict[str, Any]:
        """Kill a process in a write, kill the one that resumes in another write, and let a third process finish."""
        rng = random.Random(f"{self.name} {number}")
        folder, landed, codes, left = self.folder / str(number), [], [], 0
        # the second process may have fewer writes left than the number drawn, and finish
        for kill_at in (self._first(number, rng), rng.randrange(len(self.points)), None):
            codes.append(self._start(folder, kill_at))
            if codes[-1] == -signal.SIGKILL:
                landed.append(_lines(folder)[-1])
                left += len(_temporaries(folder))
        # the first process must be killed, the last must not, and none may fail
        as_planned = codes[0] == -signal.SIGKILL and codes[1] in (-signal.SIGKILL, 0) and codes[2] == 0
        equal = as_planned and not _temporaries(folder) and _figures(folder) == self.expected
        if equal:
            shutil.rmtree(folder)
        return {"landed": landed, "temporaries": left, "codes": codes, "equal": equal}

    def _first(self, number: int, rng: random.Random) -> int:
        """Return the point of the first kill; all kinds of points take turns, so that rare ones are covered."""
        names = sorted(set(self.points))
        random.Random(self.name).shuffle(names)
        return rng.choice([kill_at for kill_at, name in enumerate(self.points) if name == names[number % len(names)]])

    def _start(self, folder: Path, kill_at: int | None) -> int:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(_PRELOADED))
        process = context.Process(target=child, args=(self.name, folder, folder.with_suffix(".note"), kill_at))
        # the fork server has imported torch already; it does not inherit sys.path
        with patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)):
            process.start()
        process.join()
        assert process.exitcode is not None
        return process.exitcode


def _lines(folder: Path) -> list[str]:
    note = folder.with_suffix(".note")
    return note.read_text().splitlines() if note.exists() else []


def _figures(folder: Path) -> Any:
    return json.loads(folder.with_suffix(".json").read_text())


def _temporaries(folder: Path) -> list[Path]:
    return list(folder.rglob("*.elasticnas-tmp"))


def run(name: str, works: int, folder: Path) -> dict[str, Any]:
    """Kill many workloads of a kind, and return the record."""
    kind = Kind(name, folder / name.replace(" ", "-"))
    done = [kind.kill(number) for number in range(works)]
    landed = Counter(where for each in done for where in each["landed"])
    return {
        "works": works,
        "kills": landed.total(),
        "equal": sum(each["equal"] for each in done),
        "temporaries": sum(each["temporaries"] for each in done),
        "landed": dict(sorted(landed.items())),
        "different": [{"number": number, **each} for number, each in enumerate(done) if not each["equal"]],
    }


def page(record: dict[str, Any]) -> str:
    """Return the page for a record."""
    kinds = record["kinds"]
    works, kills, equal = (sum(kind[name] for kind in kinds.values()) for name in ("works", "kills", "equal"))
    moments = ("half of a write", "before replace", "after replace", "truncate", "unlink")
    lines = [
        *heading("Killed and resumed", record["environment"]),
        f"{works} workloads, {kills} kills by SIGKILL inside a write: **{equal} of {works}** ended with the same "
        "figures as an uninterrupted workload, and left no temporary file.",
        "",
        "A process counts its writes and kills itself in one of them: after half of the bytes of a file, or before or "
        "after a file is replaced, truncated or deleted. A second process resumes and is killed in the same way, if it "
        "gets that far; a third one finishes. All figures except times, latency and memory are compared. For NSGA-II "
        "in a journal, which draws differently after a kill, only the number of evaluations, their metrics and the "
        "random-search baseline are compared.",
        "",
        "| workload | runs | kills | " + " | ".join(moments) + " | temporaries left by kills | equal |",
        "|---|" + "---:|" * (len(moments) + 4),
    ]
    for name, kind in kinds.items():
        counts = [sum(count for where, count in kind["landed"].items() if moment in where) for moment in moments]
        figures = [kind["works"], kind["kills"], *counts, kind["temporaries"], kind["equal"]]
        lines.append(f"| {name} | " + " | ".join(map(str, figures)) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--works", type=int, default=30, help="Number of workloads of each kind.")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    where, kinds = environment(torch.device("cpu")), {}
    with tempfile.TemporaryDirectory() as folder:
        for name in WORKLOADS:
            kinds[name] = run(name, options.works, Path(folder))
            print(f"{name}: {kinds[name]['equal']} of {options.works} equal", flush=True)
    record = {"environment": where, "kinds": kinds}
    write(options.out, "kills", record, page(record))


if __name__ == "__main__":
    main()
