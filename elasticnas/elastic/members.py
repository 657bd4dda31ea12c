"""Members: where the units of an axis are, in every tensor of a supernet."""

from dataclasses import dataclass

from torch import Tensor, nn

from elasticnas.axes import Axis, Product, SizeLike, Sum, full_size
from elasticnas.elastic.model import ElasticModel
from elasticnas.nn.embedding import ElasticEmbedding
from elasticnas.nn.linear import ElasticLinear
from elasticnas.nn.norm import ElasticLayerNorm, ElasticRMSNorm
from elasticnas.nn.parameter import ElasticParameter

__all__ = ["Member", "groups_of", "layer_of"]


@dataclass(frozen=True, eq=False)
class Member:
    """A dimension of a tensor that holds units of an axis.

    Attributes:
        name: Of the tensor.
        tensor: The supernet's.
        dim: The dimension.
        factors: Full sizes of its factors, outermost first.
        position: Which of them is the axis.
    """

    name: str
    tensor: Tensor
    dim: int
    factors: tuple[int, ...]
    position: int

    @property
    def units(self) -> int:
        """How many there are."""
        return self.factors[self.position]

    def norms(self) -> Tensor:
        """L2 norm of the slice at every place of the dimension, float64."""
        norms: Tensor = self.tensor.detach().double().transpose(0, self.dim).flatten(1).norm(dim=1)
        return norms


def groups_of(model: nn.Module) -> tuple[dict[str, list[Member]], dict[str, str]]:
    """The members of every axis (or elastic factor) whose units can be told apart, and why others cannot."""
    return _of_elastified(model) if isinstance(model, ElasticModel) else _of_primitives(model)


def layer_of(name: str) -> str | None:
    """The outermost numbered module that a tensor is in, such as ``encoder.layers.3``; None outside of such."""
    parts = name.split(".")
    numbers = [position for position, part in enumerate(parts[:-1]) if part.isdigit()]
    return ".".join(parts[: numbers[0] + 1]) if numbers else None


def _of_elastified(model: ElasticModel) -> tuple[dict[str, list[Member]], dict[str, str]]:
    groups: dict[str, list[Member]] = {}
    kept: dict[str, str] = {}
    seen: set[int] = set()
    tensors = {**dict(model.network.named_parameters()), **dict(model.network.named_buffers())}
    for name, layout in model.probing.layouts.items():
        if name not in tensors or id(tensors[name]) in seen:
            continue  # shared with one before
        seen.add(id(tensors[name]))
        for dim, (dimension, factors) in enumerate(zip(layout.dimensions, model.probing.elastic(layout), strict=True)):
            if dimension.how == "assumed":
                for axis in dimension.axes:
                    kept.setdefault(
                        axis, f"{name} holds {dimension.label} of them in an unknown layout: give elastify a rule"
                    )
            for position, (key, _) in enumerate(factors):
                if key is not None:
                    sizes = tuple(size for _, size in factors)
                    member = Member(f"network.{name}", tensors[name], dim, sizes, position)
                    groups.setdefault(key, []).append(member)
    return {axis: members for axis, members in groups.items() if axis not in kept}, kept


def _of_primitives(model: nn.Module) -> tuple[dict[str, list[Member]], dict[str, str]]:
    groups: dict[str, list[Member]] = {}
    kept: dict[str, str] = {}
    seen: set[int] = set()
    for path, module in model.named_modules():
        for name, sizes in _sizes(module).items():
            tensor = getattr(module, name)
            if tensor is None or id(tensor) in seen:
                continue
            seen.add(id(tensor))
            full = f"{path}.{name}".lstrip(".")
            for dim, size in enumerate(sizes):
                factors = size.factors if isinstance(size, Product) else (size,)
                for position, factor in enumerate(factors):
                    if isinstance(factor, Axis):
                        units = tuple(full_size(f) for f in factors)
                        groups.setdefault(factor.name, []).append(Member(full, tensor, dim, units, position))
                    elif isinstance(factor, Sum):
                        kept |= {t.name: f"{full} concatenates it" for t in factor.terms if isinstance(t, Axis)}
    return {axis: members for axis, members in groups.items() if axis not in kept}, kept


def _sizes(module: nn.Module) -> dict[str, list[SizeLike]]:
    """What the dimensions of a primitive's own tensors hold."""
    if isinstance(module, ElasticLinear):
        return {"weight": [module.outputs, module.inputs], "bias": [module.outputs]}
    if isinstance(module, ElasticEmbedding):
        return {"weight": [module.count, module.hidden]}
    if isinstance(module, ElasticLayerNorm):
        return {"weight": [module.hidden], "bias": [module.hidden]}
    if isinstance(module, ElasticRMSNorm):
        return {"weight": [module.hidden]}
    if isinstance(module, ElasticParameter):
        return {"weight": list(module.sizes)}
    return {}
