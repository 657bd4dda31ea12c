"""Search an unchanged Hugging Face model: elastify, train, search, save with save_pretrained.

``python examples/hugging_face.py`` takes under a minute and needs ``pip install '.[huggingface,evolve]'``. It starts
from random weights and downloads nothing. To start from a pretrained model, pass
``weights=GPT2LMHeadModel.from_pretrained("gpt2")`` to elastify, with matching sizes. The task: continue periodic
sequences.
"""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, logging

import elasticnas
from elasticnas.cost import Flops
from elasticnas.elastic import reorder
from elasticnas.search import Evolve, Problem, SearchResult, SupernetTrainer, TrainerSettings

TOKENS, LENGTH, LONGEST, HEAD_DIM = 20, 24, 8, 16


class Sizes(elasticnas.Space):
    heads: Literal[4, 3, 2]
    inner: Literal[256, 128, 64]
    depth: Literal[3, 2, 1]

    @property
    def hidden(self) -> int:  # GPT-2's width is the number of heads times their width
        return HEAD_DIM * self.heads


def build(hidden: int, heads: int, inner: int, depth: int) -> GPT2LMHeadModel:
    sizes = {"n_embd": hidden, "n_head": heads, "n_inner": inner, "n_layer": depth}
    quiet = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "bos_token_id": 0, "eos_token_id": 0}
    return GPT2LMHeadModel(GPT2Config(vocab_size=TOKENS, n_positions=LENGTH, **sizes, **quiet))


def epoch(number: int) -> Tensor:
    """Return 30 batches of 32 sequences, each periodic with a period of 5 to 8 tokens."""
    generator = torch.Generator().manual_seed(number)
    tokens = torch.randint(TOKENS, (30, 32, LONGEST), generator=generator)
    period = torch.randint(5, LONGEST + 1, (30, 32, 1), generator=generator)
    return tokens.gather(-1, torch.arange(LENGTH) % period)


HELD_OUT = epoch(1_000)[:4]


def accuracy(model: nn.Module) -> dict[str, float]:
    """Return the accuracy on predictable tokens: those after the longest period plus one."""
    known = slice(LONGEST + 1, None)
    hits = [(model(ids).logits[:, :-1].argmax(-1) == ids[:, 1:])[:, known].float().mean() for ids in HELD_OUT]
    return {"accuracy": float(torch.stack(hits).mean())}


def main(steps: int = 600, trials: int = 12, folder: Path = Path("runs/gpt2")) -> SearchResult:
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.manual_seed(0)
    model = elasticnas.elastify(build, Sizes)
    problem = Problem(
        model,
        loss=lambda network, ids: network(ids, labels=ids).loss,
        train=epoch,
        costs={"flops": Flops(model, HELD_OUT[0][:1])},
        evaluate=accuracy,
        metric="accuracy",
        direction="maximise",
        budgets={"flops": "60%"},
    )
    settings = TrainerSettings(steps=steps, random_architectures=1, weight_lr=3e-3, schedule="cosine", clip_norm=1.0)
    SupernetTrainer(problem, settings).run()
    print(
        reorder(model, HELD_OUT[0])
    )  # sort units by importance: the full output is unchanged, and prefixes keep the most important units

    result = Evolve(trials=trials, population=4).search(problem)
    print(result)

    network = elasticnas.extract(model, result.best, {"input_ids": HELD_OUT[0]})
    network.save_pretrained(folder)  # loads without elasticnas
    loaded = GPT2LMHeadModel.from_pretrained(folder).eval()
    print(f"accuracy of the loaded network: {accuracy(loaded)['accuracy']:.3f}")
    return result


if __name__ == "__main__":
    main()
