"""Measure elastify: probing time at full size, equality with separately built models, overhead of running sliced.

``python benchmarks/elastify.py docs/results`` writes ``elastify.json`` and ``elastify.md``. The two forms of a forward
pass are timed alternately, so that other load on the machine affects both.
"""

import argparse
import inspect
import json
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from record import write
from torch import Tensor, nn

from elasticnas import Space, elastify, extract
from elasticnas.report import environment
from tests.elastic.families import ROTARY_RULES, SASREC_RULES, Rotary, SASRec, indices, of_tensor

LENGTH = 64
IDS = torch.randint(1, 1000, (64, LENGTH), generator=torch.Generator().manual_seed(0))
PIXELS = torch.rand(64, 3, 64, 64, generator=torch.Generator().manual_seed(0))


class Heads64(Space):
    """The hidden size is 64 per head."""

    heads: Literal[12, 8, 6]
    inner: Literal[3072, 2048, 1536]
    depth: Literal[12, 8, 4]

    @property
    def hidden(self) -> int:
        return 64 * self.heads


class Grouped(Space):
    """Heads of width 64, independent of the hidden size."""

    hidden: Literal[768, 576, 384]
    heads: Literal[12, 8, 4]
    inner: Literal[3072, 2048, 1536]
    depth: Literal[12, 8, 4]


class Narrowed(Space):
    """Twelve heads, whose width follows the hidden size."""

    hidden: Literal[768, 576, 384]
    inner: Literal[3072, 2048, 1536]
    depth: Literal[12, 8, 4]


class Independent(Space):
    """Independent sizes."""

    hidden: Literal[768, 576, 384]
    heads: Literal[12, 8, 4]
    head_dim: Literal[64, 48, 32]
    inner: Literal[3072, 2048, 1536]
    depth: Literal[12, 8, 4]


@dataclass(frozen=True)
class Case:
    """A full-size model.

    Attributes:
        inputs: Returns inputs for a batch size and an architecture.
        heads: Factors of every dimension that is narrowed within heads, by the end of a tensor's name, derived by hand
            from the model's forward pass. All others keep their first units.
        rules: Rules for elastify.
    """

    name: str
    build: Callable[..., nn.Module]
    space: type[Space]
    inputs: Callable[[int, Any], dict[str, Tensor]]
    heads: Mapping[str, Mapping[int, Callable[[Any], tuple[int, ...]]]] = field(default_factory=dict)
    rules: Mapping[str, str] | None = None


def encoder(heads: int, hidden: int, inner: int, depth: int) -> nn.Module:
    layer = nn.TransformerEncoderLayer(hidden, heads, inner, batch_first=True)
    return nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)


def gpt2(heads: int, hidden: int, inner: int, depth: int) -> nn.Module:
    config = transformers.GPT2Config(n_embd=hidden, n_head=heads, n_inner=inner, n_layer=depth)
    return transformers.GPT2LMHeadModel(config)


def bert(heads: int, hidden: int, inner: int, depth: int) -> nn.Module:
    config = transformers.BertConfig(
        hidden_size=hidden, num_attention_heads=heads, intermediate_size=inner, num_hidden_layers=depth
    )
    return transformers.BertModel(config)


def vit(heads: int, hidden: int, inner: int, depth: int) -> nn.Module:
    config = transformers.ViTConfig(
        hidden_size=hidden, num_attention_heads=heads, intermediate_size=inner, num_hidden_layers=depth, image_size=64
    )
    return transformers.ViTModel(config)


