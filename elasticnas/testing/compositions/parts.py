"""Parts of a composition, and how each kind is built from axes or from an architecture."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

import elasticnas.nn as enn
from elasticnas.testing.compositions.sizes import size_of

__all__ = ["MAKERS", "Part", "make"]


@dataclass(frozen=True)
class Part:
    """One part of a model, ``(B, N, hidden) -> (B, N, hidden)``.

    Attributes:
        kind: A key of :data:`MAKERS`.
        options: The options of this kind; sizes are expressions.
        parts: The parts inside it.
    """

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    parts: "tuple[Part, ...]" = ()

    def kinds(self) -> set[str]:
        """Return its kind and the kinds of all parts inside it."""
        return {self.kind}.union(*(part.kinds() for part in self.parts))


def make(part: Part, sizes: Any) -> nn.Module:
    """Build the module of a part."""
    return MAKERS[part.kind](part, sizes)


class Residual(nn.Module):
    """``x + part(x)``."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        return x + self.part(x)  # type: ignore[no-any-return]


class Twice(nn.Module):
    """One module under two names."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.first = self.second = part

    def forward(self, x: Tensor) -> Tensor:
        return self.first(torch.tanh(self.second(x)))  # type: ignore[no-any-return]


class Tied(nn.Module):
    """One weight in two linear layers."""

    def __init__(self, width: Any) -> None:
        super().__init__()
        self.one, self.two = enn.Linear(width, width), enn.Linear(width, width)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.two(torch.tanh(self.one(x)))  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """``down(tanh(up(x)))`` with an inner size of any form."""

    def __init__(self, hidden: Any, inner: Any) -> None:
        super().__init__()
        self.up, self.down = enn.Linear(hidden, inner), enn.Linear(inner, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(torch.tanh(self.up(x)))  # type: ignore[no-any-return]


class Concatenated(nn.Module):
    """``out(norm([left(x), x]))``, a concatenation."""

    def __init__(self, hidden: Any, inner: Any) -> None:
        super().__init__()
        self.left, self.norm = enn.Linear(hidden, inner), enn.RMSNorm(inner + hidden)
        self.out = enn.Linear(inner + hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(torch.cat([self.left(x), x], -1)))  # type: ignore[no-any-return]


class Gated(nn.Module):
    """``gate(x) * x``."""

    def __init__(self, hidden: Any, rank: Any, layers: int) -> None:
        super().__init__()
        self.gate = enn.DataAwareGate(hidden, hidden, layers, rank=rank)

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(x) * x  # type: ignore[no-any-return]


class Padded(nn.Module):
    """An attention with padding: positions whose first feature is above 1 are padded."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x[..., 0] > 1)  # type: ignore[no-any-return]


class Scaled(nn.Module):
    """``x * scale + tanh(shift)`` with bare parameters, one of which is also converted to other dtypes."""

    def __init__(self, hidden: Any) -> None:
        super().__init__()
        self.scale, self.shift = enn.Parameter(hidden), enn.Parameter(1, hidden)

    def forward(self, x: Tensor) -> Tensor:
        if not isinstance(self.shift, enn.ElasticParameter) or enn.align(self.shift, x).ndim == 2:
            _ = self.shift.to(torch.bfloat16) + self.shift.half()  # must not convert the weight itself
        return x * enn.align(self.scale, x) + torch.tanh(enn.align(self.shift, x))


class Listed(nn.Module):
    """Parameters in a container, one of which has a second name."""

    def __init__(self, hidden: Any, container: str) -> None:
        super().__init__()
        made: list[Any] = [enn.Parameter(hidden), enn.Parameter(1, hidden)]
        plain = all(isinstance(each, nn.Parameter) for each in made)
        named: dict[str, Any] = {"a": made[0], "b": made[1]}
        # torch's module containers cannot hold plain parameters
        if container == "list":
            self.held: Any = (nn.ParameterList if plain else nn.ModuleList)(made)
        elif container == "dict":
            self.held = nn.ParameterDict(named) if plain else nn.ModuleDict(named)
        elif container == "parameters":
            self.held = nn.ParameterList(made)
        else:
            self.held = nn.ParameterDict(named)
        self.again = made[0]

    def forward(self, x: Tensor) -> Tensor:
        for each in self.held.values() if hasattr(self.held, "values") else self.held:
            x = x + enn.align(each, x)
        return x * torch.sigmoid(enn.align(self.again, x))


class Doubling(enn.Stack):
    """A subclass of Stack with its own forward, attribute and buffer."""

    def __init__(self, layers: Any, depth: Any) -> None:
        super().__init__(layers, depth)
        self.share = 0.5
        self.register_buffer("factor", torch.tensor(1.5))

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return self.share * x + self.factor * super().forward(x, *args, **kwargs)  # type: ignore[operator]


class Adding(enn.Mixture):
    """A subclass of Mixture with a residual connection."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return x + super().forward(x, *args, **kwargs)


class Halving(enn.DepthSkip):
    """A subclass of DepthSkip with a constant factor."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return 0.5 * super().forward(x, *args, **kwargs)


def _hooked(part: Part, sizes: Any) -> nn.Module:
    module = make(part.parts[0], sizes)
    if part.options["before"]:
        module.register_forward_pre_hook(_square_root)
    module.register_forward_hook(_three_quarters)
    return module


