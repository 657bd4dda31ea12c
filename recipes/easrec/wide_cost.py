"""WideFlops: the FLOPs of a network of the wide space, as the sum of those of its layers."""

from typing import Any

from elasticnas.cost import Flops

__all__ = ["WideFlops"]


class WideFlops(Flops):
    """FLOPs of the encoder; networks of one and two layers are counted, and larger ones are their sum.

    FLOPs of layers add up, and so do those of the attention and the dense layers of one layer: with the count F of a
    network, a layer X costs F(X) - b, and what is outside of the layers costs b = 2 F(X) - F(X X). Each part is
    counted once, after which the FLOPs of a network of any depth take microseconds.
    """

    def __init__(self, model: Any, example: object) -> None:
        super().__init__(model, example)
        self._counted: dict[tuple[Any, ...], float] = {}
        choices = self.space.choices()
        self._can_add = 2 in choices["depth"]
        self._parts = "none" in choices["attention.0"] and 0 in choices["inner.0"]
        self._first = choices["heads.0"][0], choices["gates.0"][0]  # of a layer in which they have no effect
        # neither the kind of scores, which is no part of the encoder, nor a bias, which is only added, has FLOPs
        self._free = {name: choices[name][0] for name in ("scores", "time_bias") if name in choices}

    def compute(self, arch: Any) -> float:
        """Compute the FLOPs of an architecture."""
        if not self._can_add:
            return super().compute(arch)
        layers = zip(arch.attention, arch.heads, arch.inner, arch.gates, strict=True)
        outside = self._outside(arch.hidden)
        return outside + sum(self._layer(arch.hidden, *layer) - outside for layer in layers)

    def _outside(self, hidden: int) -> float:
        smallest: Any = self.space.smallest()
        layer = smallest.attention[0], smallest.heads[0], smallest.inner[0], smallest.gates[0]
        return 2 * self._count(hidden, layer) - self._count(hidden, layer, layer)

    def _layer(self, hidden: int, attention: str, heads: int, inner: int, gates: int) -> float:
        """Return the FLOPs of a network of one layer."""
        if not self._parts or attention == "none" or inner == 0:
            return self._count(hidden, (attention, heads, inner, gates))
        mixing = self._count(hidden, (attention, heads, 0, self._first[1]))
        return mixing + self._count(hidden, ("none", self._first[0], inner, gates)) - self._outside(hidden)

    def _count(self, hidden: int, *layers: tuple[Any, ...]) -> float:
        key = hidden, layers
        if key not in self._counted:
            attention, heads, inner, gates = zip(*layers, strict=True)
            arch: Any = self.space(
                hidden=hidden,
                depth=len(layers),
                attention=attention,
                heads=heads,
                inner=inner,
                gates=gates,
                **self._free,
            )
            self._counted[key] = super().compute(arch)
        return self._counted[key]
