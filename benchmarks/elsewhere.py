"""Save an extracted full-size GPT-2, and load it in a process that cannot import elasticnas.

``python benchmarks/elsewhere.py docs/results`` writes ``elsewhere.json`` and ``elsewhere.md``.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
from elastify import IDS, Heads64, gpt2
from record import heading, write

from elasticnas import elastify, extract
from elasticnas.report import environment
from tests.elastic.elsewhere import read_without_elasticnas


@torch.no_grad()
def load_elsewhere() -> dict[str, Any]:
    """Compare weights and outputs in the other process with the sub-network in the supernet."""
    model = elastify(gpt2, Heads64).eval()
    arch, ids = Heads64(heads=8, inner=2048, depth=8), IDS[:2]
    plain = extract(model, arch, {"input_ids": ids})
    with model.at(arch):
        expected = model(ids).logits
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain.save_pretrained(folder / "found")
        files = {path.name: path.stat().st_size for path in sorted((folder / "found").iterdir())}
        done = read_without_elasticnas(folder / "found", ids.tolist(), folder)
        if done.returncode != 0:
            raise SystemExit(done.stderr)
        config, weights, logits = torch.load(folder / "out.pt")
    own = plain.state_dict()
    return {
        "architecture": arch.model_dump(),
        "config": {key: config[key] for key in ("n_embd", "n_head", "n_inner", "n_layer")},
        "files_bytes": files,
        "tensors": len(own),
        "tensors_equal": sum(name in weights and torch.equal(weights[name], own[name]) for name in own),
        "largest_difference": float((logits - expected).abs().max()),
    }


def page(record: dict[str, Any]) -> str:
    loaded = record["loaded"]
    files = ", ".join(f"`{name}` ({size / 2**20:.1f} MiB)" for name, size in loaded["files_bytes"].items())
    lines = [
        *heading("Loading an extracted model without elasticnas", record["environment"]),
        f"A GPT-2 is elastified, and {json.dumps(loaded['architecture'])} is extracted and saved with "
        f"`save_pretrained` ({files}). A new process that cannot import elasticnas loads it with only `transformers` "
        f"{record['environment']['transformers']}:",
        "",
        f"- config: {json.dumps(loaded['config'])}",
        f"- tensors equal to the extracted ones: {loaded['tensors_equal']} of {loaded['tensors']}",
        f"- largest difference of its logits to those of the sub-network in the supernet: "
        f"{loaded['largest_difference']:.1g} (float32)",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    where = environment(torch.device("cpu")) | {"transformers": transformers.__version__}
    record = {"loaded": load_elsewhere(), "environment": where}
    write(options.out, "elsewhere", record, page(record))


if __name__ == "__main__":
    main()
