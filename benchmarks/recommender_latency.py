"""Measure the latency of a recorded run's networks again.

``python benchmarks/recommender_latency.py docs/results/ml-1m.json``

The networks of a ``result.json`` are built with random weights, which take as long as trained ones, and timed
alternately: one sequence of full length, scored at its last position. The result is written to ``<name>-latency.json``
in the same folder.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch

from easrec.model import supernet
from easrec.result import RunResult
from elasticnas.cost import Latency
from elasticnas.report import environment

ROUNDS = 9


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    result = RunResult.from_dict(json.loads(options.result.read_text()))
    config, items = result.config, result.data.statistics.items
    model, length = supernet(config.model, items, causal=True), config.model.length
    example = torch.ones(1, length, dtype=torch.long), torch.tensor([length])
    latency = Latency(model, example, call=lambda network, inputs: network.next_item(*inputs))
    archs: dict[Any, list[str]] = {}
    for name, network in result.networks.items():
        archs.setdefault(network.architecture, []).append(name)
    rounds = [{arch: latency.measure(arch) for arch in archs} for _ in range(ROUNDS)]
    figures = {}
    for arch, names in archs.items():
        several = [measured[arch].median_ms for measured in rounds]
        low, middle, high = statistics.quantiles(several, n=4)
        figures |= {name: {"median_ms": middle, "low_ms": low, "high_ms": high} for name in names}
        print(f"{', '.join(names)}: {middle:.2f} ms (quartiles of {ROUNDS} rounds {low:.2f} to {high:.2f})")
    record = {"latency": figures, "environment": environment(torch.device("cpu"))}
    target = options.result.with_name(f"{options.result.stem}-latency.json")
    target.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
