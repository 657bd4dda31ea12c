"""The network of EASRec, supernet and plain network in one definition."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

import elasticnas.nn as enn
from easrec.config import ModelConfig
from easrec.space import space_for
from elasticnas.axes import Axis, active_size, mask

__all__ = ["EASRec", "build", "supernet"]


class Embedded:
    """The embedded sequence of one forward pass, as each candidate sees it: its part, normalised over its own width.

    Args:
        raw: ``(B, N, hidden)``, item plus position; every unit of it where candidates are mixed.
        norm: Of the embedding, or None.
        dropout: After it.
        real: ``(B, N, 1)``, 1 at real positions, where gates perceive the mean over them; None for each position.
        causal: Whether the mean is over the positions so far.
    """

    def __init__(
        self, raw: Tensor, norm: nn.Module | None, dropout: nn.Module, real: Tensor | None, causal: bool
    ) -> None:
        self.raw, self._norm, self._dropout, self._real, self._causal = raw, norm, dropout, real, causal
        self._made: dict[int, Tensor] = {}

    def sequence(self, width: int) -> Tensor:
        """``(B, N, width)``: what the first layer takes. Made once per width, in the scope of the first to ask."""
        if width not in self._made:
            x = self.raw[..., :width]
            self._made[width] = self._dropout(x if self._norm is None else self._norm(x))
        return self._made[width]

    def perceived(self, width: int) -> Tensor:
        """``(B, N or 1, width)``: what gates take."""
        x = self.sequence(width)
        if self._real is None:
            return x
        if self._causal:
            return (x * self._real).cumsum(1) / self._real.cumsum(1).clamp_min(1.0)
        return (x * self._real).sum(1, keepdim=True) / self._real.sum(1, keepdim=True).clamp_min(1.0)


class Layer(nn.Module):
    """One transformer layer of one candidate, with its gates (Eq. 9, post-norm).

    Args:
        config: The supernet's settings.
        sizes: Axes, an architecture, or anything with ``hidden``, ``inner`` and ``head_dim``.
        gates: The two gates, or None.
        causal: Whether position n sees positions up to n only.
        first: Whether it takes the embedded sequence instead of what a layer before it gives.
    """

    def __init__(self, config: ModelConfig, sizes: Any, gates: "Gates | None", causal: bool, first: bool) -> None:
        super().__init__()
        self.hidden, self.first = sizes.hidden, first
        self.before = config.gate_position == "before"
        self.attention = enn.Attention(
            sizes.hidden, config.heads, sizes.head_dim, config.attention, causal, key_norm=config.key_norm
        )
        self.attention_norm = enn.LayerNorm(sizes.hidden)
        self.up, self.down = enn.Linear(sizes.hidden, sizes.inner), enn.Linear(sizes.inner, sizes.hidden)
        self.norm = enn.LayerNorm(sizes.hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.gates = gates

    def forward(self, x: Tensor, embedded: Embedded, padding: Tensor | None) -> Tensor:
        """``x`` (B, N, hidden) and what the gates perceive, to (B, N, hidden)."""
        width = active_size(self.hidden)
        if self.first:
            x = embedded.sequence(width)
        mixed: Tensor = self.attention_norm(x + self.dropout(self.attention(x, padding)))
        first, second = (1.0, 1.0) if self.gates is None else self.gates(embedded.perceived(width))
        if self.before:
            inner = nn.functional.gelu(self.up(first * mixed))
            out = self.down(second * inner)
        else:
            inner = nn.functional.gelu(first * self.up(mixed))
            out = second * self.down(inner)
        normed: Tensor = self.norm(mixed + self.dropout(out))
        return normed


class Gates(nn.Module):
    """The two data-aware gates of a layer (Eq. 6-9); each candidate has its own, even where weights are shared."""

    def __init__(self, config: ModelConfig, candidate: Any, hidden: Any, inner: Any) -> None:
        super().__init__()
        before = config.gate_position == "before"
        self.first = _gate(config, candidate, hidden, hidden if before else inner, 0 if before else 1)
        self.second = _gate(config, candidate, hidden, inner if before else hidden, 1 if before else 0)
        self.widths = (hidden, inner) if before else (inner, hidden)

    def forward(self, data: Tensor) -> tuple[Tensor, Tensor]:
        """``data`` (B, N or 1, hidden) to the factors of the first and second dense layer."""
        return _unweighted(self.first(data), self.widths[0]), _unweighted(self.second(data), self.widths[1])


def _gate(config: ModelConfig, candidate: Any, inputs: Any, outputs: Any, which: int) -> enn.Mixture:
    per_candidate = [
        enn.DataAwareGate(sizes[0], sizes[which], config.gate_layers, rank=_rank(config, sizes[which]))
        for sizes in config.sizes()
    ]
    return enn.Mixture(per_candidate, candidate, inputs=inputs, outputs=outputs)


def _rank(config: ModelConfig, width: int) -> int | None:
    return None if config.gate_rank is None else min(config.gate_rank, width)


def _unweighted(gate: Tensor, size: Any) -> Tensor:
    """Under soft masks the mixed gates carry the mask, and so does what they multiply: once is enough."""
    m = mask(size, gate)
    return gate if m is None else gate / torch.where(m > 0, m, 1.0)


class EASRec(nn.Module):
    """Embedding, layers, and scores against the item table.

    Args:
        config: The supernet's settings.
        items: V; ids are 1..V, 0 is padding.
        sizes: Axes make a supernet, an architecture makes its plain network.
        causal: One pass predicts every next item; else bidirectional over a prefix.

    Source: EASRec, arXiv:2402.00390v1, Eq. 3-13.
    """

    def __init__(self, config: ModelConfig, items: int, sizes: Any, causal: bool = True) -> None:
        super().__init__()
        self.config_length, self.causal, self.pooled = config.length, causal, config.gate_input == "pooled"
        self.hidden, self.block = sizes.hidden, config.mixing == "block"
        self.items = enn.Embedding(items + 1, sizes.hidden, padding_idx=0)
        self.positions = enn.Parameter(config.length, sizes.hidden)
        self.norm = enn.LayerNorm(sizes.hidden) if config.embedding_norm else None
        self.dropout = nn.Dropout(config.dropout)
        layers = [_layer(config, sizes, causal, first=number == 0) for number in range(config.layers)]
        self.layers = enn.Stack(layers, sizes.depth)
        _initialise(self, config)

    def forward(self, inputs: Tensor) -> Tensor:
        """``(B, N)`` ids, right padded with 0, to ``(B, N, hidden)``: Y of Eq. 11 at every position."""
        with self._embedding_scope():
            raw: Tensor = self.items(inputs) + self.positions[: inputs.shape[1]]
        real = (inputs > 0).unsqueeze(-1).to(raw) if self.pooled else None
        embedded = Embedded(raw, self.norm, self.dropout, real, self.causal)
        # causal with padding on the right: no real position sees a padded one
        padding = None if self.causal else inputs == 0
        y: Tensor = self.layers(raw, embedded, padding)
        return y

    def _embedding_scope(self) -> AbstractContextManager[None]:
        """Mixed by block, every candidate takes its part of the same embedding (Eq. 11): no mask attenuates it."""
        if self.block and isinstance(self.hidden, Axis):
            scope: AbstractContextManager[None] = self.hidden.axes.unmasked()
            return scope
        return nullcontext()

    def scores(self, y: Tensor) -> Tensor:
        """``(..., hidden)`` to ``(..., V + 1)`` (Eq. 12); the padding id scores minus infinity."""
        score: Any = self.items.scores
        scores: Tensor = score(y)
        # in place: a copy of (positions, V) costs as much as a layer
        scores.select(-1, 0).fill_(float("-inf"))
        return scores

    def next_item(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Scores of what follows each sequence: ``(B, N)`` ids and ``(B,)`` lengths to ``(B, V + 1)``."""
        y = self(inputs)
        return self.scores(y[torch.arange(len(y), device=y.device), (lengths - 1).clamp_min(0)])


