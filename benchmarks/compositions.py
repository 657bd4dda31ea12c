"""The law on many whole models, drawn from seeds: how many of each part were drawn, and which failed.

``python benchmarks/compositions.py docs/results`` checks 50,000 and writes ``compositions.json`` and
``compositions.md``; it takes some 30 minutes on two cores. Chunks that are done are kept in ``--keep``: run the same
command again to resume.
"""

import argparse
import json
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch
from record import heading, write
from rich.console import Console

from elasticnas.report import Stage, environment
from elasticnas.testing.compositions import TRAITS, check_composition, draw_composition, traits


def run(first: int, count: int) -> dict[str, Any]:
    """Seeds ``first`` to ``first + count - 1``: how often each trait was drawn, and the errors by seed."""
    torch.set_num_threads(1)
    drawn: Counter[str] = Counter()
    failed, started = {}, time.process_time()
    for seed in range(first, first + count):
        composition = draw_composition(seed)
        drawn.update(traits(composition))
        try:
            check_composition(composition)
        except Exception as error:  # whatever it is, it is recorded
            failed[str(seed)] = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return {"first": first, "count": count, "drawn": drawn, "failed": failed, "seconds": time.process_time() - started}


def kept(path: Path, commit: str | None) -> dict[str, Any] | None:
    """A chunk that was finished at this commit; None where there is none, or the code may have changed since."""
    if commit is None or commit.endswith("-dirty") or not path.exists():
        return None
    chunk: dict[str, Any] = json.loads(path.read_text())
    return chunk if chunk.pop("commit") == commit else None


def run_all(firsts: list[int], count: int, keep: Path, workers: int, commit: str | None) -> list[dict[str, Any]]:
    """Every chunk, those kept from an earlier run included; each is kept as soon as it is finished."""
    keep.mkdir(parents=True, exist_ok=True)
    found = {first: kept(keep / f"{first}-{count}.json", commit) for first in firsts}
    done = [chunk for chunk in found.values() if chunk is not None]
    missing, started = [first for first, chunk in found.items() if chunk is None], time.monotonic()
    with Stage(Console(), f"{len(missing)} chunks of {count}") as stage, ProcessPoolExecutor(workers) as pool:
        waiting = [pool.submit(run, first, count) for first in missing]
        for number, future in enumerate(as_completed(waiting), 1):
            chunk = future.result()
            path = keep / f"{chunk['first']}-{count}.json"
            path.with_suffix(".part").write_text(json.dumps(chunk | {"commit": commit}))
            path.with_suffix(".part").replace(path)
            done.append(chunk)
            left = (time.monotonic() - started) / number * (len(missing) - number)
            stage.update(number / len(missing), f"{sum(len(each['failed']) for each in done)} failed", left)
    return done


def summary(chunks: list[dict[str, Any]], where: dict[str, Any]) -> dict[str, Any]:
    """The record of all chunks."""
    drawn: Counter[str] = Counter()
    for chunk in chunks:
        drawn.update(chunk["drawn"])
    count = sum(chunk["count"] for chunk in chunks)
    failed = {seed: error for chunk in chunks for seed, error in chunk["failed"].items()}
    return {
        "environment": where,
        "seeds": [min(chunk["first"] for chunk in chunks), count],
        "models": count,
        "failed": failed,
        "milliseconds_per_model": round(1e3 * sum(chunk["seconds"] for chunk in chunks) / count, 1),
        "drawn": {trait: drawn[trait] for trait in TRAITS},
    }


def page(record: dict[str, Any]) -> str:
    """The record to read."""
    count, failed = record["models"], record["failed"]
    lines = [
        *heading("Whole models keep the law", record["environment"]),
        f"{count:,} models, seeds 0 to {count - 1:,}: **{len(failed)} failed**. One model takes "
        f"{record['milliseconds_per_model']:g} ms of one core.",
        "",
        "Each is a space with rules and a model made for it, drawn from its seed by `elasticnas.testing.compositions`. "
        "Slices, masks, masks for each sample, one-hot soft masks, mixed batches and the extracted network are "
        "compared in float64, forward and gradients; the extracted network also with one built from numbers. One in "
        "ten is compared with a forward that uses nothing of `elasticnas.nn`, and fewer with copies, in threads, and "
        "after a pass in inference mode, with fake tensors or on the meta device ([testing.md](../testing.md)).",
        "",
        "| part or trait | models |",
        "|---|---:|",
        *(f"| {trait} | {drawn:,} |" for trait, drawn in record["drawn"].items()),
    ]
    if failed:
        lines += ["", "| seed | error |", "|---:|---|", *(f"| {seed} | {error} |" for seed, error in failed.items())]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--chunk", type=int, default=250)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, default=Path("runs/compositions"))
    given = parser.parse_args(arguments)
    if given.count % given.chunk:
        parser.error(f"--count {given.count} is no multiple of --chunk {given.chunk}")
    torch.set_num_threads(1)
    where = environment(torch.device("cpu"))
    firsts = list(range(0, given.count, given.chunk))
    chunks = run_all(firsts, given.chunk, given.keep, given.workers, where["commit"])
    record = summary(chunks, where)
    write(given.out, "compositions", record, page(record))
    print(f"{record['models']:,} models, {len(record['failed'])} failed")


if __name__ == "__main__":
    main()
