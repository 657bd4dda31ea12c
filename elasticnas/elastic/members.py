"""Members: the dimensions of all tensors of a supernet that hold the units of an axis."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from elasticnas.axes import Axes, Axis, Size, SizeLike, factors_of, full_size, terms_of
from elasticnas.elastic.blocks import blocks_of
from elasticnas.elastic.layouts import Layout, starred
from elasticnas.elastic.model import ElasticModel
from elasticnas.errors import AxisError
from elasticnas.nn import ElasticModule

__all__ = ["Groups", "Member", "layers_of"]

_PART = 2**18  # elements that are converted at once


@dataclass(frozen=True, eq=False)
class Member:
    """A dimension of a tensor that holds units of an axis.

    Attributes:
        name: Name of the tensor.
        tensor: The tensor of the supernet.
        dim: The dimension.
        factors: Full sizes of its factors, outermost first.
        position: Position of the axis among the factors.
        start: First index of the factors in the dimension, which may be a concatenation.
    """

    name: str
    tensor: Tensor
    dim: int
    factors: tuple[int, ...]
    position: int
    start: int = 0

    @property
    def size(self) -> int:
        """Number of indices of the dimension that the factors take."""
        return prod(self.factors)

    @property
    def values(self) -> Tensor:
        """The part of the tensor that the factors take, a view."""
        return self.tensor.detach().narrow(self.dim, self.start, self.size)

    @property
    def units(self) -> int:
        """Number of units of the axis."""
        return self.factors[self.position]

    def norms(self) -> Tensor:
        """Return the L2 norm of the slice at every index of the factors, float64 on the CPU."""
        rows = self.values.movedim(self.dim, 0)
        parts = rows.split(max(1, _PART * len(rows) // rows.numel()))
        return torch.cat([part.double().flatten(1).norm(dim=1).cpu() for part in parts])


class Groups:
    """The members of every axis or elastic factor of a model, found in its elastified models and elastic modules.

    Args:
        model: The model.

    Attributes:
        axes: The axes of the model.
        kept: Axes whose units cannot be sorted, and why.

    Raises:
        AxisError: The model has axes of no space, or of several.
    """

    def __init__(self, model: nn.Module) -> None:
        self.kept: dict[str, str] = {}
        self._axes: dict[int, Axes] = {}
        self._members: dict[str, list[Member]] = {}
        self._seen: set[int] = set()
        for path, module in model.named_modules():
            if isinstance(module, ElasticModel):
                self._axes[id(module.axes)] = module.axes
                _add_elastified(self, f"{path}.network.".lstrip("."), module)
            elif isinstance(module, ElasticModule):
                _add_module(self, path, module)
        if len(self._axes) != 1:
            names = sorted(axes.space.__name__ for axes in self._axes.values())
            raise AxisError(
                f"{type(model).__name__} holds units of the axes of {len(self._axes)} spaces {names}, expected one: "
                "give reorder a supernet"
            )
        (self.axes,) = self._axes.values()

    def follow(self, axis: Axis) -> None:
        """Record the Axes object of an axis."""
        self._axes[id(axis.axes)] = axis.axes

    def first(self, tensor: Tensor) -> bool:
        """Return whether a tensor is seen for the first time, not under a second name."""
        new = id(tensor) not in self._seen
        self._seen.add(id(tensor))
        return new

    def add(self, axis: str, member: Member) -> None:
        """Add a member of an axis; factors with the same name but different sizes count as different axes."""
        same = self._members.setdefault(axis, [member])
        if same[0].units != member.units:
            same = self._members.setdefault(f"{axis} ({member.units})", [member])
        if same[-1] is not member:
            same.append(member)

    def keep(self, axes: Iterable[str], reason: str) -> None:
        """Record why some axes cannot be sorted, unless they have a reason already."""
        for axis in axes:
            self.kept.setdefault(axis, reason)

    def sortable(self) -> dict[str, list[Member]]:
        """Return the members of all axes that are not in ``kept``."""
        return {axis: members for axis, members in self._members.items() if axis not in self.kept}


def layers_of(name: str) -> list[str]:
    """Return the numbered modules around a tensor, outermost first, such as ``layers.3`` and ``layers.3.experts.0``."""
    parts = name.split(".")
    return [".".join(parts[: position + 1]) for position, part in enumerate(parts[:-1]) if part.isdigit()]


def _add_elastified(groups: Groups, path: str, model: ElasticModel) -> None:
    tensors = {**dict(model.network.named_parameters()), **dict(model.network.named_buffers())}
    layouts = model.probing.layouts.items()
    elastic = {name for name, layout in layouts if any(dimension.how != "fixed" for dimension in layout.dimensions)}
    buffers = elastic & {name for name, _ in model.network.named_buffers()}
    computed = {starred(name) for name in model.coverage().computed} if buffers else set()
    for name, layout in layouts:
        # a sub-network computes these buffers anew, so that an order of their units would be lost
        own = name in buffers and starred(name) in computed
        if name not in tensors or own or not groups.first(tensors[name]):
            continue
        _add_layout(groups, path, tensors[name], layout, model)


def _add_layout(groups: Groups, path: str, tensor: Tensor, layout: Layout, model: ElasticModel) -> None:
    name = layout.name
    for dim, (dimension, blocks) in enumerate(zip(layout.dimensions, blocks_of(model.probing, layout), strict=True)):
        if dimension.how == "size":
            groups.keep(dimension.axes, f"nothing shows which units of {dimension.label} {name} keeps: give a rule")
            continue
        for block in blocks:
            keys, sizes = zip(*block.factors, strict=True)
            if block.is_nested:
                groups.keep(filter(None, keys), f"{name} concatenates it in a product, {dimension.label}")
                continue
            for position, key in enumerate(keys):
                if key is not None:
                    groups.add(key, Member(f"{path}{name}", tensor, dim, sizes, position, block.start))


def _add_module(groups: Groups, path: str, module: ElasticModule) -> None:
    for name, sizes in module.tensor_sizes().items():
        tensor, full = getattr(module, name), f"{path}.{name}".lstrip(".")
        if name not in module._parameters and name not in module._buffers:
            elastic = [size for size in sizes if isinstance(size, Size)]
            groups.kept |= {axis.name: f"{full} is a computed tensor" for size in elastic for axis in size.leaves}
            continue
        if tensor is None or not groups.first(tensor):
            continue
        for dim, size in enumerate(sizes):
            _add_dimension(groups, full, tensor, dim, size)


def _add_dimension(groups: Groups, name: str, tensor: Tensor, dim: int, size: SizeLike) -> None:
    if isinstance(size, Size) and len(terms_of(size)) > 1:
        groups.kept |= {axis.name: f"{name} concatenates it" for axis in size.leaves}
        return
    factors = factors_of(size)
    for position, factor in enumerate(factors):
        if isinstance(factor, Axis):
            groups.follow(factor)
            units = tuple(full_size(each) for each in factors)
            groups.add(factor.name, Member(name, tensor, dim, units, position))
