"""DepthSkip and Stack: elastic depth as a prefix of layers, as chosen layers, or as a weighted sum of exits."""

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from elasticnas.axes import Axis, OptionWeights, SizeLike
from elasticnas.errors import AxisError
from elasticnas.nn.module import ElasticModule, replicate
from elasticnas.nn.share import contribute, fit_share

__all__ = ["DepthSkip", "Stack"]


class DepthSkip(ElasticModule):
    """A module that an architecture runs or skips: ``module(x)`` or ``x``.

    Args:
        module: Its output has the shape of ``x``.
        alive: A bool, or an Axis with the options True and False (or 1 and 0). Or the Axis of a size of the module
            that has 0 among its options: an architecture with 0 skips the module.

    Raises:
        AxisError: ``alive`` has another option.
    """

    def __init__(self, module: nn.Module, alive: "int | Axis") -> None:
        super().__init__()
        options = alive.options if isinstance(alive, Axis) else (alive,)
        are_sizes = 0 in options and all(isinstance(option, int) and option >= 0 for option in options)
        if not (are_sizes or all(isinstance(option, int) and option in (0, 1) for option in options)):
            raise AxisError(
                f"DepthSkip: alive={alive!r} has the options {list(options)}: give a bool, an axis of bools, or an "
                "axis of sizes with 0 for none"
            )
        self.alive = alive
        self.module = module if isinstance(alive, Axis) or alive else None

    def forward(self, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        """Return ``x`` or the module's output; in a mask scope, their weighted sum."""
        active = self.alive.at() if isinstance(self.alive, Axis) else self.alive
        if not isinstance(active, OptionWeights):
            return self._run(x, *args, **kwargs) if active else x
        on = fit_share(active.expect(lambda option: float(option > 0), x), x)
        # a skipped layer runs too and might overflow: it gets zeros as input, unless its weight needs a gradient
        inputs = x if on.requires_grad else torch.where(on > 0, x, 0.0)
        return contribute(1 - on, x, contribute(on, self._run(inputs, *args, **kwargs)))

    def _run(self, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        assert self.module is not None
        out = self.module(x, *args, **kwargs)
        assert isinstance(out, Tensor)
        return out

    def idle(self) -> list[nn.Module]:
        """Return the module if it is skipped."""
        alive = self.alive.at() if isinstance(self.alive, Axis) else self.alive
        return [] if alive or self.module is None else [self.module]

    def plain(self, memo: dict[Any, Any]) -> "DepthSkip":
        """Return a copy with a fixed bool, without a skipped module."""
        alive = bool(self.alive.at() if isinstance(self.alive, Axis) else self.alive)
        changes = {"alive": alive} if alive else {"alive": alive, "module": None}
        made: DepthSkip = replicate(self, memo, changes)
        return made


class Stack(ElasticModule):
    """A sequence of layers with elastic depth.

    Args:
        layers: Modules whose output has the shape of ``x``; if ``depth`` is an int, only that many are kept.
        depth: An int or an Axis: the number of layers that run, from the first. In a mask scope the output is the
            weighted sum of the exits, the outputs after each possible depth (EASRec, arXiv:2402.00390v1, Eq. 11). Or
            one bool (or axis of bools) per layer: the layers that run.

    Raises:
        AxisError: A depth is below 0 or more than the number of layers, or there is not one bool per layer.
    """

    def __init__(self, layers: Iterable[nn.Module], depth: "SizeLike | Sequence[bool | Axis]") -> None:
        super().__init__()
        if isinstance(layers, Axis) or not isinstance(layers, Iterable):
            raise AxisError(
                f"Stack: layers is {type(layers).__name__}: write Stack(layers, depth), with several layers"
            )
        layers = list(layers)
        self.depth: Any = depth
        if not isinstance(depth, (int, Axis)):
            if not isinstance(depth, Sequence) or len(depth) != len(layers):
                raise AxisError(
                    f"depth={depth!r} for {len(layers)} layers: give an int, an Axis, or one bool per layer"
                )
            layers = [DepthSkip(layer, alive) for layer, alive in zip(layers, depth, strict=True)]
        elif (max_depth := depth if isinstance(depth, int) else depth.size) > len(layers):
            raise AxisError(f"depth is up to {max_depth}, but only {len(layers)} layers are given")
        elif (depth if isinstance(depth, int) else depth.least) < 0:
            raise AxisError(f"depth={depth!r}: a depth must be at least 0")
        self.layers = nn.ModuleList(layers[:depth] if isinstance(depth, int) else layers)

    def forward(self, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        """Apply the active layers to ``x``; further arguments go to every layer."""
        depth = self.depth.at() if isinstance(self.depth, Axis) else self.depth
        if isinstance(depth, OptionWeights):
            return self._exits(depth, x, *args, **kwargs)
        for layer in self.active():
            x = layer(x, *args, **kwargs)
        return x

    def active(self) -> list[nn.Module]:
        """Return the layers that run, in order, for a model that treats its last one differently.

        Raises:
            AxisError: The depth is masked in the open scope.
        """
        depth = self.depth.at() if isinstance(self.depth, Axis) else self.depth
        if isinstance(depth, OptionWeights):
            raise AxisError(f"{self.depth!r} is masked in this scope, so that no single layer is the last")
        return list(self.layers[:depth] if isinstance(depth, int) else self.layers)

    def _exits(self, depth: OptionWeights, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        share = {option: fit_share(depth.weights[..., i], x) for i, option in enumerate(depth.quantity.options)}
        out = contribute(share[0], x) if 0 in share else None
        for position in range(max(share)):
            if not depth.weights.requires_grad and not depth.alive:
                # a dead layer runs too and might overflow: it gets zeros as input, unless its weight needs a gradient
                beyond = [part for option, part in share.items() if option > position]
                reached = torch.stack(torch.broadcast_tensors(*beyond)).sum(0)
                x = torch.where(reached > 0, x, 0.0)
            x = self.layers[position](x, *args, **kwargs)
            if position + 1 in share:
                out = contribute(share[position + 1], x, out)
        assert out is not None
        return out

    def idle(self) -> list[nn.Module]:
        """Return the layers beyond the depth, without those that also run before it."""
        depth = self.depth.at() if isinstance(self.depth, Axis) else self.depth
        if not isinstance(depth, int):
            return []
        run = set(self.layers[:depth])
        return [layer for layer in self.layers[depth:] if layer not in run]

    def plain(self, memo: dict[Any, Any]) -> "Stack":
        """Return a copy with a fixed depth, without the layers beyond it."""
        if not isinstance(self.depth, (int, Axis)):
            plain: Stack = replicate(self, memo)
            plain.depth = [bool(layer.alive) for layer in plain.layers if isinstance(layer, DepthSkip)]
            return plain
        depth = int(self.depth.at()) if isinstance(self.depth, Axis) else self.depth

        def changes() -> dict[str, Any]:
            # copied first: other references to a layer then find its copy in the memo
            return {"depth": depth, "layers": nn.ModuleList([copy.deepcopy(x, memo) for x in self.layers[:depth]])}

        made: Stack = replicate(self, memo, changes)
        return made