def _layer(config: ModelConfig, sizes: Any, causal: bool, first: bool) -> nn.Module:
    if config.weights == "separate":
        own = [
            Layer(config, _Fixed(config, i), _own_gates(config, i), causal, first) for i in range(len(config.sizes()))
        ]
        return enn.Mixture(own, sizes.candidate, inputs=sizes.hidden)
    gates = Gates(config, sizes.candidate, sizes.hidden, sizes.inner) if config.gate_layers else None
    shared = Layer(config, sizes, gates, causal, first)
    if config.mixing == "block" and isinstance(sizes.candidate, Axis):
        return enn.Mixture(shared, sizes.candidate, inputs=sizes.hidden)
    return enn.Mixture(shared, sizes.candidate) if config.mixing == "block" else shared


def _own_gates(config: ModelConfig, candidate: int) -> Gates | None:
    fixed = _Fixed(config, candidate)
    return Gates(config, candidate, fixed.hidden, fixed.inner) if config.gate_layers else None


class _Fixed:
    """Sizes of one candidate."""

    def __init__(self, config: ModelConfig, candidate: int) -> None:
        self.candidate = candidate
        self.hidden, self.inner = config.sizes()[candidate]
        self.head_dim = self.hidden // config.heads


@torch.no_grad()
def _initialise(model: EASRec, config: ModelConfig) -> None:
    positions = model.positions.weight if isinstance(model.positions, enn.ElasticParameter) else model.positions
    tables = [model.items.weight, positions]
    if config.init != "paper":
        for table in tables:
            nn.init.normal_(table, std=config.init)
        model.items.weight[0] = 0
        return
    # He for what a ReLU follows, Glorot for the rest (the paper's references 44 and 45)
    for table in tables:
        nn.init.xavier_normal_(table)
    model.items.weight[0] = 0
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2 and all(parameter is not table for table in tables):
            (nn.init.kaiming_normal_ if ".cross." in name else nn.init.xavier_normal_)(parameter)


def supernet(config: ModelConfig, items: int, causal: bool) -> EASRec:
    """The network that holds every architecture of the space."""
    return EASRec(config, items, space_for(config).axes(), causal)


def build(config: ModelConfig, items: int, arch: Any, causal: bool) -> EASRec:
    """The plain network of an architecture."""
    return EASRec(config, items, arch, causal)
