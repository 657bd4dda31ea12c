"""EASRecModel: supernet and plain network in one definition."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

import elasticnas.nn as enn
from easrec.backbone import FeatureEmbedding, Fuse, require_features
from easrec.config import ModelConfig
from easrec.data import ItemFeatures
from easrec.embedded import Embedded
from easrec.layer import layer, per_candidate
from easrec.precision import attention_kinds
from easrec.scoring import scoring
from easrec.space import space_for
from easrec.times import query_times
from easrec.wide_layer import WideLayer, sizes_of_layers
from elasticnas.axes import Axis, OptionWeights, is_masked

__all__ = ["EASRecModel", "build", "supernet"]


class EASRecModel(nn.Module):
    """Embedding, layers, and scores against the item table.

    With item embeddings e, sums of feature embeddings f, position embeddings p, layers T, projection W and
    concatenation ``[a; b]``, the backbones are: ``sasrec``: T(e + p); ``sasrecf``: T(W [e; f] + p); ``fdsa``:
    W [T(e + p); T'(f + p)] with a second stack T' of the same sizes. (FDSA's paper weighs features by an attention
    instead of summing them.)

    Args:
        config: The supernet's settings.
        items: V; ids are 1..V, 0 is padding.
        sizes: Axes for a supernet, an architecture for a plain network.
        causal: Whether one pass predicts every next item; otherwise bidirectional over a prefix.
        features: Features of the items, for backbones that use them.

    Raises:
        ConfigError: The backbone uses features, and there are none.

    Source: EASRec, arXiv:2402.00390v1, Eq. 3-13; SASRec, arXiv:1808.09781; FDSA, Zhang et al., IJCAI 2019; SASRecF as
    in RecBole.
    """

    def __init__(
        self,
        config: ModelConfig,
        items: int,
        sizes: Any,
        causal: bool = True,
        features: ItemFeatures | None = None,
    ) -> None:
        super().__init__()
        require_features(config, features)
        self.wide, self.attention_kinds = config.space == "wide", attention_kinds(config)
        self.config_length, self.causal, self.pooled = config.length, causal, config.gate_input == "pooled"
        self.hidden, self.block = sizes.hidden, config.space == "paper" and config.mixing == "block"
        self.declared_times = config.time_bias
        self.timed = sizes.time_bias if config.wide.time_bias else config.uses_times
        self._chooses_times = bool(config.wide.time_bias)
        self.scoring = scoring(config, sizes)
        self.items = enn.Embedding(items + 1, sizes.hidden, padding_idx=0)
        self.positions = enn.Parameter(config.length, sizes.hidden)
        self.norm = enn.LayerNorm(sizes.hidden) if config.embedding_norm else None
        self.dropout = nn.Dropout(config.dropout)
        self.layers = _stack(config, sizes, causal)
        self.last_norm = _last_norm(config, sizes)
        self.features: FeatureEmbedding | None = None
        self.fuse: nn.Module | None = None
        self.feature_layers: enn.Stack | None = None
        self.feature_norm: nn.Module | None = None
        self.feature_last_norm: nn.Module | None = None
        if config.has_features and features is not None:
            self.features = FeatureEmbedding(features, sizes.hidden)
            if config.backbone == "sasrecf":
                self.fuse = Fuse(sizes.hidden)
            else:
                self.feature_norm = enn.LayerNorm(sizes.hidden) if config.embedding_norm else None
                self.feature_layers = _stack(config, sizes, causal)
                self.feature_last_norm = _last_norm(config, sizes)
                self.fuse = (
                    Fuse(sizes.hidden)
                    if config.space == "wide"
                    else per_candidate(config, sizes, lambda sizes: Fuse(sizes.hidden))
                )
        _initialise(self, config)

    def forward(
        self, inputs: Tensor, row: Tensor | None = None, times: Tensor | None = None, until: Tensor | None = None
    ) -> Tensor:
        """Compute Y of Eq. 11 at every position, or at one position of each sequence.

        Args:
            inputs: ``(B, N)`` ids, right padded with 0.
            row: ``(B,)`` int64 positions; None for all.
            times: ``(B, N)`` int64 seconds of the inputs, if the network has a bias by time. If that is a choice of
                the architecture, one without it ignores them.
            until: ``(B, N)`` int64 seconds of the event after each input, of the target at the last one; used with
                ``time_bias=target``.

        Returns:
            ``(B, N, hidden)``, or ``(B, 1, hidden)`` with ``row``.

        Raises:
            ConfigError: Times are missing, or the network does not use any.
        """
        when = self._when(times, until)
        with self._embedding_scope():
            items = self.items(inputs)
            positions = enn.align(self.positions, items)[..., : inputs.shape[1], :]
            features = None if self.features is None else self.features(inputs)
        real = (inputs > 0).unsqueeze(-1).to(items) if self.pooled else None
        # in causal attention, no real position sees padding on the right
        padding = None if self.causal else inputs == 0

        def run(layers: enn.Stack, norms: Sequence[nn.Module | None], raw: Callable[[int], Tensor]) -> Tensor:
            norm, last_norm = norms
            y = layered(layers, Embedded(raw, norm, self.dropout, real, self.causal, when))
            return y if last_norm is None else last_norm(y)

        def layered(layers: enn.Stack, embedded: Embedded) -> Tensor:
            if row is None or is_masked(layers.depth):
                y: Tensor = layers(items, embedded, padding)
                return enn.take_row(y, row)
            *before, last = layers.active()
            y = items
            for each in before:
                y = each(y, embedded, padding)
            y = last(y, embedded, padding, row)
            return y

        norms = self.norm, self.last_norm

        def part(x: Tensor) -> Callable[[int], Tensor]:
            summed = x + positions
            return lambda width: summed[..., :width]

        if features is None:
            return run(self.layers, norms, part(items))
        assert self.fuse is not None
        fuse: Callable[[Tensor, Tensor], Tensor] = self.fuse
        if self.feature_layers is None:
            # each candidate projects its own units of both
            return run(self.layers, norms, lambda width: fuse(items[..., :width], features) + positions[..., :width])
        y = run(self.layers, norms, part(items))
        return fuse(y, run(self.feature_layers, (self.feature_norm, self.feature_last_norm), part(features)))

    @property
    def time_bias(self) -> str:
        """The times that the architecture in scope uses: ``none``, ``own`` or ``target``; see ``model.time_bias``."""
        active = self.timed.at() if isinstance(self.timed, Axis) else self.timed
        return self.declared_times if isinstance(active, OptionWeights) or active else "none"

    def _when(self, times: Tensor | None, until: Tensor | None) -> tuple[Tensor, ...]:
        """Return the times of the positions and of their queries, if they are used."""
        # under masks, the bias itself knows whether any of its weights needs times
        masked = isinstance(self.timed, Axis) and is_masked(self.timed)
        if self._chooses_times and (self.time_bias == "none" or (masked and times is None)):
            return ()
        return query_times(self.time_bias, times, until)

    def _embedding_scope(self) -> AbstractContextManager[None]:
        """Suspend masks for block mixing, where every candidate takes its units of one unmasked embedding (Eq. 11)."""
        if self.block and isinstance(self.hidden, Axis):
            scope: AbstractContextManager[None] = self.hidden.scopes.unmasked()
            return scope
        return nullcontext()

    def scores(self, y: Tensor) -> Tensor:
        """Map ``(..., hidden)`` to scores ``(..., V + 1)`` (Eq. 12); the padding id gets minus infinity."""
        score: Any = self.items.scores
        scores: Tensor = self.scoring(y, score)
        # in place: a copy of (positions, V) costs as much as a layer
        scores.select(-1, 0).fill_(float("-inf"))
        return scores

    def next_item(self, inputs: Tensor, lengths: Tensor, *when: Tensor) -> Tensor:
        """Score the next item of each sequence: ``(B, N)`` ids and ``(B,)`` lengths to ``(B, V + 1)``.

        With a bias by time, ``when`` is the times and ``until`` of :meth:`forward`.
        """
        return self.scores(self.last(inputs, lengths, *when))

    def last(self, inputs: Tensor, lengths: Tensor, *when: Tensor) -> Tensor:
        """Compute Y at the last real position: arguments of :meth:`next_item` to ``(B, hidden)``."""
        y: Tensor = self(inputs, (lengths - 1).clamp_min(0), *when)
        return y.squeeze(1)

    def example(self, inputs: Tensor) -> tuple[Any, ...]:
        """Return arguments of the forward for ids ``(B, N)``, with times one second apart if it needs any."""
        if self.time_bias == "none":
            return (inputs,)
        times = torch.arange(inputs.shape[1]).expand_as(inputs)
        return inputs, None, times, times + 1


def _last_norm(config: ModelConfig, sizes: Any) -> nn.Module | None:
    """Return the norm after the last layer, which layers that normalize their inputs need."""
    return enn.LayerNorm(sizes.hidden) if config.space == "wide" and config.wide.norm == "pre" else None


def _stack(config: ModelConfig, sizes: Any, causal: bool) -> enn.Stack:
    if config.space == "wide":
        layers = (WideLayer(config, each, causal, number == 0) for number, each in enumerate(sizes_of_layers(sizes)))
        return enn.Stack(layers, sizes.depth)
    return enn.Stack([layer(config, sizes, causal, first=number == 0) for number in range(config.layers)], sizes.depth)


@torch.no_grad()
def _initialise(model: EASRecModel, config: ModelConfig) -> None:
    positions = model.positions.weight if isinstance(model.positions, enn.ElasticParameter) else model.positions
    embeddings = [model.items] if model.features is None else [model.items, model.features.table]
    tables = [model.items.weight, positions, *(embedding.weight for embedding in embeddings[1:])]
    for table in tables:
        if config.init == "paper":
            nn.init.xavier_normal_(table)
        else:
            nn.init.normal_(table, std=config.init)
    for embedding in embeddings:
        embedding.weight[0] = 0
    if config.init != "paper":
        return
    # He before a ReLU, Glorot elsewhere (the paper's references 44 and 45)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2 and all(parameter is not table for table in tables):
            (nn.init.kaiming_normal_ if ".cross." in name else nn.init.xavier_normal_)(parameter)


def supernet(config: ModelConfig, items: int, causal: bool, features: ItemFeatures | None = None) -> EASRecModel:
    """Return the supernet of the space."""
    return EASRecModel(config, items, space_for(config).axes(), causal, features)


def build(
    config: ModelConfig, items: int, arch: Any, causal: bool, features: ItemFeatures | None = None
) -> EASRecModel:
    """Return the plain network of an architecture."""
    return EASRecModel(config, items, arch, causal, features)
