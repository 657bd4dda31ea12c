"""draw_composition: draw a whole model, its space and its inputs from a seed."""

import random
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

import elasticnas.nn as enn
from elasticnas.axes import SizeLike
from elasticnas.errors import ElasticNASError
from elasticnas.space import Space
from elasticnas.testing.compositions.parts import Part, make
from elasticnas.testing.compositions.spaces import SPACES, space_of

__all__ = ["Composition", "Model", "compositions", "draw_composition"]

_DEPTHS = ((1,), (1,), (1, 1), (1, 2), (2,), (2,), (3,))
"""Maximum nesting of containers, for each part of the outermost sequence."""
_LEAF_PROBABILITY = 0.5
"""Probability of drawing a leaf instead of a container."""
_NESTED_MIXTURES = 0.02
"""Probability of a mixture in a stack in a mixture, which is rare otherwise."""
_INNER = ("inner", "inner", "2*half", "heads*head_dim", "part.inner", "inner+half", "double", "widths.1", "across", "5")


class Model(nn.Module):
    """A model: an optional embedding, a part, and optional scores or class token.

    Args:
        composition: The drawn composition.
        sizes: Axes, or an architecture.
    """

    def __init__(self, composition: "Composition", sizes: Any) -> None:
        super().__init__()
        self.sizes = sizes  # so that choices that no part uses count as used
        self.token, self.positions = enn.Parameter(1, sizes.hidden), enn.Parameter(9, sizes.hidden)
        self.table = _embedding(composition, sizes) if composition.reads == "ids" else None
        self.body = make(composition.part, sizes)
        self.classified, self.scored = composition.classified, composition.scored

    def forward(self, given: Tensor) -> Tensor:
        """Map ids ``(B, N)`` or ``(B, N, hidden)`` to ``(B, N, hidden)`` or scores ``(B, N, rows)``.

        If classified, the output has no dimension N.
        """
        x: Tensor = given if self.table is None else self.table(given)
        if self.classified:
            x = torch.cat([enn.align(self.token, x).expand(len(x), -1, -1), x], 1)
        x = self.body(x + enn.align(self.positions, x)[..., : x.shape[1], :])
        if self.scored and self.table is not None:
            x = self.table.scores(x)  # type: ignore[operator]
        return x[:, 0] if self.classified else x


def _embedding(composition: "Composition", sizes: Any) -> nn.Module:
    """Return an embedding, without ``padding_idx`` if some architecture does not have this row."""
    try:
        return enn.Embedding(sizes.rows, sizes.hidden, composition.padding_idx)
    except ElasticNASError:
        return enn.Embedding(sizes.rows, sizes.hidden)


@dataclass(frozen=True)
class Composition:
    """A whole model and its inputs.

    Attributes:
        seed: The seed that it is drawn from.
        space: Its search space.
        part: The part that the model consists of.
        reads: Kind of input, ``"ids"`` or ``"features"``.
        scored: Whether the output is the scores of the embedding's rows; the input is then ids.
        classified: Whether a class token is prepended, and the output is that of the token only.
        padding_idx: Padding row of the embedding.
        batch: B.
        length: N.
    """

    seed: int
    space: type[Space]
    part: Part
    reads: str
    scored: bool
    classified: bool
    padding_idx: int | None
    batch: int
    length: int

    def build(self, sizes: Any) -> Model:
        """Build the model from axes or from an architecture, with random weights, float64, in eval mode."""
        torch.manual_seed(self.seed)
        model = Model(self, sizes).double().eval()
        with torch.no_grad():
            for parameter in model.parameters():  # initial values of norms and biases would hide mistakes
                parameter.normal_(std=0.5)
        return model

    def ends(self, axes: Any) -> tuple[SizeLike | None, SizeLike]:
        """Return the size of the last dimension of the input, None for ids, and that of the output."""
        return axes.hidden if self.reads == "features" else None, axes.rows if self.scored else axes.hidden

    def input(self, arch: Any, seed: int = 0) -> Tensor:
        """Return an input with the active sizes."""
        generator = torch.Generator().manual_seed(self.seed + seed)
        if self.reads == "ids":
            # rows that the embedding has in every architecture
            return torch.randint(min(self.space.choices()["rows"]), (self.batch, self.length), generator=generator)
        return torch.randn(self.batch, self.length, arch.hidden, generator=generator, dtype=torch.float64)

    def architectures(self, count: int) -> list[Any]:
        """Draw architectures; the largest and smallest are frequent."""
        rng = random.Random(self.seed)
        extremes = [self.space.largest(), self.space.smallest()]
        return [rng.choice(extremes) if rng.random() < 0.2 else self.space.sample(rng) for _ in range(count)]


def draw_composition(seed: int) -> Composition:
    """Draw the composition of a seed."""
    rng = random.Random(f"composition {seed}")
    space = space_of(rng.randrange(SPACES))
    length, read = rng.choice([1, 2, 2, 3, 3, 4]), rng.choice(["ids", "scores", "features", "features", "features"])
    return Composition(
        seed=seed,
        space=space,
        part=Part("sequence", parts=_Drawing(rng, space).outermost()),
        reads="features" if read == "features" else "ids",
        scored=read == "scores",
        classified=rng.random() < 0.3,
        padding_idx=rng.choice([None, 0, 2, -1, 6, 9]),
        batch=length if rng.random() < 0.5 else rng.randint(1, 3),
        length=length,
    )


def compositions() -> st.SearchStrategy[Composition]:
    """Return a strategy for whole models: all primitives, nested containers, shared modules, hooks, rules."""
    return st.builds(draw_composition, st.integers(0, 2**32 - 1))


