"""DepthSkip and Stack: elastic depth as a prefix, as chosen layers, or as a soft mix of exits."""

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
        module: Maps ``x`` to its own shape; further arguments are passed on.
        alive: A bool, or an Axis with the options True and False (or 1 and 0).

    Raises:
        AxisError: It has another option.
    """

    def __init__(self, module: nn.Module, alive: "int | Axis") -> None:
        super().__init__()
        options = alive.options if isinstance(alive, Axis) else (alive,)
        if not all(isinstance(option, int) and option in (0, 1) for option in options):
            raise AxisError(
                f"DepthSkip: alive={alive!r} has the options {list(options)}: give a bool, or an axis of bools"
            )
        self.alive = alive
        self.module = module if isinstance(alive, Axis) or alive else None

    def forward(self, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        """``x`` or the module's output, of the same shape; softly, their mix."""
        active = self.alive.at() if isinstance(self.alive, Axis) else self.alive
        if not isinstance(active, OptionWeights):
            return self._run(x, *args, **kwargs) if active else x
        on = fit_share(active.expect(float, x), x)
        # a dead layer may make inf of anything: it gets zeros to chew on, unless its share is being learned
        given = x if on.requires_grad else torch.where(on > 0, x, 0.0)
        return contribute(1 - on, x, contribute(on, self._run(given, *args, **kwargs)))

    def _run(self, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        assert self.module is not None
        out = self.module(x, *args, **kwargs)
        assert isinstance(out, Tensor)
        return out

    def idle(self) -> list[nn.Module]:
        """The module, where it is skipped."""
        alive = self.alive.at() if isinstance(self.alive, Axis) else self.alive
        return [] if alive or self.module is None else [self.module]

    def plain(self, memo: dict[Any, Any]) -> "DepthSkip":
        """The same with a fixed bool; a skipped module is gone."""
        alive = bool(self.alive.at() if isinstance(self.alive, Axis) else self.alive)
        changes = {"alive": alive} if alive else {"alive": alive, "module": None}
        made: DepthSkip = replicate(self, memo, changes)
        return made


class Stack(ElasticModule):
    """Layers one after the other, as many as the architecture has.

    Args:
        layers: Modules that map ``x`` to its own shape; ``depth`` as an int keeps the first so many.
        depth: An int or an Axis: the first so many layers run (with probabilities: the mix of the exits after each
            depth, Eq. 11 of EASRec, arXiv:2402.00390v1). Or one bool (or axis of bools) per layer: chosen layers.

    Raises:
        AxisError: A depth below 0, more layers asked for than given, or not one choice per layer.
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
        elif (most := depth if isinstance(depth, int) else depth.size) > len(layers):
            raise AxisError(f"depth reaches {most}, but only {len(layers)} layers are given")
        elif (depth if isinstance(depth, int) else depth.least) < 0:
            raise AxisError(f"depth={depth!r}: a depth is at least 0")
        self.layers = nn.ModuleList(layers[:depth] if isinstance(depth, int) else layers)

    def forward(self, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        """``x`` through the active layers; further arguments go to every layer."""
        depth = self.depth.at() if isinstance(self.depth, Axis) else self.depth
        if isinstance(depth, OptionWeights):
            return self._exits(depth, x, *args, **kwargs)
        for layer in self.active():
            x = layer(x, *args, **kwargs)
        return x

    def active(self) -> list[nn.Module]:
        """The layers that run, in order: for a model that treats its last one differently.

        Raises:
            AxisError: The open scope mixes depths.
        """
        depth = self.depth.at() if isinstance(self.depth, Axis) else self.depth
        if isinstance(depth, OptionWeights):
            raise AxisError(f"{self.depth!r} is masked in this scope: no one layer is the last")
        return list(self.layers[:depth] if isinstance(depth, int) else self.layers)

    def _exits(self, depth: OptionWeights, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        share = {option: fit_share(depth.weights[..., i], x) for i, option in enumerate(depth.quantity.options)}
        out = contribute(share[0], x) if 0 in share else None
        for position in range(max(share)):
            if not depth.weights.requires_grad and not depth.alive:
                # a dead layer may make inf of anything: it gets zeros to chew on, unless its share is being learned
                beyond = [part for option, part in share.items() if option > position]
                reached = torch.stack(torch.broadcast_tensors(*beyond)).sum(0)
                x = torch.where(reached > 0, x, 0.0)
            x = self.layers[position](x, *args, **kwargs)
            if position + 1 in share:
                out = contribute(share[position + 1], x, out)
        assert out is not None
        return out

    def idle(self) -> list[nn.Module]:
        """Layers beyond the depth."""
        depth = self.depth.at() if isinstance(self.depth, Axis) else self.depth
        return list(self.layers[depth:]) if isinstance(depth, int) else []

    def plain(self, memo: dict[Any, Any]) -> "Stack":
        """The same with a fixed depth; layers beyond it are gone."""
        if not isinstance(self.depth, (int, Axis)):
            kept: Stack = replicate(self, memo)
            kept.depth = [bool(layer.alive) for layer in kept.layers if isinstance(layer, DepthSkip)]
            return kept
        depth = int(self.depth.at()) if isinstance(self.depth, Axis) else self.depth

        def changes() -> dict[str, Any]:
            # made before all else is copied: what else holds a layer finds it in the memo
            return {"depth": depth, "layers": nn.ModuleList([copy.deepcopy(x, memo) for x in self.layers[:depth]])}

        made: Stack = replicate(self, memo, changes)
        return made
