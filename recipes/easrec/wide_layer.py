"""A layer of the wide space: attention of any kind or none, and dense layers with gates or none."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

import elasticnas.nn as enn
from easrec.config import LayerKind, ModelConfig
from easrec.embedded import Embedded
from easrec.layer import State, bias_by_time
from elasticnas.axes import Axis, SizeLike, active_size
from elasticnas.nn import take_row

__all__ = ["WideLayer", "sizes_of_layers"]

Perceived = Callable[[], Tensor]


def sizes_of_layers(sizes: Any) -> list[SimpleNamespace]:
    """Return the sizes of each layer: of all layers of a supernet, of the present ones of an architecture.

    Whether it has the bias by time that the settings declare is one of them, ``time_bias``.
    """
    names = ("attention", "heads", "inner", "gates")
    rows = zip(*(getattr(sizes, name) for name in names), strict=True)
    common = {"hidden": sizes.hidden, "time_bias": getattr(sizes, "time_bias", True)}
    return [SimpleNamespace(**common, **dict(zip(names, row, strict=True))) for row in rows]


class WideLayer(nn.Module):
    """One transformer layer with sizes of its own; each of its two parts may be missing.

    Args:
        config: The supernet's settings.
        sizes: ``hidden``, ``attention``, ``heads``, ``inner``, ``gates`` and ``time_bias`` of the layer: axes or
            values.
        causal: Whether position n sees positions up to n only.
        first: Whether its input is the embedded sequence instead of the output of the previous layer.
    """

    def __init__(self, config: ModelConfig, sizes: Any, causal: bool, first: bool) -> None:
        super().__init__()
        self.hidden, self.first = sizes.hidden, first
        kinds = config.wide.attention if isinstance(sizes.attention, Axis) else (sizes.attention,)
        self.attention = enn.Mixture({kind: _attending(config, sizes, causal, kind) for kind in kinds}, sizes.attention)
        may_have = config.wide.has_dense if isinstance(sizes.inner, Axis) else sizes.inner > 0
        dense = _Dense(config, sizes) if may_have else nn.Identity()
        runs = sizes.inner if may_have and isinstance(sizes.inner, Axis) else may_have
        self.dense = enn.DepthSkip(dense, runs) if 0 in config.wide.inner else dense

    def forward(self, x: Tensor, embedded: Embedded, padding: Tensor | None, row: Tensor | None = None) -> Tensor:
        """Map ``x`` (B, N, hidden) to the same shape, or with ``row`` (B,) to (B, 1, hidden)."""
        width = active_size(self.hidden)
        x = self.attention(embedded.sequence(width) if self.first else x, padding, row, *embedded.when)
        fed: Tensor = self.dense(x, lambda: embedded.perceived(width, row))
        return fed

    def step(self, x: Tensor, embedded: Tensor, perceived: Tensor, state: State, *time: Tensor) -> tuple[Tensor, State]:
        """Process one more position, ``(B, 1, hidden)``; return its output and the attention's new state.

        With a bias by time, ``time`` is that of the position, ``(B,)``.
        """
        x, state = self.attending.step(embedded if self.first else x, state, *time)
        return self.dense(x, lambda: perceived), state

    def remember(self, x: Tensor, embedded: Embedded, padding: Tensor, length: int) -> State:
        """Return the attention's state after the real positions of ``x`` (B, N, hidden), for :meth:`step`.

        A state that holds keys and values has room for ``length`` positions.
        """
        x = embedded.sequence(active_size(self.hidden)) if self.first else x
        state: State = self.attending.remember(x, padding, *embedded.when[:1], length=length)
        return state

    @property
    def attending(self) -> Any:
        """The part with the attention that runs, in a plain network or a slice scope."""
        return self.attention.chosen()

    @property
    def kind(self) -> str:
        """The kind of attention that runs, in a plain network or a slice scope."""
        return str(getattr(self.attending, "kind", "none"))


def _attending(config: ModelConfig, sizes: Any, causal: bool, kind: LayerKind) -> nn.Module:
    if kind == "none":
        return _NoAttention()
    widths = sizes.hidden, sizes.heads, config.wide.head_dim
    bias = bias_by_time(config, causal)
    relative = enn.OptionalBias(bias, sizes.time_bias) if bias is not None and config.wide.time_bias else bias
    if kind == "hstu":
        pointwise = enn.PointwiseAttention(*widths, length=config.length, causal=causal, relative=relative)
        return _Attending(config, sizes.hidden, pointwise, kind)
    attention = enn.Attention(*widths, kind, causal, key_norm=config.key_norm, relative=relative)
    return _Attending(config, sizes.hidden, attention, kind)


class _NoAttention(nn.Module):
    """Passes the sequence on."""

    def forward(self, x: Tensor, padding: Tensor | None, row: Tensor | None, *when: Tensor) -> Tensor:
        return take_row(x, row)

    def step(self, x: Tensor, state: State, *time: Tensor) -> tuple[Tensor, State]:
        return x, state

    def remember(self, x: Tensor, padding: Tensor, *times: Tensor, length: int) -> State:
        return ()


class _Attending(nn.Module):
    """Attention with its norm and residual connection."""

    def __init__(self, config: ModelConfig, hidden: SizeLike, attention: nn.Module, kind: LayerKind) -> None:
        super().__init__()
        self.pre, self.kind = config.wide.norm == "pre", kind
        self.attention: Any = attention
        self.norm = enn.LayerNorm(hidden)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, padding: Tensor | None, row: Tensor | None, *when: Tensor) -> Tensor:
        return self._added(take_row(x, row), self.attention(self._normed(x), padding, row, *when))

    def step(self, x: Tensor, state: State, *time: Tensor) -> tuple[Tensor, State]:
        attended, state = self.attention.step(self._normed(x), state, *time)
        return self._added(x, attended), state

    def remember(self, x: Tensor, padding: Tensor, *times: Tensor, length: int) -> State:
        state: State = self.attention.remember(self._normed(x), padding, *times, length=length)
        return state

    def _normed(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(x) if self.pre else x
        return normed

    def _added(self, x: Tensor, attended: Tensor) -> Tensor:
        summed: Tensor = x + self.dropout(attended)
        return summed if self.pre else self.norm(summed)


class _Dense(nn.Module):
    """The two dense layers with their gates, norm and residual connection (Eq. 9)."""

    def __init__(self, config: ModelConfig, sizes: Any) -> None:
        super().__init__()
        hidden, inner = sizes.hidden, sizes.inner
        self.pre, self.before = config.wide.norm == "pre", config.gate_position == "before"
        self.norm = enn.LayerNorm(hidden)
        self.up, self.down = enn.Linear(hidden, inner), enn.Linear(inner, hidden)
        self.dropout = nn.Dropout(config.dropout)
        first, second = (hidden, inner) if self.before else (inner, hidden)
        self.gates = nn.ModuleList([_gate(config, sizes, first), _gate(config, sizes, second)])

    def forward(self, x: Tensor, perceived: Perceived) -> Tensor:
        out = self._mapped(self.norm(x) if self.pre else x, perceived)
        summed: Tensor = x + self.dropout(out)
        return summed if self.pre else self.norm(summed)

    def _mapped(self, x: Tensor, perceived: Perceived) -> Tensor:
        first, second = self.gates
        if self.before:
            return self.down(second(nn.functional.gelu(self.up(first(x, perceived))), perceived))  # type: ignore[no-any-return]
        return second(self.down(nn.functional.gelu(first(self.up(x), perceived))), perceived)  # type: ignore[no-any-return]


def _gate(config: ModelConfig, sizes: Any, width: SizeLike) -> nn.Module:
    options = config.wide.gates if isinstance(sizes.gates, Axis) else (sizes.gates,)
    rank = config.gate_rank
    return enn.Mixture(
        {count: _Gated(sizes.hidden, width, count, rank) if count else _Open() for count in options}, sizes.gates
    )


class _Open(nn.Module):
    """Passes the activation on."""

    def forward(self, x: Tensor, perceived: Perceived) -> Tensor:
        return x


class _Gated(nn.Module):
    """Multiplies an activation by a data-aware gate."""

    def __init__(self, hidden: SizeLike, width: SizeLike, layers: int, rank: int | None) -> None:
        super().__init__()
        self.gate = enn.DataAwareGate(hidden, width, layers, rank=rank)

    def forward(self, x: Tensor, perceived: Perceived) -> Tensor:
        gated: Tensor = self.gate(perceived()) * x
        return gated
