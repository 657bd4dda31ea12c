"""EASRec on ML-1M: search, retraining and evaluation; what ran is kept when the clock cuts it."""

import json
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch

import easrec
from elasticnas.report import peak_memory
from gpu_parts.scale import Scale

__all__ = ["SHARE", "TITLE", "lines", "measure"]

TITLE = "EASRec: search, retraining, evaluation"
SHARE = 0.65
_DATA = Path(__file__).parents[1] / "gpu-kit" / "ml-1m.tsv.gz"


def measure(record: Any, device: str, scale: Scale) -> None:
    """Run the recipe; record the steps of each stage every two seconds."""
    data = _DATA if scale.preset != "demo" else None
    if data is not None and not data.exists():
        raise SystemExit(f"{data}: missing; fill the folder by make gpu-kit DATA=ml-1m.tsv.gz")
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        done = threading.Event()
        watch = threading.Thread(target=_watch, args=(record, Path(folder), begun, done, device), daemon=True)
        watch.start()
        signal.signal(signal.SIGTERM, lambda *_: _cut(record, Path(folder), begun, device))
        time_column = None if data is None else "none"
        options = {"settings": scale.settings, "device": device, "progress": False, "time": time_column}
        result = easrec.run(data, scale.preset, folder, **options)
        done.set()
        watch.join()
        _note(record, Path(folder), begun, device)
        metrics = {name: network.metrics.get("test", {}) for name, network in result.networks.items()}
        record(finished=True, metrics=metrics, flops={n: each.flops for n, each in result.networks.items()})


def lines(figures: dict[str, Any]) -> list[str]:
    """Return the lines of the page: time and memory, the steps of each stage, the networks."""
    ended = "" if figures["finished"] else ", not finished"
    found = [f"{figures['seconds']:.0f} s in all{ended}; peak memory {figures['peak_bytes'] / 2**30:.2f} GiB.", ""]
    found += ["| stage | steps |", "|---|---:|"]
    found += [f"| {name} | {stage['last']['step']:,} |" for name, stage in figures["stages"].items()]
    if networks := figures.get("flops"):
        found += ["", "| network | MFLOPs | unseen HR@10 | unseen NDCG@10 |", "|---|---:|---:|---:|"]
    for name in networks or ():
        unseen = figures["metrics"][name]["unseen"]
        cells = f"{figures['flops'][name] / 1e6:.1f} | {unseen['recall@10']:.4f} | {unseen['ndcg@10']:.4f}"
        found.append(f"| {name} | {cells} |")
    return [*found, ""]


def _watch(record: Any, folder: Path, begun: float, done: threading.Event, device: str) -> None:
    while not done.wait(2):
        _note(record, folder, begun, device)


def _cut(record: Any, folder: Path, begun: float, device: str) -> None:
    _note(record, folder, begun, device)
    raise SystemExit(1)


def _note(record: Any, folder: Path, begun: float, device: str) -> None:
    """Record the steps and the pace of each stage, and the peak memory."""
    stages = {}
    for path in sorted(folder.rglob("metrics.jsonl")):
        lines = path.read_text().splitlines()
        try:
            first, last = json.loads(lines[0]), json.loads(lines[-1])
        except (IndexError, ValueError):
            continue
        stages[str(path.parent.relative_to(folder))] = {"lines": len(lines), "first": first, "last": last}
    record(
        finished=False,
        seconds=time.perf_counter() - begun,
        peak_bytes=peak_memory(torch.device(device)),
        stages=stages,
    )
