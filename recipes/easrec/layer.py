"""Transformer layers with data-aware gates, for one or all candidates."""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

import elasticnas.nn as enn
from easrec.config import AttentionKind, ModelConfig
from easrec.embedded import Embedded
from elasticnas.axes import Axis, active_size, mask
from elasticnas.nn import take_row

__all__ = ["Layer", "State", "bias_by_time", "chosen", "layer", "per_candidate"]

State: TypeAlias = enn.LinRecState | enn.AttentionCache | tuple[()]
"""What the attention of a layer remembers; nothing if it has none."""


class Layer(nn.Module):
    """One transformer layer of one candidate, with its gates (Eq. 9, post-norm).

    Args:
        config: The supernet's settings.
        sizes: Axes, an architecture, or an object with ``hidden``, ``inner``, ``head_dim`` and, if it is searched,
            ``attention``.
        gates: The two gates, or None.
        causal: Whether position n sees positions up to n only.
        first: Whether its input is the embedded sequence instead of the output of the previous layer.
    """

    def __init__(self, config: ModelConfig, sizes: Any, gates: "Gates | None", causal: bool, first: bool) -> None:
        super().__init__()
        self.hidden, self.first = sizes.hidden, first
        self.before = config.gate_position == "before"
        self.attention = _attention(config, sizes, causal)
        self.attention_norm = enn.LayerNorm(sizes.hidden)
        self.up, self.down = enn.Linear(sizes.hidden, sizes.inner), enn.Linear(sizes.inner, sizes.hidden)
        self.norm = enn.LayerNorm(sizes.hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.gates = gates

    def forward(self, x: Tensor, embedded: Embedded, padding: Tensor | None, row: Tensor | None = None) -> Tensor:
        """Map ``x`` (B, N, hidden) to the same shape, or with ``row`` (B,) to (B, 1, hidden)."""
        width = active_size(self.hidden)
        if self.first:
            x = embedded.sequence(width)
        mixed = self._mixed(take_row(x, row), self.attention(x, padding, row, *embedded.when))
        return self._fed(mixed, lambda: embedded.perceived(width, row))

    def step(self, x: Tensor, embedded: Tensor, perceived: Tensor, state: State, *time: Tensor) -> tuple[Tensor, State]:
        """Process one more position, ``(B, 1, hidden)``; return its output and the attention's new state.

        With a bias by time, ``time`` is that of the position, ``(B,)``.
        """
        if self.first:
            x = embedded
        attended, state = chosen(self.attention).step(x, state, *time)
        return self._fed(self._mixed(x, attended), lambda: perceived), state

    def remember(self, x: Tensor, embedded: Embedded, padding: Tensor, length: int) -> State:
        """Return the attention's state after the real positions of ``x`` (B, N, hidden), for :meth:`step`.

        A state that holds keys and values has room for ``length`` positions.
        """
        given = embedded.sequence(active_size(self.hidden)) if self.first else x
        state: State = chosen(self.attention).remember(given, padding, *embedded.when[:1], length=length)
        return state

    def _mixed(self, x: Tensor, attended: Tensor) -> Tensor:
        normed: Tensor = self.attention_norm(x + self.dropout(attended))
        return normed

    def _fed(self, mixed: Tensor, perceived: Callable[[], Tensor]) -> Tensor:
        normed: Tensor = self.norm(mixed + self.dropout(self._dense(mixed, perceived)))
        return normed

    def _dense(self, x: Tensor, perceived: Callable[[], Tensor]) -> Tensor:
        """Apply the two dense layers; each gate is computed when needed, which saves memory without gradients."""
        if self.gates is None:
            out = self.down(nn.functional.gelu(self.up(x)))
        elif self.before:
            inner = nn.functional.gelu(self.up(self.gates(perceived(), 0) * x))
            out = self.down(self.gates(perceived(), 1) * inner)
        else:
            inner = nn.functional.gelu(self.gates(perceived(), 0) * self.up(x))
            out = self.gates(perceived(), 1) * self.down(inner)
        assert isinstance(out, Tensor)
        return out


def _attention(config: ModelConfig, sizes: Any, causal: bool) -> nn.Module:
    """Return the attention, or a mixture with one branch per kind if it is searched."""

    def kind_of(kind: AttentionKind) -> nn.Module:
        widths = sizes.hidden, config.heads, sizes.head_dim
        relative = bias_by_time(config, causal)
        if kind == "hstu":
            return enn.PointwiseAttention(*widths, length=config.length, causal=causal, relative=relative)
        return enn.Attention(*widths, kind, causal, key_norm=config.key_norm, relative=relative)

    if config.attention_choices is None:
        return kind_of(config.attention)
    kinds = config.attention_choices if isinstance(sizes.attention, Axis) else (sizes.attention,)
    return enn.Mixture({kind: kind_of(kind) for kind in kinds}, sizes.attention)


def bias_by_time(config: ModelConfig, causal: bool) -> enn.RelativeBias | None:
    """Return the bias of an attention's scores by time, if the network has one."""
    return enn.RelativeBias(buckets=config.time_buckets, causal=causal) if config.uses_times else None


class Gates(nn.Module):
    """The two data-aware gates of a layer (Eq. 6-9); each candidate has its own, even if weights are shared."""

    def __init__(self, config: ModelConfig, candidate: Any, hidden: Any, inner: Any) -> None:
        super().__init__()
        before = config.gate_position == "before"
        self.first = _gate(config, candidate, hidden, hidden if before else inner, 0 if before else 1)
        self.second = _gate(config, candidate, hidden, inner if before else hidden, 1 if before else 0)
        self.widths = (hidden, inner) if before else (inner, hidden)

    def forward(self, data: Tensor, dense: int) -> Tensor:
        """Map ``data`` (B, N or 1, hidden) to the gate of the first (0) or second (1) dense layer."""
        gate = (self.first, self.second)[dense]
        return _without_mask(gate(data), self.widths[dense])


def _gate(config: ModelConfig, candidate: Any, inputs: Any, outputs: Any, which: int) -> enn.Mixture:
    per_candidate = {
        number: enn.DataAwareGate(sizes[0], sizes[which], config.gate_layers, rank=_rank(config, sizes[which]))
        for number, sizes in enumerate(config.sizes())
    }
    return enn.Mixture(per_candidate, candidate, inputs=inputs, outputs=outputs)


def _rank(config: ModelConfig, width: int) -> int | None:
    return None if config.gate_rank is None else min(config.gate_rank, width)


def _without_mask(gate: Tensor, size: Any) -> Tensor:
    """Divide a gate by the soft mask, because the tensor that it multiplies is masked as well."""
    m = mask(size, gate)
    return gate if m is None else gate / torch.where(m > 0, m, 1.0)


def chosen(module: nn.Module) -> Any:
    """Return the module that a plain network runs: of a mixture, the chosen candidate."""
    return module.chosen() if isinstance(module, enn.Mixture) else module


def layer(config: ModelConfig, sizes: Any, causal: bool, first: bool) -> nn.Module:
    """Return a layer for all candidates."""

    def make(sizes: Any) -> nn.Module:
        gates = Gates(config, sizes.candidate, sizes.hidden, sizes.inner) if config.gate_layers else None
        return Layer(config, sizes, gates, causal, first)

    return per_candidate(config, sizes, make)


def per_candidate(config: ModelConfig, sizes: Any, make: Callable[[Any], nn.Module]) -> nn.Module:
    """Return ``make(sizes)`` for all candidates, with separate weights or with shared ones mixed as configured."""
    if config.weights == "separate":
        own = {number: make(_Fixed(config, number, sizes)) for number in range(len(config.sizes()))}
        return enn.Mixture(own, sizes.candidate, inputs=sizes.hidden)
    shared = make(sizes)
    return enn.Mixture(shared, sizes.candidate, inputs=sizes.hidden) if config.mixing == "block" else shared


class _Fixed:
    """Sizes of one candidate; the attention stays a choice."""

    def __init__(self, config: ModelConfig, candidate: int, sizes: Any) -> None:
        self.candidate = candidate
        self.hidden, self.inner = config.sizes()[candidate]
        self.head_dim = self.hidden // config.heads
        self.attention = None if config.attention_choices is None else sizes.attention
