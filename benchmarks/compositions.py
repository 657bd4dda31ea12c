"""Check the law on many random models, and count their parts and failures.

``python benchmarks/compositions.py docs/results`` checks 50,000 and writes ``compositions.json`` and
``compositions.md``; it takes about 30 minutes on two cores. Finished chunks are saved in ``--keep``: run the same
command again to resume.
"""

import argparse
import json
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from record import heading, write
from rich.console import Console

from elasticnas.report import Stage, environment
from elasticnas.testing.compositions import TRAITS, check_composition, draw_composition, traits


def run(first: int, count: int) -> dict[str, Any]:
    """Check seeds ``first`` to ``first + count - 1``; return counts of traits, and errors by seed."""
    torch.set_num_threads(1)
    drawn: Counter[str] = Counter()
    failed, started = {}, time.process_time()
    for seed in range(first, first + count):
        composition = draw_composition(seed)
        drawn.update(traits(composition))
        try:
            check_composition(composition)
        except Exception as error:  # any error is a failure to record
            failed[str(seed)] = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return {"first": first, "count": count, "drawn": drawn, "failed": failed, "seconds": time.process_time() - started}


def load_chunk(path: Path, commit: str | None) -> dict[str, Any] | None:
    """Load a chunk finished at this commit; None if there is none, or the code may have changed."""
    if commit is None or commit.endswith("-dirty") or not path.exists():
        return None
    chunk: dict[str, Any] = json.loads(path.read_text())
    return chunk if chunk.pop("commit") == commit else None


def run_all(firsts: list[int], count: int, keep: Path, workers: int, commit: str | None) -> list[dict[str, Any]]:
    """Run every chunk that is not yet saved, save each when it is finished, and return all."""
    keep.mkdir(parents=True, exist_ok=True)
    found = {first: load_chunk(keep / f"{first}-{count}.json", commit) for first in firsts}
    done = [chunk for chunk in found.values() if chunk is not None]
    missing, started = [first for first, chunk in found.items() if chunk is None], time.monotonic()
    # a fork would inherit the threads of a backward pass that ran in this process, and autograd refuses that
    executor = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    with Stage(Console(), f"{len(missing)} chunks of {count}") as stage, executor as pool:
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
    """Return the record of all chunks."""
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
    """Return the page for a record."""
    count, failed = record["models"], record["failed"]
    lines = [
        *heading("The law on random models", record["environment"]),
        f"{count:,} models, seeds 0 to {count - 1:,}: **{len(failed)} failed**. One model takes "
        f"{record['milliseconds_per_model']:g} ms of one core.",
        "",
        "Each seed gives a space with rules and a model for it, drawn by `elasticnas.testing.compositions`. "
        "Slices, masks, per-sample masks, one-hot soft masks, mixed batches and the extracted network are compared in "
        "float64, forward and gradients; the extracted network also with one built from ints. One in ten is compared "
        "with a forward written without `elasticnas.nn`, and fewer as copies, in threads, and after a pass in "
        "inference mode, with fake tensors or on the meta device ([testing.md](../testing.md)).",
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
    options = parser.parse_args(arguments)
    if options.count % options.chunk:
        parser.error(f"--count {options.count} is not a multiple of --chunk {options.chunk}")
    torch.set_num_threads(1)
    where = environment(torch.device("cpu"))
    firsts = list(range(0, options.count, options.chunk))
    chunks = run_all(firsts, options.chunk, options.keep, options.workers, where["commit"])
    record = summary(chunks, where)
    write(options.out, "compositions", record, page(record))
    print(f"{record['models']:,} models, {len(record['failed'])} failed")


if __name__ == "__main__":
    main()