class _Drawing:
    """Draws parts of models over a space."""

    def __init__(self, rng: random.Random, space: type[Space]) -> None:
        self.rng, self.options = rng, space.choices()

    def outermost(self) -> tuple[Part, ...]:
        """Draw the parts of a model's outermost sequence."""
        if self.rng.random() < _NESTED_MIXTURES:
            return (self._nested_mixtures(),)
        return tuple(self.part(depth) for depth in self.rng.choice(_DEPTHS))

    def part(self, depth: int, layer: int | None = None) -> Part:
        """Draw a part.

        Args:
            depth: Maximum nesting of containers.
            layer: Index of the elastic-depth layer around it, which may then use sizes of that layer; None for none.
        """
        if depth == 0 or self.rng.random() < _LEAF_PROBABILITY:
            return self._leaf(layer)
        return getattr(self, self.rng.choice(_CONTAINERS))(depth - 1, layer)  # type: ignore[no-any-return]

    def _nested_mixtures(self) -> Part:
        """Draw a mixture in a stack in a mixture."""
        inside = tuple(self._widths(0, position) for position in range(max(self.options["depth"])))
        stack = Part("stack", {"depth": "depth", "subclass": False}, inside)
        return Part("widths", {"choice": "half", "form": "same"}, (stack,))

    def _leaf(self, layer: int | None) -> Part:
        kind = self.rng.choice(_LEAVES)
        sizes = _INNER if layer is None else (*_INNER, f"tied.{layer}", f"tied.{layer}")
        inner, choice = self.rng.choice(sizes), self.rng.choice
        given: dict[str, dict[str, Any]] = {
            "feed-forward": {"inner": inner, "gated": choice([True, False]), "activation": choice(["gelu", "silu"])},
            "bottleneck": {"inner": inner},
            "concatenation": {"inner": "inner" if "+" in inner else inner},
            "attention": self._attention(),
            "pointwise attention": {
                "head_dim": choice(["head_dim", "half"]),
                "causal": choice([True, False]),
                "padded": self.rng.random() < 0.3,
            },
            "gate": {"rank": choice(["part.rank", "half", "hidden"]), "layers": choice([1, 2])},
            "parameters": {"container": choice(["list", "dict", "parameters", "named"])},
            "parametrized": {
                "layers": self.rng.randint(1, 6),
                "bias": choice([True, False]),
                "norm": self.rng.random() < 0.7,
            },
        }
        return Part(kind, given.get(kind, {}))

    def _attention(self) -> dict[str, Any]:
        choice, heads = self.rng.choice, self.options["heads"]
        kind = choice(["softmax", "softmax", "linrec"])
        grouped = choice([None, None, "1", "2" if all(count % 2 == 0 for count in heads) else "heads"])
        return {
            "heads": "heads" if grouped else choice(["heads", "heads", "2*heads", "half"]),
            "head_dim": choice(["head_dim", "head_dim", "2*half", "half", "2"]),
            "kv_heads": grouped,
            "kind": kind,
            "causal": choice([True, False]),
            "key_norm": choice(["column", "token"]),
            "padded": self.rng.random() < 0.3,
        }

    def _residual(self, depth: int, layer: int | None) -> Part:
        return Part("residual", parts=(self.part(depth, layer),))

    def _sequence(self, depth: int, layer: int | None) -> Part:
        return Part("sequence", parts=(self.part(depth, layer), self.part(depth, layer)))

    def _shared(self, depth: int, layer: int | None) -> Part:
        return Part("shared module", parts=(self.part(depth, layer),))

    def _hooked(self, depth: int, layer: int | None) -> Part:
        return Part("hooked", {"before": self.rng.random() < 0.4}, (self.part(depth, layer),))

    def _stack(self, depth: int, layer: int | None) -> Part:
        max_depth = max(self.options["depth"])
        form = self.rng.choice(["depth", "depth", "chosen", "fixed"])
        count = {"depth": max_depth, "chosen": 2, "fixed": self.rng.randint(0, 2)}[form]
        parts = tuple(self.part(depth, position if form == "depth" else layer) for position in range(count))
        given: Any = {"depth": "depth", "chosen": ("keep.0", "keep.1"), "fixed": count}[form]
        return Part("stack", {"depth": given, "subclass": self.rng.random() < 0.3}, parts)

    def _skip(self, depth: int, layer: int | None) -> Part:
        options = {"alive": self.rng.choice(["keep.0", "keep.1"]), "subclass": self.rng.random() < 0.3}
        return Part("skip", options, (self.part(depth, layer),))

    def _branches(self, depth: int, layer: int | None) -> Part:
        options = self.options["odd"]
        given = {"of": options, "subclass": self.rng.random() < 0.3}
        return Part("branches", given, tuple(self.part(depth, layer) for _ in options))

    def _widths(self, depth: int, layer: int | None) -> Part:
        choice = self.rng.choice(["inner", "hidden", "part.inner", "half", "heads"])
        form = self.rng.choice(["same", "product", "sum"])
        return Part("widths", {"choice": choice, "form": form}, (self.part(depth, layer),))


_LEAVES = (
    "layer norm", "rms norm", "linear", "feed-forward", "feed-forward", "bottleneck", "bottleneck", "concatenation",
    "attention", "attention", "attention", "pointwise attention", "gate", "scale", "scale", "parameters", "parameters",
    "parametrized", "shared weight",
)  # fmt: skip
_CONTAINERS = (
    "_residual", "_residual", "_sequence", "_shared", "_hooked", "_stack", "_stack", "_skip", "_branches", "_widths",
    "_widths",
)  # fmt: skip
