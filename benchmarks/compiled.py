"""Count the graphs that torch.compile makes for many architectures under masks.

``python benchmarks/compiled.py docs/results`` writes ``compiled.json`` and ``compiled.md``: a transformer of elastic
primitives, with softmax and with LinRec attention, runs forward and backward at random architectures.
"""

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from record import heading, write
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

from elasticnas import axes_of
from elasticnas.report import environment
from tests.nn.test_compile import Sizes, supernet


def count(model: nn.Module, inputs: Tensor, archs: Sequence[Any], backend: str) -> dict[str, Any]:
    """Return the number of graphs for masked architectures, and the largest difference to the uncompiled model."""
    torch._dynamo.reset()
    counted, axes, difference = CompileCounterWithBackend(backend), axes_of(model), 0.0
    compiled = torch.compile(model, backend=counted, fullgraph=True)
    for arch in archs:
        with axes.masked(arch):
            output, expected = compiled(inputs), model(inputs)
        output.square().sum().backward()
        difference = max(difference, float((output - expected).detach().abs().max()))
    return {
        "backend": backend,
        "architectures": len(archs),
        "distinct_architectures": len(set(archs)),
        "graphs": counted.frame_count,
        "largest_difference": difference,
    }


def page(record: dict[str, Any]) -> str:
    lines = [
        *heading("Masks under torch.compile", record["environment"]),
        f"A transformer of elastic primitives with {record['space_size']} architectures, masked: the shapes of all "
        "tensors stay the same. With `fullgraph=True`, a graph break would be an error. *Difference*: the largest "
        "difference of outputs to those of the uncompiled model, float32.",
        "",
        "| attention | backend | architectures | distinct | graphs | difference |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for kind, row in record["attention"].items():
        lines.append(
            f"| {kind} | {row['backend']} | {row['architectures']} | {row['distinct_architectures']} | "
            f"{row['graphs']} | {row['largest_difference']:.1g} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--architectures", type=int, default=32)
    parser.add_argument("--backend", default="inductor")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    rng, inputs = random.Random(0), torch.randint(0, 11, (3, 6))
    archs = [Sizes.sample(rng) for _ in range(options.architectures)]
    record = {
        "attention": {kind: count(supernet(kind), inputs, archs, options.backend) for kind in ("softmax", "linrec")},
        "space_size": Sizes.size(),
        "environment": environment(torch.device("cpu")),
    }
    write(options.out, "compiled", record, page(record))


if __name__ == "__main__":
    main()