def _square_root(module: nn.Module, args: Any) -> Any:
    return (torch.tanh(args[0]), *args[1:])


def _three_quarters(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    return 0.75 * output


def _stack(part: Part, sizes: Any) -> nn.Module:
    depth, layers = part.options["depth"], [make(each, sizes) for each in part.parts[: _layer_count(part, sizes)]]
    kind = Doubling if part.options["subclass"] else enn.Stack
    if isinstance(depth, int):
        return kind(layers, depth)
    return kind(layers, [size_of(name, sizes) for name in depth] if isinstance(depth, tuple) else sizes.depth)


def _layer_count(part: Part, sizes: Any) -> int:
    """Return the number of layers to build: a plain network has none beyond its depth, which may have no sizes."""
    return sizes.depth if part.options["depth"] == "depth" and isinstance(sizes.depth, int) else len(part.parts)


def _skip(part: Part, sizes: Any) -> nn.Module:
    alive = size_of(part.options["alive"], sizes)
    kind = Halving if part.options["subclass"] else enn.DepthSkip
    return kind(make(part.parts[0], sizes), alive)


def _branches(part: Part, sizes: Any) -> nn.Module:
    candidates = {option: make(each, sizes) for option, each in zip(part.options["of"], part.parts, strict=True)}
    kind = Adding if part.options["subclass"] else enn.Mixture
    return kind(candidates, sizes.odd)


def _widths(part: Part, sizes: Any) -> nn.Module:
    """Build a mixture of one module at several sizes, whose input or output size may depend on the choice."""
    hidden, choice = sizes.hidden, size_of(part.options["choice"], sizes)
    inside = make(part.parts[0], sizes)
    form = part.options["form"]
    if form == "same":
        return enn.Mixture(inside, choice, inputs=hidden, outputs=hidden)
    wide = 2 * hidden if form == "product" else hidden + sizes.half
    return nn.Sequential(
        enn.Mixture(nn.Sequential(inside, enn.Linear(hidden, wide)), choice, inputs=hidden, outputs=wide),
        nn.Tanh(),
        enn.Linear(wide, hidden),
    )


def _weight_normed(part: Part, sizes: Any) -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(part.options["layers"]):
        linear = enn.Linear(sizes.hidden, sizes.hidden, bias=part.options["bias"])
        layers += [weight_norm(linear) if part.options["norm"] else _symmetric(linear), nn.Tanh()]
    return nn.Sequential(*layers)


class _Symmetric(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return (weight + weight.T) / 2


def _symmetric(linear: nn.Module) -> nn.Module:
    parametrize.register_parametrization(linear, "weight", _Symmetric())
    return linear


def _attention(part: Part, sizes: Any) -> nn.Module:
    options = dict(part.options)
    heads, head_dim, kv, padded = (options.pop(name) for name in ("heads", "head_dim", "kv_heads", "padded"))
    kv_heads = None if kv is None else size_of(kv, sizes)
    made = enn.Attention(sizes.hidden, size_of(heads, sizes), size_of(head_dim, sizes), kv_heads=kv_heads, **options)
    return Padded(made) if padded else made


def _pointwise(part: Part, sizes: Any) -> nn.Module:
    head_dim = size_of(part.options["head_dim"], sizes)
    made = enn.PointwiseAttention(sizes.hidden, sizes.heads, head_dim, 8, part.options["causal"])
    return Padded(made) if part.options["padded"] else made


MAKERS: dict[str, Callable[[Part, Any], nn.Module]] = {
    "layer norm": lambda part, sizes: enn.LayerNorm(sizes.hidden),
    "rms norm": lambda part, sizes: enn.RMSNorm(sizes.hidden),
    "linear": lambda part, sizes: enn.Linear(sizes.hidden, sizes.hidden),
    "feed-forward": lambda part, sizes: enn.FeedForward(
        sizes.hidden, size_of(part.options["inner"], sizes), part.options["gated"], part.options["activation"]
    ),
    "bottleneck": lambda part, sizes: Bottleneck(sizes.hidden, size_of(part.options["inner"], sizes)),
    "concatenation": lambda part, sizes: Concatenated(sizes.hidden, size_of(part.options["inner"], sizes)),
    "attention": _attention,
    "pointwise attention": _pointwise,
    "gate": lambda part, sizes: Gated(sizes.hidden, size_of(part.options["rank"], sizes), part.options["layers"]),
    "scale": lambda part, sizes: Scaled(sizes.hidden),
    "parameters": lambda part, sizes: Listed(sizes.hidden, part.options["container"]),
    "parametrized": _weight_normed,
    "shared module": lambda part, sizes: Twice(make(part.parts[0], sizes)),
    "shared weight": lambda part, sizes: Tied(sizes.hidden),
    "residual": lambda part, sizes: Residual(make(part.parts[0], sizes)),
    "sequence": lambda part, sizes: nn.Sequential(*(make(each, sizes) for each in part.parts)),
    "hooked": _hooked,
    "stack": _stack,
    "skip": _skip,
    "branches": _branches,
    "widths": _widths,
}
"""The function that builds each kind of part."""