def llama(heads: int, hidden: int, inner: int, depth: int) -> nn.Module:
    config = transformers.LlamaConfig(
        hidden_size=hidden, num_attention_heads=heads, num_key_value_heads=4, head_dim=64, intermediate_size=inner,
        num_hidden_layers=depth, vocab_size=32_000, max_position_embeddings=1024,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


def t5(heads: int, hidden: int, inner: int, depth: int) -> nn.Module:
    config = transformers.T5Config(d_model=hidden, num_heads=heads, d_kv=64, d_ff=inner, num_layers=depth)
    return transformers.T5ForConditionalGeneration(config)


def sasrec(hidden: int, inner: int, depth: int) -> nn.Module:
    return SASRec(hidden, inner, depth, heads=12, items=20_000, length=LENGTH)


def rotary(hidden: int, heads: int, head_dim: int, inner: int, depth: int) -> nn.Module:
    return Rotary(hidden, heads, head_dim, inner, depth, LENGTH)


def _vectors(batch: int, arch: Any) -> dict[str, Tensor]:
    return {"src": torch.randn(batch, LENGTH, arch.hidden, generator=torch.Generator().manual_seed(0))}


def _features(batch: int, arch: Any) -> dict[str, Tensor]:
    return {"x": torch.randn(batch, LENGTH, 5, generator=torch.Generator().manual_seed(0))}


def _fused(arch: Any) -> tuple[int, ...]:
    return (3, arch.heads, 64)


def _grouped(arch: Any) -> tuple[int, ...]:
    return (4, arch.heads // 4, 64)


def _narrow(arch: Any) -> tuple[int, ...]:
    return (12, arch.hidden // 12)


def _narrow_fused(arch: Any) -> tuple[int, ...]:
    return (3, 12, arch.hidden // 12)


def _by_head_dim(arch: Any) -> tuple[int, ...]:
    return (arch.heads, arch.head_dim)


CASES = (
    Case(
        "nn.TransformerEncoder",
        encoder,
        Heads64,
        _vectors,
        {"in_proj_weight": {0: _fused}, "in_proj_bias": {0: _fused}},
    ),
    Case(
        "GPT-2",
        gpt2,
        Heads64,
        lambda batch, arch: {"input_ids": IDS[:batch]},
        {"c_attn.weight": {1: _fused}, "c_attn.bias": {0: _fused}},
    ),
    Case("BERT", bert, Heads64, lambda batch, arch: {"input_ids": IDS[:batch]}),
    Case(
        "Llama, grouped queries",
        llama,
        Grouped,
        lambda batch, arch: {"input_ids": IDS[:batch]},
        {"q_proj.weight": {0: _grouped}, "o_proj.weight": {1: _grouped}},
    ),
    Case("ViT", vit, Heads64, lambda batch, arch: {"pixel_values": PIXELS[:batch]}),
    Case("T5", t5, Grouped, lambda batch, arch: {"input_ids": IDS[:batch], "decoder_input_ids": IDS[:batch]}),
    Case(
        "SASRec by hand, fused qkv",
        sasrec,
        Narrowed,
        lambda batch, arch: {"ids": IDS[:batch]},
        {"qkv.weight": {0: _narrow_fused}, "qkv.bias": {0: _narrow_fused}, "attention.out.weight": {1: _narrow}},
        SASREC_RULES,
    ),
    Case(
        "rotary by hand, gated FFN",
        rotary,
        Independent,
        _features,
        {
            **{f"{n}.{kind}": {0: _by_head_dim} for n in "qkv" for kind in ("weight", "bias")},
            "o.weight": {1: _by_head_dim},
        },
        ROTARY_RULES,
    ),
)


def measure(case: Case, repeats: int) -> dict[str, Any]:
    """Measure one row of the page."""
    from elasticnas.elastic.model import shell

    started = time.perf_counter()
    case.build(**_sizes(case.space.largest(), case.build))
    built = time.perf_counter() - started
    probing = []
    for _ in range(3):
        started = time.perf_counter()
        shell(case.build, case.space, case.rules)
        probing.append(time.perf_counter() - started)
    model = elastify(case.build, case.space, case.rules).eval()
    _perturb(model)
    rng = random.Random(0)
    archs = [case.space.smallest(), *(case.space.sample(rng) for _ in range(3))]
    difference = max(_difference(case, model, arch) for arch in archs)
    middle = archs[1]
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "probing_s": statistics.median(probing),
        "build_s": built,
        "largest_difference": difference,
        "architectures_compared": len(archs),
        "timed": middle.model_dump(),
        "forward": {str(batch): _ratio(case, model, middle, batch, repeats) for batch in (64, 1)},
    }


def _sizes(arch: Any, build: Callable[..., nn.Module]) -> dict[str, Any]:
    return {name: getattr(arch, name) for name in inspect.signature(build).parameters}


@torch.no_grad()
def _perturb(model: nn.Module) -> None:
    """Perturb all parameters: norms and biases of ones and zeros would hide a wrong layout."""
    for parameter in model.parameters():
        parameter.add_(0.02 * torch.randn_like(parameter))


@torch.no_grad()
def _difference(case: Case, model: Any, arch: Any) -> float:
    """Return the largest difference to a separately built model, whose weights are selected without elastify."""
    small, full = case.build(**_sizes(arch, case.build)).eval(), dict(model.network.named_parameters())
    for name, parameter in small.named_parameters():
        shapes = tuple(full[name].shape), tuple(parameter.shape)
        index = indices(of_tensor(case.heads, name), *shapes, case.space.largest(), arch)
        parameter.copy_(full[name][index])
    inputs = case.inputs(2, arch)
    with model.at(arch):
        return float((_first(model(**inputs)) - _first(small(**inputs))).abs().max())


@torch.no_grad()
def _ratio(case: Case, model: Any, arch: Any, batch: int, repeats: int) -> dict[str, float]:
    """Return milliseconds of both forms, timed alternately, and the quartiles of their ratio."""
    plain, inputs = extract(model, arch).eval(), case.inputs(batch, arch)
    times: dict[str, list[float]] = {"sliced": [], "extracted": []}

    def sliced() -> None:
        with model.at(arch):
            model(**inputs)

    forms = {"sliced": sliced, "extracted": partial(plain, **inputs)}
    for form in forms.values():
        form()
    for number in range(repeats):
        for name in sorted(forms, reverse=bool(number % 2)):
            started = time.perf_counter()
            forms[name]()
            times[name].append(1000 * (time.perf_counter() - started))
    low, middle, high = statistics.quantiles([s / e for s, e in zip(*times.values(), strict=True)], n=4)
    medians = {f"{name}_ms": statistics.median(values) for name, values in times.items()}
    return {
        **medians,
        "ratio": medians["sliced_ms"] / medians["extracted_ms"],
        "low": low,
        "middle": middle,
        "high": high,
    }


def _first(output: Any) -> Tensor:
    found = output if isinstance(output, Tensor) else output[0]
    assert isinstance(found, Tensor)
    return found


def page(record: dict[str, Any]) -> str:
    where = record["environment"]
    compared = next(iter(record["models"].values()))["architectures_compared"]
    lines = [
        "# elastify",
        "",
        f"`{where['command']}`, commit {where['commit']}, {where['processor']}, {where['threads']} threads, "
        f"torch {where['torch']}, transformers {where['transformers']}.",
        "",
        "Full-size models with random weights. *Probing* builds the model once for each changed size, on the meta "
        "device; the supernet itself is then built once. *Difference*: largest difference of outputs between a "
        "sub-network and a separately built model with the same units, over "
        f"{compared} architectures in float32 (the benchmark lists these units by hand, from each model's forward "
        "pass). *Sliced / extracted*: time of a forward pass of the sub-network in the supernet relative to the "
        f"extracted network, {LENGTH} positions, timed alternately: ratio of medians, and quartiles of the ratio of "
        "each round.",
        "",
        "| model | parameters, M | probing, s | building, s | difference | sliced / extracted, batch 64 | batch 1 |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, row in record["models"].items():
        ratios = [f"{r['ratio']:.2f} ({r['low']:.2f} to {r['high']:.2f})" for r in row["forward"].values()]
        lines.append(
            f"| {name} | {row['parameters'] / 1e6:.0f} | {row['probing_s']:.2f} | {row['build_s']:.2f} | "
            f"{row['largest_difference']:g} | {' | '.join(ratios)} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="", help="models whose name contains this text")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    models = {}
    for case in CASES:
        if options.only in case.name:
            models[case.name] = measure(case, options.repeats)
            print(case.name, json.dumps(models[case.name]), flush=True)
    record = {
        "models": models,
        "environment": environment(torch.device("cpu")) | {"transformers": transformers.__version__},
    }
    write(options.out, "elastify", record, page(record))


if __name__ == "__main__":
    main()
