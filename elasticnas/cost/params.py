"""Params: number of parameters of the extracted network."""

from functools import cached_property
from math import prod
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from elasticnas.axes import active_size
from elasticnas.cost.copies import on_meta
from elasticnas.cost.cost import Cost
from elasticnas.extraction import axes_of, extract_unverified
from elasticnas.extraction.parts import require_consistent_sharing
from elasticnas.nn import ElasticModule
from elasticnas.nn.idle import running_modules
from elasticnas.space.space import A

__all__ = ["Params"]


class Params(Cost[A]):
    """Number of parameters of the extracted network; shared parameters count once.

    Models of the library's primitives, and of others with its ``plain`` and ``idle``, are counted from the sizes in the
    scope of the architecture; networks of all other models are extracted on the meta device.

    Args:
        model: A model made of elastic primitives.
        example: Not used.
    """

    unit = "parameters"

    def __init__(self, model: nn.Module, example: object = None) -> None:
        super().__init__(model, example)
        self._on_meta = on_meta(model)

    def compute(self, arch: A) -> float:
        """Count the parameters of an architecture."""
        if self._has_known_parts:
            return float(self._count(arch))
        return float(sum(parameter.numel() for parameter in extract_unverified(self._on_meta, arch).parameters()))

    @cached_property
    def _axes(self) -> Any:
        return axes_of(self._on_meta)

    @cached_property
    def _has_known_parts(self) -> bool:
        return all(map(_is_known, self._on_meta.modules()))

    def _count(self, arch: A) -> int:
        """Return the sum of the active sizes of the parameters that run."""
        counts: dict[int, int] = {}
        with self._axes.at(arch):
            modules = dict.fromkeys(module for _, module in running_modules(self._on_meta))
            held = [(module, name, value) for module in modules for name, value in module._parameters.items()]
            for module, name, parameter in held:
                if parameter is not None:
                    sizes = module.tensor_sizes() if isinstance(module, ElasticModule) else {}
                    counts[id(parameter)] = prod(map(active_size, sizes.get(name, parameter.shape)))
            if len(counts) < sum(parameter is not None for *_, parameter in held):
                require_consistent_sharing(self._on_meta)
        return sum(counts.values())


def _is_known(module: nn.Module) -> bool:
    """Return whether the plain form of a module is what runs in a scope, with tensors of the active sizes."""
    kind: Any = type(module)
    if parametrize.is_parametrized(module) or "forward" in vars(module):
        return False
    own = {name: value for name, value in module._parameters.items() if value is not None}
    if any(map(nn.parameter.is_lazy, own.values())):
        return False
    if not isinstance(module, ElasticModule):
        return not hasattr(kind, "__deepcopy__")
    named = module.tensor_sizes().keys()
    default = kind.plain is ElasticModule.plain and kind.idle is ElasticModule.idle
    return (not named or own.keys() <= named) and (default or kind.__module__.startswith("elasticnas.nn."))
