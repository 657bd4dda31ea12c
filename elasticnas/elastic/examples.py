"""Examples: an input that a model accepts, made from its configuration and its first layers."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Maker", "given", "makers"]

Maker = Callable[[nn.Module], Any]
"""Makes an input for a built model: a tensor, a tuple of arguments or a mapping of keyword arguments."""

_POSITIONS = 8
_PIXELS = (16, 32, 64, 96, 224)
_IMAGE_SIZES = ("image_size", "img_size", "input_size")


def given(example: Any, arch: Any) -> Any:
    """Return the example of an architecture."""
    return example(arch) if callable(example) and not isinstance(example, Tensor) else example


def makers(model: nn.Module) -> Iterator[Maker]:
    """Yield ways to make an input, the likeliest first."""
    if hasattr(model, "config") and hasattr(model, "main_input_name"):
        yield _hugging_face
        yield attrgetter("dummy_inputs")
    yield from _kinds(model)


def _kinds(model: nn.Module) -> Iterator[Maker]:
    first = [module for module in model.modules() if _is_first(module)]
    for module in first[:3]:
        if isinstance(module, nn.Embedding):
            yield lambda made: _fit(made, _ids(min(_embedding(made), 10_000)))
        elif isinstance(module, nn.Conv2d):
            yield from _images(model)
        elif isinstance(module, nn.Conv1d):
            yield lambda made: _fit(made, _floats(2, _first(made, nn.Conv1d).in_channels, 32))
        else:
            yield lambda made: _fit(made, _floats(2, _POSITIONS, _width(made)))
            yield lambda made: _fit(made, _floats(6, _width(made)))
            yield from _images(model)  # whose patches are flattened


def _is_first(module: nn.Module) -> bool:
    return isinstance(module, (nn.Embedding, nn.Conv2d, nn.Conv1d, nn.Linear, nn.LayerNorm, nn.MultiheadAttention))


def _first(model: nn.Module, kind: Any) -> Any:
    return next(module for module in model.modules() if isinstance(module, kind))


def _embedding(model: nn.Module) -> int:
    found: nn.Embedding = _first(model, nn.Embedding)
    return found.num_embeddings


def _width(model: nn.Module) -> int:
    """Return the number of features that the first layer takes."""
    module: Any = next(m for m in model.modules() if _is_first(m) and not isinstance(m, (nn.Embedding, nn.Conv2d)))
    if isinstance(module, nn.Linear):
        return int(module.in_features)
    if isinstance(module, nn.MultiheadAttention):
        return int(module.embed_dim)
    return int(module.normalized_shape[-1]) if isinstance(module, nn.LayerNorm) else int(module.weight.shape[1])


def _images(model: nn.Module) -> Iterator[Maker]:
    said = [size for module in model.modules() for name in _IMAGE_SIZES if (size := _side(getattr(module, name, None)))]
    for side in dict.fromkeys((*said, *_PIXELS)):
        yield partial(_image, side=side)


def _image(model: nn.Module, side: int) -> Any:
    channels = next((module.in_channels for module in model.modules() if isinstance(module, nn.Conv2d)), 3)
    return _fit(model, _floats(2, channels, side, side))


def _side(value: Any) -> int | None:
    if isinstance(value, (tuple, list)) and value:
        value = value[-1]
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 1024 else None


def _fit(model: nn.Module, value: Tensor) -> Any:
    """Give the value to every argument of the forward pass without a default."""
    parameters = inspect.signature(model.forward).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p for p in parameters if p.kind in kinds and p.default is inspect.Parameter.empty]
    return (value,) * max(1, len(needed))


def _ids(vocabulary: int, length: int = _POSITIONS) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    low = min(3, vocabulary - 1)  # the first ids are often padding and the like
    return torch.randint(low, vocabulary, (2, length), generator=generator, device="cpu")


def _floats(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), device="cpu", dtype=torch.float64)


def _hugging_face(model: Any) -> dict[str, Tensor]:
    """Make the inputs that the forward pass of a Hugging Face model names, from its config."""
    config, names = model.config, inspect.signature(model.forward).parameters
    text = getattr(config, "text_config", None) or config
    vision = getattr(config, "vision_config", None) or config
    made: dict[str, Tensor] = {}
    main = model.main_input_name
    if "input_ids" in names:
        made["input_ids"] = _text_ids(text)
    if "decoder_input_ids" in names and getattr(config, "is_encoder_decoder", False):
        made["decoder_input_ids"] = _text_ids(text).flip(1)
    if "encoder_hidden_states" in names and getattr(config, "add_cross_attention", False):
        made["encoder_hidden_states"] = _floats(2, _POSITIONS, config.hidden_size)
    if "pixel_values" in names:
        made["pixel_values"] = _pixels(vision)
    if main == "input_values":
        made["input_values"] = _floats(2, 1600)
    if main == "input_features":
        length = 2 * getattr(config, "max_source_positions", 50)
        made["input_features"] = _floats(2, getattr(config, "num_mel_bins", 80), length)
    made.setdefault(main, made.get(main, model.dummy_inputs.get(main)))
    if getattr(config, "is_encoder_decoder", False) and main != "input_ids":
        made.pop("input_ids", None)
    return {name: value for name, value in made.items() if value is not None}


def _text_ids(config: Any) -> Tensor:
    limit = getattr(config, "max_position_embeddings", None)
    length = min(_POSITIONS, limit - 2 if isinstance(limit, int) and limit > 4 else _POSITIONS)
    return _ids(config.vocab_size, length)


def _pixels(config: Mapping[str, Any] | Any) -> Tensor:
    side = _side(getattr(config, "image_size", None)) or 32
    return _floats(2, getattr(config, "num_channels", 3), side, side)
