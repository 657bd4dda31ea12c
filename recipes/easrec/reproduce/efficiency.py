"""Table IV: time and peak memory of inference on the test set, for the extracted networks."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from easrec.artifact import Recommender
from easrec.data import Interactions, Split, pad, times_of
from elasticnas.errors import CheckpointError, ElasticNASError
from elasticnas.report import peak_memory, reset_peak_memory
from elasticnas.runtime import configure_torch

__all__ = ["measure"]

_ROUNDS, _PROCESSES = 5, 3


def measure(
    models: Mapping[str, Path], data: Path, device: str, batch: int, threads: int
) -> tuple[dict[str, dict[str, list[float]]], dict[str, str]]:
    """Measure the time and peak memory of scoring the next item of every user with a test target.

    Networks are timed in turns in one process, after a warm-up pass, so that other load on the machine affects all of
    them. The memory of each is measured in a separate process: the increase of the resident set, or on CUDA of
    allocated memory.

    Args:
        models: Folder of each saved recommender, by name.
        data: Prepared interactions, .npz.
        device: Name of the device.
        batch: Users scored together.
        threads: CPU threads.

    Returns:
        For each network ``seconds`` (five passes), ``memory_bytes`` (three processes) and ``weights_bytes``; and the
        reason for each model that could not be loaded.
    """
    where = torch.device(device)
    split = Split(Interactions.load(data), timed=True)
    configure_torch(threads)
    networks, broken = {}, {}
    for name, folder in models.items():
        try:
            networks[name] = Recommender.load(folder, where)
        except CheckpointError as error:
            broken[name] = str(error)
    times: dict[str, list[float]] = {name: [] for name in networks}
    for turn in range(_ROUNDS + 1):
        for name in sorted(networks, reverse=bool(turn % 2)):
            seconds = _pass(networks[name], split, where, batch)
            if turn:  # the first is a warm-up
                times[name].append(seconds)
    found = {
        name: {
            "seconds": seconds,
            "memory_bytes": [_memory(models[name], data, device, batch, threads) for _ in range(_PROCESSES)],
            "weights_bytes": [
                float(sum(each.numel() * each.element_size() for each in networks[name].network.parameters()))
            ],
        }
        for name, seconds in times.items()
    }
    return found, broken


@torch.no_grad()
def _pass(recommender: Recommender, split: Split, device: torch.device, batch: int) -> float:
    history, length = split.history("test"), recommender.config.model.length
    order = np.argsort(history.lengths, kind="stable")
    started = time.perf_counter()
    for first in range(0, len(order), batch):
        part = history.take(order[first : first + batch])
        starts = np.maximum(part.starts, part.stops - length)
        inputs = torch.from_numpy(pad(part.items, starts, part.stops))
        lengths = torch.from_numpy(np.minimum(part.lengths, length))
        when = times_of(part, starts, part.stops) if recommender.network.time_bias != "none" else ()
        recommender.network.next_item(*(each.to(device) for each in (inputs, lengths, *when)))
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def _memory(model: Path, data: Path, device: str, batch: int, threads: int) -> float:
    code = "import sys; from easrec.reproduce.efficiency import report; report(*sys.argv[1:])"
    command = [sys.executable, "-c", code, str(model), str(data), device, str(batch), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        reason = lines[-1] if lines else done.returncode
        raise ElasticNASError(f"{model}: its memory cannot be measured ({reason})")
    return float(json.loads(done.stdout.splitlines()[-1])["memory_bytes"])


def report(model: str, data: str, device: str, batch: str, threads: str) -> None:
    """Print the memory that one pass needs as JSON; runs in a separate process."""
    where = torch.device(device)
    configure_torch(int(threads))
    split, recommender = Split(Interactions.load(Path(data)), timed=True), Recommender.load(Path(model), where)
    one = torch.ones(1, 1, dtype=torch.int64, device=where)
    when = (one, one) if recommender.network.time_bias != "none" else ()
    with torch.no_grad():
        recommender.network.next_item(one, one[0], *when)  # exclude what torch allocates on first use
    before = reset_peak_memory(where)
    _pass(recommender, split, where, int(batch))
    print(json.dumps({"memory_bytes": peak_memory(where) - before}))
