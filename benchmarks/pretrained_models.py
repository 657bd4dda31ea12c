"""Trained models for the benchmark of importance: their factories, spaces and texts."""

import gzip
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import transformers
from torch import Tensor, nn

from elasticnas import PerLayer, Space

__all__ = ["Encoder", "MiniLM", "SmolLM2", "Stories", "decoder", "encoder", "minilm", "pairs", "smollm2", "stories"]

HEAD_DIM = 32  # of MiniLM


class MiniLM(Space):
    """MiniLM-L6: hidden size, heads of width 32, inner size, kept layers."""

    hidden: Literal[384, 320]
    heads: Literal[12, 11, 10, 9, 8, 7, 6]
    inner: Literal[tuple(range(1536, 191, -32))]
    keep: Annotated[tuple[bool, ...], PerLayer(6)]

    @property
    def depth(self) -> int:
        return sum(self.keep)


class SmolLM2(Space):
    """SmolLM2-135M: hidden size, a multiple of the 9 heads; inner size, kept layers."""

    hidden: Literal[576, 540, 504, 450]
    inner: Literal[tuple(range(1536, 255, -64))]
    keep: Annotated[tuple[bool, ...], PerLayer(30)]

    @property
    def depth(self) -> int:
        return sum(self.keep)


class Stories(Space):
    """The Llama of 260 k parameters: hidden size, a multiple of the 8 heads; inner size, kept layers."""

    hidden: Literal[64, 56, 48]
    inner: Literal[tuple(range(172, 39, -4))]
    keep: Annotated[tuple[bool, ...], PerLayer(5)]

    @property
    def depth(self) -> int:
        return sum(self.keep)


class Encoder(nn.Module):
    """A BERT whose heads keep their width, with mean pooling."""

    def __init__(self, hidden: int, heads: int, inner: int, depth: int) -> None:
        super().__init__()
        config = transformers.BertConfig(
            hidden_size=hidden, num_attention_heads=1, intermediate_size=inner, num_hidden_layers=depth
        )
        self.bert = transformers.BertModel(config, add_pooling_layer=False)
        for layer in self.bert.encoder.layer:
            attention = layer.attention.self
            attention.num_attention_heads, attention.attention_head_size = heads, HEAD_DIM
            attention.all_head_size, attention.scaling = heads * HEAD_DIM, HEAD_DIM**-0.5
            for name in ("query", "key", "value"):
                setattr(attention, name, nn.Linear(hidden, heads * HEAD_DIM))
            layer.attention.output.dense = nn.Linear(heads * HEAD_DIM, hidden)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        states: Tensor = self.bert(input_ids, attention_mask=attention_mask).last_hidden_state
        if attention_mask is None:
            return states.mean(1)
        weights = attention_mask[..., None].to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1)


def encoder(hidden: int, heads: int, inner: int, depth: int) -> nn.Module:
    """Build a MiniLM."""
    return Encoder(hidden, heads, inner, depth)


def decoder(config: Any) -> Callable[..., nn.Module]:
    """Return the factory of Llamas with the heads of a config and other sizes."""
    settings = config.to_dict()
    for name in ("quantization_config", "dtype", "architectures", "model_type"):
        settings.pop(name, None)

    def build(hidden: int, inner: int, depth: int) -> nn.Module:
        sizes = {"hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": depth}
        return transformers.LlamaForCausalLM(transformers.LlamaConfig(**(settings | sizes)))

    return build


@dataclass(frozen=True)
class Texts:
    """Token ids of a text, ``(B, N)``, in parts for measurement and for choosing."""

    test: Tensor
    valid: Tensor
    name: str


def minilm(folder: Path) -> tuple[nn.Module, Callable[[list[str]], dict[str, Tensor]]]:
    """Return MiniLM-L6 and its tokenizer, from the folder of the unpacked package."""
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    path = next(folder.rglob("model.safetensors")).parent
    tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    tokenizer.enable_truncation(128)
    tokenizer.enable_padding()
    network = encoder(384, 12, 1536, 6).eval()
    weights = {
        f"bert.{name}": value for name, value in load_file(path / "model.safetensors").items() if "pooler" not in name
    }
    weights = {name: value for name, value in weights.items() if name in network.state_dict()}
    network.load_state_dict(weights)

    def tokenize(sentences: list[str]) -> dict[str, Tensor]:
        found = tokenizer.encode_batch(sentences)
        ids, mask = [torch.tensor(rows) for rows in zip(*((f.ids, f.attention_mask) for f in found), strict=True)]
        return {"input_ids": ids, "attention_mask": mask}

    return network, tokenize


def smollm2(folder: Path, data: Path) -> tuple[nn.Module, Texts]:
    """Return SmolLM2-135M and WikiText-2; needs ``gguf`` and ``accelerate``."""
    path = next(folder.rglob("*.gguf"))
    given = {"gguf_file": path.name}
    network = transformers.AutoModelForCausalLM.from_pretrained(path.parent, dtype=torch.float32, **given).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, **given)
    parts = [_text(data / f"wikitext2-{part}.txt.gz")[:20_000] for part in ("test", "valid")]
    test, valid = (tokenizer(part)["input_ids"] for part in parts)
    return network, Texts(torch.tensor(test[:1024])[None], torch.tensor(valid[:512]).view(2, 256), "WikiText-2")


def stories(data: Path) -> tuple[nn.Module, Texts]:
    """Return the Llama of 260 k parameters and Shakespeare."""
    folder = data / "stories260K"
    spec = importlib.util.spec_from_file_location("stories260K", folder / "load.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network, tokenizer = module.load(folder)
    text = _text(data / "tinyshakespeare.txt.gz")
    rows = torch.tensor([tokenizer.encode(text[at : at + 800])[:256] for at in range(0, 48 * 800, 800)])
    return network, Texts(rows[:32], rows[32:], "Shakespeare")


def pairs(data: Path, part: str) -> tuple[list[str], list[str], list[float]]:
    """Return the sentences of STS-B in pairs, and their similarity."""
    rows = [line.split("\t") for line in _text(data / f"stsb-{part}.tsv.gz").splitlines()]
    return [row[5] for row in rows], [row[6] for row in rows], [float(row[4]) for row in rows]


def _text(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode()
