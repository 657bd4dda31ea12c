"""The page of the benchmark of trained models."""

from collections.abc import Iterator
from typing import Any

from record import heading

__all__ = ["page"]

METRICS = {
    "MiniLM-L6": {
        "agreement": "agreement",
        "captions": "agreement on captions",
        "cosine": "cosine",
        "spearman": "Spearman",
    },
    "SmolLM2-135M": {"loss": "loss"},
    "stories260K": {"loss": "loss"},
}
ABOUT = {
    "MiniLM-L6": "Sentence encoder with mean pooling. Spearman: correlation of the cosine with the labels of all 1,379 "
    "test pairs of STS-B. Agreement: correlation of the cosines of all pairs of 200 sentences with those of the full "
    "model, for sentences of all its sources, and for the first 200, which are captions. Cosine: mean cosine of the "
    "embeddings with those of the full model. Heads keep their width.",
    "SmolLM2-135M": "Mean loss per token on 1,024 tokens of WikiText-2 (test).",
    "stories260K": "Mean loss per token on Shakespeare; the model was trained on short stories.",
}


def page(record: dict[str, Any]) -> str:
    """Return the page of a record."""
    parts = record["parts"]
    lines = [
        *heading("Trained models without further training", record["environment"]),
        "Sub-networks of trained models at a share of the FLOPs, without further training. Units are in the order of "
        "the trained model (none), or sorted by `reorder`. Kept layers are the first ones (prefix), or those that "
        "`layer_importance` ranks highest. Of the sizes that fit a budget, the best on other data is measured.",
        "",
    ]
    for model, metrics in METRICS.items():
        if f"{model}/whole" in parts:
            lines += [f"## {model}", "", ABOUT[model], "", *_table(model, metrics, parts), ""]
    if "rotary" in parts:
        lines += _rotary(parts["rotary"])
    return "\n".join(lines).rstrip() + "\n"


def _table(model: str, metrics: dict[str, str], parts: dict[str, Any]) -> Iterator[str]:
    whole = parts[f"{model}/whole"]
    yield f"| order | kept layers | FLOPs | {' | '.join(metrics.values())} | architecture |"
    yield f"|---|---|---:|{'---:|' * len(metrics)}---|"
    yield f"| full model | | 100 % | {' | '.join(f'{whole[key]:.3f}' for key in metrics)} | |"
    for name, found in parts.items():
        if name.startswith(f"{model}/") and "flops" in found:
            _, order, kept, _ = name.split("/")
            cells = " | ".join(f"{found[key]:.3f}" for key in metrics)
            yield f"| {order} | {kept} | {100 * found['flops']:.1f} % | {cells} | {_text(found['architecture'])} |"
    if f"{model}/layers" in parts:
        yield ""
        yield f"Layers in the order of removal: {', '.join(map(str, parts[f'{model}/layers']['removal']))}."


def _text(architecture: dict[str, Any]) -> str:
    kept = [str(position) for position, alive in enumerate(architecture["keep"]) if alive]
    gone = [str(position) for position, alive in enumerate(architecture["keep"]) if not alive]
    sizes = ", ".join(f"{name} {value}" for name, value in architecture.items() if name != "keep")
    shorter = f"without layers {', '.join(gone)}" if len(kept) > len(gone) else f"layers {', '.join(kept)}"
    layers = shorter if gone else "all layers"
    return f"{sizes}, {layers}"


def _rotary(found: dict[str, dict[str, float]]) -> Iterator[str]:
    texts = list(next(iter(found.values())))
    yield "## Rotary frequencies of narrower heads"
    yield ""
    yield (
        "stories260K (head_dim 8, half-split pairs: units i and i + 4) with fewer units in each head, without further "
        "training: frequencies that a model of the smaller head_dim computes, or those of the kept pairs in the "
        "trained model. Mean loss per token on stories sampled from the full model, and on Shakespeare."
    )
    yield ""
    yield f"| units of each head | {' | '.join(texts)} |"
    yield f"|---|{'---:|' * len(texts)}"
    for name, losses in found.items():
        yield f"| {'8 of 8' if name == 'whole' else name} | {' | '.join(f'{losses[text]:.3f}' for text in texts)} |"
