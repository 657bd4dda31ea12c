"""Compare predicted with measured latency, on an elastified GPT-2.

``python benchmarks/latency.py docs/results`` writes ``latency.json`` and ``latency.md``: architectures are measured one
by one, and each is predicted by a fit to the others (four folds).
"""

import argparse
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from record import heading, write

from elasticnas import Space, elastify
from elasticnas.cost import Latency
from elasticnas.report import environment


class Sizes(Space):
    """The hidden size is 32 per head."""

    heads: Literal[12, 10, 8, 6, 4]
    inner: Literal[1536, 1024, 768, 512, 256]
    depth: Literal[8, 7, 6, 5, 4, 3, 2, 1]

    @property
    def hidden(self) -> int:
        return 32 * self.heads


def build(heads: int, hidden: int, inner: int, depth: int) -> torch.nn.Module:
    config = transformers.GPT2Config(
        vocab_size=1000, n_positions=128, n_embd=hidden, n_head=heads, n_inner=inner, n_layer=depth,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config)


def page(record: dict[str, Any]) -> str:
    rows, sizes = record["rows"], record["sizes"]
    lines = [
        *heading("Latency, predicted and measured", record["environment"]),
        f"An elastified GPT-2 with {sizes['architectures']} architectures; forward pass of {sizes['batch']} "
        f"sequences of length {sizes['length']}, median of {sizes['repeats']}. {len(rows)} architectures were "
        "measured, and each was predicted from the others (four folds; least squares of log ms on log FLOPs and "
        "options).",
        "",
        f"Rank correlation (Spearman) {record['rank_correlation']:.3f}, mean relative error "
        f"{record['mean_relative_error']:.1%}.",
        "",
        "| architecture | predicted, ms | measured, ms | error |",
        "|---|---:|---:|---:|",
    ]
    for row in rows:
        arch = ", ".join(f"{name} {value}" for name, value in row["architecture"].items())
        predicted, measured = row["predicted_ms"], row["measured_ms"]
        lines.append(f"| {arch} | {predicted:.2f} | {measured:.2f} | {predicted / measured - 1:+.1%} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--measured", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    model = elastify(build, Sizes).eval()
    example = {"input_ids": torch.randint(0, 1000, (options.batch, options.length))}
    report = Latency(model, example, repeats=options.repeats, max_measured=options.measured).report()
    rows = sorted(report.rows, key=lambda row: row[2])
    record = {
        "rank_correlation": report.rank_correlation,
        "mean_relative_error": report.mean_relative_error,
        "rows": [{"architecture": a.model_dump(), "predicted_ms": p, "measured_ms": m} for a, p, m in rows],
        "sizes": {
            "architectures": Sizes.size(),
            "batch": options.batch,
            "length": options.length,
            "repeats": options.repeats,
        },
        "environment": environment(torch.device("cpu")),
    }
    write(options.out, "latency", record, page(record))


if __name__ == "__main__":
    main()
