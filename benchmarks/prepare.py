"""Prepare generated files of up to 100 million interactions, and record time and memory.

``python benchmarks/prepare.py docs/results`` writes ``prepare.json`` and ``prepare.md``; it takes about 20 minutes and
8 GB of disk. Files are generated with a fixed seed: 100 interactions per user, popular items first, times in seconds.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from record import heading, write

from elasticnas.report import environment, table

SIZES = (5_000_000, 20_000_000, 100_000_000)
_PART = 5_000_000
_ITEMS = 200_000
_LIMIT = 8.0  # GiB


def main() -> None:
    """Prepare a file of each size, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    given = parser.parse_args()
    rows = []
    for size in given.sizes:
        for kind in ("csv", "parquet"):
            rows.append(_measured(size, kind))
            print(rows[-1], flush=True)
    record = {"environment": environment(torch.device("cpu")), "seed": 0, "files": rows}
    write(given.out, "prepare", record, _page(record))


def _measured(size: int, kind: str) -> dict[str, Any]:
    """Prepare a generated file in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / f"log.{kind}", Path(folder) / "data.npz"
        _generate(size, file)
        command = [sys.executable, "-m", "elasticnas", "easrec", "prepare", "--data", str(file), "--out", str(out)]
        log, started = Path(folder) / "log.txt", time.perf_counter()
        with log.open("wb") as said:
            process = os.posix_spawn(
                sys.executable, command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, said.fileno(), 1)]
            )
            _, status, usage = os.wait4(process, 0)
        seconds = time.perf_counter() - started
        said_users = re.search(r"([\d,]+) users, ([\d,]+) items, ([\d,]+)\s+interactions", log.read_text())
        assert status == 0 and said_users, log.read_text()
        users, items, interactions = (int(found.replace(",", "")) for found in said_users.groups())
        assert interactions == size, f"{size - interactions} interactions were lost"
        return {
            "kind": kind,
            "interactions": size,
            "users": users,
            "items": items,
            "file_gb": file.stat().st_size / 1e9,
            "seconds": seconds,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_gib": usage.ru_maxrss / 2**20,
            "prepared_mb": out.stat().st_size / 1e6,
        }


def _generate(size: int, file: Path) -> None:
    rng, parts = np.random.default_rng(0), []
    for first in range(0, size, _PART):
        count = min(_PART, size - first)
        parts.append(
            pl.DataFrame(
                {
                    "user_id": rng.integers(0, size // 100, count),
                    "item_id": (rng.pareto(1.2, count) * 50).astype(np.int64) % _ITEMS,
                    "rating": rng.integers(1, 6, count),
                    # distinct in nearly all cases: exact repetitions would be dropped
                    "timestamp": 1_400_000_000_000 + rng.permutation(count) + first * 7,
                }
            )
        )
    frame = pl.concat(parts)
    if file.suffix == ".csv":
        frame.write_csv(file)
    else:
        frame.write_parquet(file)


def _page(record: dict[str, Any]) -> str:
    lines = heading("Preparing large files", record["environment"])
    lines += [
        "`elasticnas easrec prepare` on generated files, seed 0; memory is the peak of the process; the aim is under "
        f"{_LIMIT:g} GiB for 100 million interactions.",
        "",
    ]
    columns = ["interactions", "file", "GB", "users", "items", "seconds", "CPU seconds", "peak GiB", "prepared MB"]
    rows = [
        [
            f"{row['interactions']:,}",
            row["kind"],
            f"{row['file_gb']:.2f}",
            f"{row['users']:,}",
            f"{row['items']:,}",
            f"{row['seconds']:.0f}",
            f"{row['cpu_seconds']:.0f}",
            f"{row['peak_gib']:.2f}",
            f"{row['prepared_mb']:.0f}",
        ]
        for row in record["files"]
    ]
    return "\n".join([*lines, table(columns, rows), ""])


if __name__ == "__main__":
    main()
