"""Works killed in their writes, and resumed: where the kills landed, and whether the figures are those of no kill.

``python benchmarks/kills.py docs/results`` kills 30 works of each kind, most of them twice, and writes ``kills.json``
and ``kills.md``; it takes some 15 minutes.
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
from killed import WORKS, child
from record import heading, write

from elasticnas.report import environment

_PRELOADED = ("killed", "torch._dynamo", "optuna", "matplotlib.backends.backend_agg", "easrec.cli", "easrec.plugin")


class Kind:
    """A kind of work, with what it gives when nobody kills it.

    Args:
        name: Of `WORKS`.
        folder: For everything that it writes.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.folder.mkdir(parents=True)
        whole = folder / "whole"
        assert self._start(whole, None) == 0
        self.points, self.expected = _lines(whole), _figures(whole)

    def kill(self, number: int) -> dict[str, Any]:
        """Kill it in a write, kill what resumes it in another, and let the third process finish."""
        rng = random.Random(f"{self.name} {number}")
        folder, landed, codes, left = self.folder / str(number), [], [], 0
        # what resumes it may have less to do than the second number, and finish
        for at in (self._first(number, rng), rng.randrange(len(self.points)), None):
            codes.append(self._start(folder, at))
            if codes[-1] == -signal.SIGKILL:
                landed.append(_lines(folder)[-1])
                left += len(_temporaries(folder))
        # the first must have been killed, the last must not, and no process may fail
        told = codes[0] == -signal.SIGKILL and codes[1] in (-signal.SIGKILL, 0) and codes[2] == 0
        equal = told and not _temporaries(folder) and _figures(folder) == self.expected
        if equal:
            shutil.rmtree(folder)
        return {"landed": landed, "temporaries": left, "codes": codes, "equal": equal}

    def _first(self, number: int, rng: random.Random) -> int:
        """A point to be killed at; every name of a point has its turn, so that rare ones are hit too."""
        names = sorted(set(self.points))
        random.Random(self.name).shuffle(names)
        return rng.choice([at for at, name in enumerate(self.points) if name == names[number % len(names)]])

    def _start(self, folder: Path, at: int | None) -> int:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(_PRELOADED))
        process = context.Process(target=child, args=(self.name, folder, folder.with_suffix(".note"), at))
        # the server that forks them has imported torch already; it starts with no sys.path of ours
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
    """Kill many works of a kind; the record."""
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
    """The record to read."""
    kinds = record["kinds"]
    works, kills, equal = (sum(kind[name] for kind in kinds.values()) for name in ("works", "kills", "equal"))
    moments = ("half of a write", "before replace", "after replace", "truncate", "unlink")
    lines = [
        *heading("Killed and resumed", record["environment"]),
        f"{works} works, {kills} kills by SIGKILL inside a write: **{equal} of {works}** ended with equal figures to a "
        "work that nobody killed, and left no temporary file.",
        "",
        "A process counts its writes and kills itself in one of them: with half of the bytes in the file, or before or "
        "after a file is put in place, cut, or deleted. Another process resumes the work and is killed likewise, if it "
        "gets that far; a third one finishes. Compared is everything but clocks, latency and memory. NSGA-II in a "
        "journal is the exception: after a kill it draws otherwise, so that only the number of evaluations, their "
        "metrics and the random search beside it are compared.",
        "",
        "| work | works | kills | " + " | ".join(moments) + " | temporaries left by kills | equal |",
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
    parser.add_argument("--works", type=int, default=30, help="Of each kind.")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    where, kinds = environment(torch.device("cpu")), {}
    with tempfile.TemporaryDirectory() as folder:
        for name in WORKS:
            kinds[name] = run(name, given.works, Path(folder))
            print(f"{name}: {kinds[name]['equal']} of {given.works} equal", flush=True)
    record = {"environment": where, "kinds": kinds}
    write(given.out, "kills", record, page(record))


if __name__ == "__main__":
    main()
