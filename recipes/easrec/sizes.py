"""The sizes of a network in words, for tables, names of folders, and sentences."""

from itertools import groupby
from typing import Any

from easrec.config import ModelConfig

__all__ = ["is_wide", "sizes_head", "sizes_legend", "sizes_name", "sizes_sentence", "sizes_text"]

_LETTERS = {"softmax": "S", "linrec": "L", "hstu": "H", "none": "N"}


def is_wide(arch: Any) -> bool:
    """Return whether each layer of an architecture has sizes of its own."""
    return isinstance(arch.inner, tuple)


def sizes_head(model: ModelConfig) -> str:
    """Return the label of :func:`sizes_text`."""
    if model.space == "wide":
        return (
            "hidden, layers" + (", scores" if model.wide.scores else "") + (", times" if model.wide.time_bias else "")
        )
    return "hidden, inner, layers" + (", attention" if model.attention_choices else "")


def sizes_legend(model: ModelConfig) -> str:
    """Return how to read :func:`sizes_text`; empty if the label says it."""
    if model.space != "wide":
        return ""
    kinds = ", ".join(f"{letter} {kind}" for kind, letter in _LETTERS.items())
    return (
        f"A layer is its kind of attention ({kinds}) with the number of heads, then the inner size with the number of "
        "layers of its gates (g), if it has any; 3xS4/128g2 are three equal layers."
        + (" dot or cosine is the kind of scores." if model.wide.scores else "")
        + (" times: the network has the bias by time; no times: it has none." if model.wide.time_bias else "")
    )


def sizes_text(arch: Any, recorded: Any = None) -> str:
    """Return hidden size, inner size and layers, and the attention if it is searched; or each layer in short.

    Args:
        arch: The architecture.
        recorded: An object with ``hidden`` and ``inner`` to show instead of the architecture's.
    """
    if is_wide(arch):
        return ", ".join([str(arch.hidden), _layers(arch), *_whole(arch)])
    return ", ".join(map(str, _few(arch, recorded or arch)))


def sizes_name(arch: Any) -> str:
    """Return the sizes as a part of a folder's name, which differs between networks."""
    if is_wide(arch):
        return "-".join([str(arch.hidden), _layers(arch).replace("/", "."), *_whole(arch)]).replace(" ", "-")
    return "-".join(map(str, _few(arch, arch)))


def sizes_sentence(arch: Any, recorded: Any) -> str:
    """Return the sizes for a sentence: ``2 layers, hidden size 64 and inner size 128``; see :func:`sizes_text`."""
    layers = f"{arch.depth} layer{'' if arch.depth == 1 else 's'}"
    if is_wide(arch):
        return ", ".join([layers, _layers(arch), *_whole(arch), f"and hidden size {arch.hidden}"])
    return f"{layers}, hidden size {recorded.hidden} and inner size {recorded.inner}"


def _few(arch: Any, sizes: Any) -> list[Any]:
    return [sizes.hidden, sizes.inner, arch.depth, *([arch.attention] if hasattr(arch, "attention") else [])]


def _whole(arch: Any) -> list[str]:
    """Return the choices of a wide architecture for all layers, besides the hidden size."""
    scores = [arch.scores] if hasattr(arch, "scores") else []
    return scores + (["times" if arch.time_bias else "no times"] if hasattr(arch, "time_bias") else [])


def _layers(arch: Any) -> str:
    runs = [(text, len(list(same))) for text, same in groupby(_layer(arch, layer) for layer in range(arch.depth))]
    return " ".join(text if count == 1 else f"{count}x{text}" for text, count in runs)


def _layer(arch: Any, layer: int) -> str:
    kind, inner, gates = arch.attention[layer], arch.inner[layer], arch.gates[layer]
    attention = _LETTERS[kind] + ("" if kind == "none" else str(arch.heads[layer]))
    return attention + (f"/{inner}" if inner else "") + (f"g{gates}" if gates else "")
