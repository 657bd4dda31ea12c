"""The wide space: hidden size and depth for all layers; attention, heads, inner size and gates for each layer."""

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import model_validator

from easrec.config import ModelConfig
from elasticnas.space import PerLayer, Space

__all__ = ["WideSpace", "wide_space"]


@cache
def wide_space(model: ModelConfig) -> type[Space]:
    """Return the space of a model with ``space=wide``.

    ``hidden`` and ``depth`` are for all layers, and so are ``scores`` and ``time_bias`` if they are choices;
    ``attention``, ``heads``, ``inner`` and ``gates`` are for each. A layer without attention and without dense layers
    is refused, heads and gates without effect have their first option: no network is two architectures.
    """
    wide, depth = model.wide, "depth"
    no_attention, no_dense = ("attention", "none"), ("inner", 0)

    # without dense layers in any layer, gates have no effect: they are no choice then
    gates = wide.gates if wide.has_dense else wide.gates[:1]

    def each(options: tuple[Any, ...], unless: tuple[str, Any] | None = None) -> Any:
        option: Any = Literal[options]
        return Annotated[tuple[option, ...], PerLayer(depth, unless)]

    fields: dict[str, Any] = {
        "hidden": Literal[wide.hidden],
        depth: Literal[tuple(range(1, model.layers + 1))],
        "attention": each(wide.attention),
        # further choices of the attention belong here, with unless=no_attention
        "heads": each(wide.heads, no_attention if "none" in wide.attention else None),
        "inner": each(wide.inner),
        "gates": each(gates, no_dense if 0 in wide.inner and wide.has_dense else None),
    }
    if wide.scores:
        fields["scores"] = Literal[wide.scores]
    if wide.time_bias:
        fields["time_bias"] = bool
    namespace: dict[str, Any] = {
        "__module__": __name__,
        # distinct from the module's WideSpace, which saved files would otherwise name
        "__qualname__": "wide_space.<locals>.WideSpace",
        "__doc__": "Hidden size and depth, and attention, heads, inner size and gates of each layer.",
        "__annotations__": fields,
    }
    if "none" in wide.attention and 0 in wide.inner:
        # one rule for each layer, since rules of different layers are counted independently
        namespace |= {
            f"_layer_{layer}_computes": model_validator(mode="after")(_computes(layer)) for layer in range(model.layers)
        }
    space: Any = type("WideSpace", (Space,), namespace)
    space.pickle_factory = (wide_space, (model,))
    made: type[Space] = space
    return made


def _computes(layer: int) -> Callable[[Any], Any]:
    """Return the rule that a layer has attention or dense layers."""

    def check(self: Any) -> Any:
        if layer < self.depth and self.attention[layer] == "none" and self.inner[layer] == 0:
            raise ValueError(f"layer {layer} has neither attention nor dense layers: give it one, or a smaller depth")
        return self

    return check


WideSpace = wide_space(ModelConfig(space="wide", layers=8))
"""The space of the preset ``wide``."""
