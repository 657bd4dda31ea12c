"""Works killed in their writes, and resumed: where the kills landed, and whether the figures are those of no kill.

``python benchmarks/kills.py docs/results`` kills each kind of work 30 times in its first process, and where it can in
its second, and writes ``kills.json`` and ``kills.md``; it takes some 20 minutes on two cores.
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from killed import WORKS, child
from record import heading, write

from elasticnas.report import environment

_MANY = 1_000_000


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
        """Kill it in a write, kill what resumes it in another, and let the third process finish.

        Points are taken kind by kind, so that rare ones are hit too.
        """
        rng = random.Random(f"{self.name} {number}")
        name = sorted(set(self.points))[number % len(set(self.points))]
        at = rng.choice([index for index, point in enumerate(self.points) if point == name])
        folder, landed, left = self.folder / str(number), [], 0
        for at in (at, rng.randrange(max(1, len(self.points) - at))):
            before = len(_lines(folder))
            code = self._start(folder, at)
            if code == 0:  # it had less to do than there was to count
                break
            assert code == -signal.SIGKILL, f"{self.name}, kill {number}: exit code {code}"
            assert len(_lines(folder)) == before + at + 1
            landed.append(_lines(folder)[-1])
            left += len(_temporaries(folder))
        code = self._start(folder, None)
        clean = not _temporaries(folder) and code == 0
        equal = clean and _figures(folder) == self.expected
        if equal:
            shutil.rmtree(folder)
        return {"landed": landed, "temporaries": left, "equal": equal, "folder": str(folder)}

    def _start(self, folder: Path, at: int | None) -> int:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["killed", "matplotlib.figure", "optuna", "easrec.cli"])
        process = context.Process(target=child, args=(self.name, folder, folder.with_suffix(".note"), at))
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


def run(name: str, kills: int, folder: Path) -> dict[str, Any]:
    """Kill a kind of work many times; the record."""
    kind = Kind(name, folder / name.replace(" ", "-"))
    done = [kind.kill(number) for number in range(kills)]
    landed = Counter(where for each in done for where in each["landed"])
    return {
        "works": kills,
        "kills": landed.total(),
        "landed": dict(sorted(landed.items())),
        "temporaries": sum(each["temporaries"] for each in done),
        "equal": sum(each["equal"] for each in done),
        "different": [each for each in done if not each["equal"]],
    }
