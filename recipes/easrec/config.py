"""Settings of a run of EASRec."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from elasticnas.settings import updated

__all__ = ["AttentionKind", "Config", "LayerKind", "ModelConfig", "SearchConfig", "TrainConfig", "WideConfig"]

AttentionKind: TypeAlias = Literal["linrec", "softmax", "hstu"]
LayerKind: TypeAlias = Literal["softmax", "linrec", "hstu", "none"]

_UNUSED_BY_WIDE = [
    "hidden",
    "inner",
    "heads",
    "attention",
    "attention_choices",
    "gate_layers",
    "candidates",
    "hidden_pruning",
    "inner_pruning",
    "weights",
    "mixing",
]
# settings that earlier versions did not record
_ADDED = {
    "model": ("space", "wide", "time_bias", "time_buckets", "scores", "temperature"),
    "model.wide": ("scores", "time_bias"),
    "train": ("sampled_from", "sampled_correction"),
}


def _budget(given: Any) -> Any:
    """Accept numbers, and ``none`` for no budget."""
    if isinstance(given, str) and given.lower() == "none":
        return None
    return str(given) if isinstance(given, (int, float)) and not isinstance(given, bool) else given


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class WideConfig(_Frozen):
    """Options of the wide space, in which each layer has its own attention, heads, inner size and gates.

    Attributes:
        hidden: Hidden sizes d, one for all layers.
        attention: Kinds of attention of a layer; ``none`` leaves it out.
        heads: Numbers of heads of a layer.
        head_dim: Width k of a head; the width of the attention, heads times k, does not depend on ``hidden``.
        inner: Inner sizes D of a layer; 0 leaves the dense layers out, and ``[0]`` those of all layers.
        gates: Numbers of layers of a layer's gates; 0 for no gates.
        scores: Kinds of scores to choose from, one for all layers, instead of ``model.scores``; the first is that of
            the largest network. Empty for no choice.
        time_bias: ``[false, true]``: whether a network uses the bias of ``model.time_bias`` is a choice, one for all
            layers. Empty for no choice: all networks use it.
        norm: ``pre``: each part of a layer normalizes its input, and the last layer's output is normalized; ``post``:
            the sum of input and output of each part is normalized, as in the paper.
    """

    hidden: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = (32, 48, 64, 96, 128, 160, 192)
    attention: tuple[LayerKind, ...] = ("softmax", "linrec", "hstu", "none")
    heads: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = (1, 2, 4, 6)
    head_dim: int = Field(default=32, ge=1, le=65_536)
    inner: tuple[Annotated[int, Field(ge=0, le=262_144)], ...] = (0, 64, 128, 256, 512)
    gates: tuple[Literal[0, 1, 2], ...] = (0, 1, 2)
    scores: tuple[Literal["dot", "cosine"], ...] = ()
    time_bias: tuple[bool, ...] = ()
    norm: Literal["pre", "post"] = "pre"

    @model_validator(mode="after")
    def _fits(self) -> "WideConfig":
        for name in ("hidden", "attention", "heads", "inner", "gates"):
            options: tuple[Any, ...] = getattr(self, name)
            if not options or len(set(options)) < len(options):
                raise ValueError(f"wide.{name}={list(options)}: different options are needed, at least one")
            if name != "attention" and list(options) != sorted(options):
                raise ValueError(f"wide.{name}={list(options)}: list the options in ascending order")
        if self.attention[0] == "none":
            raise ValueError(
                f"wide.attention={list(self.attention)}: the first kind is that of the largest network, so that it "
                "cannot be none; list softmax, linrec or hstu first"
            )
        if len(self.scores) == 1 or len(set(self.scores)) < len(self.scores):
            raise ValueError(
                f"wide.scores={list(self.scores)}: two different kinds are needed; set model.scores for one"
            )
        if self.time_bias not in ((), (False, True)):
            raise ValueError(
                f"wide.time_bias={list(self.time_bias)}: give [false, true] for a choice; without it, all networks use "
                "the bias that model.time_bias declares"
            )
        if self.time_bias and "none" in self.attention:
            raise ValueError(
                "wide.time_bias is a choice without effect on a network whose layers all have attention none: leave "
                "none out of wide.attention"
            )
        return self

    @property
    def has_dense(self) -> bool:
        """Whether a layer can have dense layers."""
        return self.inner[-1] > 0


class ModelConfig(_Frozen):
    """Settings of the supernet.

    Attributes:
        space: ``paper``: candidates of hidden and inner size, and depth; ``wide``: every layer has sizes of its own.
        wide: Options of the wide space; it does not use the settings of candidates, attention and number of gates.
        hidden: d, hidden size of the widest candidate.
        inner: D, feed-forward size of the widest candidate.
        length: N, the maximum number of items in an input sequence.
        layers: L, layers of the deepest network.
        heads: Attention heads; a narrower candidate has narrower heads.
        dropout: Dropout rate on embeddings, attention output and feed-forward output.
        backbone: Input of the layers: items (``sasrec``); items and their features projected to one sequence
            (``sasrecf``); items, with a second stack of layers for the features (``fdsa``).
        attention: Softmax, LinRec (the paper), or HSTU's pointwise attention.
        attention_choices: Kinds of attention to search over, instead of ``attention``.
        key_norm: Normalization of LinRec's keys: by column (paper, Eq. 5) or by token (authors' code).
        gate_layers: Layers of a data-aware gate: 2 (paper), 1, or 0 for no gates (see Table V).
        gate_position: Gates multiply the inputs of the dense layers (paper, Eq. 9) or the outputs (authors' code).
        gate_input: Input of the gates: the embedding of each position, or its mean over the positions seen so far.
        gate_rank: Width between a gate's two layers; None for the width of its output.
        embedding_norm: Whether to apply LayerNorm to the embedded sequence (authors' code).
        candidates: ``paired``: hidden and inner sizes in pairs (m candidates); ``grid``: all combinations (m x m).
        hidden_pruning: gamma, the fractions of the hidden size that candidates prune.
        inner_pruning: gamma', the fractions of the inner size that candidates prune.
        weights: Whether candidates share weights. Gates are never shared.
        mixing: ``block``: mix the candidates' outputs after each block (paper, Eq. 11); ``mask``: one pass with soft
            masks (authors' code).
        init: Standard deviation of normally distributed initial embeddings, or ``"paper"`` for He and Glorot.
        time_bias: Bias of the attention scores by time, for softmax and hstu: none; by the time between the event that
            asks and each event before it (``own``); or by the time from each event to the next one, whose time is an
            input (``target``), which is another task than ranking without it.
        time_buckets: Buckets of that bias.
        scores: Scores of items: dot products, or cosine similarities divided by ``temperature``.
        temperature: Temperature of cosine scores.
    """

    space: Literal["paper", "wide"] = "paper"
    wide: WideConfig = WideConfig()
    hidden: int = Field(default=128, ge=1, le=65_536)
    inner: int = Field(default=256, ge=1, le=262_144)
    length: int = Field(default=200, ge=1, le=1_000_000)
    layers: int = Field(default=4, ge=1, le=1_000)
    heads: int = Field(default=4, ge=1, le=65_536)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    backbone: Literal["sasrec", "sasrecf", "fdsa"] = "sasrec"
    attention: AttentionKind = "softmax"
    attention_choices: tuple[AttentionKind, ...] | None = None
    key_norm: Literal["column", "token"] = "column"
    gate_layers: Literal[0, 1, 2] = 2
    gate_position: Literal["before", "after"] = "before"
    gate_input: Literal["position", "pooled"] = "pooled"
    gate_rank: int | None = Field(default=None, ge=1)
    embedding_norm: bool = True
    candidates: Literal["paired", "grid"] = "paired"
    hidden_pruning: tuple[float, ...] = (0.0, 0.25, 0.5)
    inner_pruning: tuple[float, ...] = (0.0, 0.25, 0.5)
    weights: Literal["shared", "separate"] = "shared"
    mixing: Literal["block", "mask"] = "block"
    init: Annotated[float, Field(ge=1e-10, lt=100)] | Literal["paper"] = 0.02
    time_bias: Literal["none", "own", "target"] = "none"
    time_buckets: int = Field(default=128, ge=1, le=1_000)
    scores: Literal["dot", "cosine"] = "dot"
    temperature: float = Field(default=0.05, gt=0)

    @model_validator(mode="after")
    def _fits(self) -> "ModelConfig":
        for name, full, fractions in (
            ("hidden_pruning", self.hidden, self.hidden_pruning),
            ("inner_pruning", self.inner, self.inner_pruning),
        ):
            if not fractions or len(set(fractions)) < len(fractions) or not all(0 <= f < 1 for f in fractions):
                raise ValueError(f"{name}={list(fractions)}: distinct fractions from 0 to below 1 are needed")
            if any(abs(full * (1 - f) - round(full * (1 - f))) > 1e-6 for f in fractions):
                raise ValueError(f"{name}={list(fractions)} does not leave whole numbers of {full} units")
        if any(round(self.hidden * (1 - f)) % self.heads for f in self.hidden_pruning):
            sizes = [round(self.hidden * (1 - f)) for f in self.hidden_pruning]
            raise ValueError(f"heads={self.heads} does not divide every hidden size {sizes}")
        if len(set(self.sizes())) < len(self.sizes()):
            raise ValueError(f"two candidates have the same sizes {list(self.sizes())}")
        if self.candidates == "paired" and len(self.hidden_pruning) != len(self.inner_pruning):
            raise ValueError("paired candidates need as many hidden_pruning as inner_pruning fractions")
        if self.mixing == "mask" and self.weights == "separate":
            raise ValueError("mixing=mask mixes masks over one set of weights; weights=separate needs mixing=block")
        choices = self.attention_choices
        if choices is not None and (len(choices) < 2 or len(set(choices)) < len(choices)):
            raise ValueError(
                f"attention_choices={list(choices)}: two different kinds or more are needed; set attention for one"
            )
        kinds: tuple[str, ...] = self.wide.attention if self.space == "wide" else choices or (self.attention,)
        if self.uses_times and "linrec" in kinds:
            raise ValueError(
                f"time_bias={self.time_bias}: linrec has no scores to add it to; choose softmax or hstu, or no bias"
            )
        return self

    @model_validator(mode="after")
    def _uses_its_space(self) -> "ModelConfig":
        fields = type(self).model_fields
        if self.space == "wide":
            for name in _UNUSED_BY_WIDE:
                if getattr(self, name) != fields[name].default:
                    raise ValueError(f"space=wide does not use {name}: leave it out, and set the options of model.wide")
            if self.wide.scores and self.scores != fields["scores"].default:
                raise ValueError(
                    f"wide.scores={list(self.wide.scores)} is a choice of the architecture, so that "
                    f"scores={self.scores} is not used: leave one of them out"
                )
            if self.wide.time_bias and not self.uses_times:
                raise ValueError(
                    "wide.time_bias chooses whether to use a bias by time, and time_bias=none declares none: set "
                    "model.time_bias to own or target, or leave the choice out"
                )
        elif self.wide != WideConfig():
            raise ValueError(f"space={self.space} does not use the options of wide: set model.space=wide")
        return self

    @property
    def uses_times(self) -> bool:
        """Whether times of interactions are an input of the network, or of some networks if it is their choice."""
        return self.time_bias != "none"

    @property
    def has_features(self) -> bool:
        """Whether the backbone uses features of the items."""
        return self.backbone != "sasrec"

    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Return hidden and inner size of every candidate, smallest first."""
        hidden = [round(self.hidden * (1 - f)) for f in self.hidden_pruning]
        inner = [round(self.inner * (1 - f)) for f in self.inner_pruning]
        if self.candidates == "paired":
            return tuple(sorted(zip(hidden, inner, strict=True)))
        return tuple(sorted((d, D) for d in hidden for D in inner))


class TrainConfig(_Frozen):
    """Settings of the training of weights.

    Attributes:
        form: ``causal``: one pass predicts every next item; ``prefixes``: bidirectional, one sample per prefix (paper).
        loss: ``softmax``: cross entropy over all items; ``sampled``: over a sample of them; ``binary``: Eq. 14
            literally.
        sampled_items: Size of that sample, drawn for every batch; for very large catalogues.
        sampled_from: Whether items are drawn in proportion to their training counts plus 1, or uniformly.
        sampled_correction: Whether the loss corrects for the draw, so that it estimates ``softmax``; without, it is
            cross entropy among the target and the sample, as in HSTU's code.
        batch: Batch size, counted in ``unit``.
        unit: Users (windows), or targets (the 1,024 of Table II are prefixes).
        learning_rate: Learning rate of Adam, without weight decay.
        schedule: Constant, or linear warm-up and cosine decay to 0 over the planned epochs (retraining only).
        warmup: Fraction of the steps for warm-up, with the cosine.
        epochs: Maximum number of epochs.
        patience: Validations without improvement after which training stops.
        validate_every: Epochs between validations.
        inherit: Whether to start from the supernet's weights (paper) or from random ones.
        precision: ``float32``; ``bfloat16``: torch's autocast, in which linear layers and the products of the loss
            compute in bfloat16, and on the CPU attention in float32; weights, sums and norms stay float32.
            ``auto``: ``bfloat16`` where it is known to be faster and as accurate, see
            :func:`easrec.precision.chosen_precision`.
        clip_norm: Maximum gradient norm; None for no clipping.
    """

    form: Literal["causal", "prefixes"] = "causal"
    loss: Literal["softmax", "sampled", "binary"] = "softmax"
    sampled_items: int = Field(default=2048, ge=1, le=10_000_000)
    sampled_from: Literal["popularity", "uniform"] = "popularity"
    sampled_correction: bool = True
    batch: int = Field(default=64, ge=1, le=10_000_000)
    unit: Literal["users", "targets"] = "users"
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup: float = Field(default=0.05, ge=0, lt=1)
    epochs: int = Field(default=30, ge=1)
    patience: int = Field(default=5, ge=1)
    validate_every: int = Field(default=1, ge=1)
    inherit: bool = True
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    clip_norm: float | None = Field(default=5.0, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_version(cls, given: Any) -> Any:
        """Read ``bf16``, which files of runs had in place of ``precision``."""
        if not isinstance(given, Mapping) or "precision" in given or not isinstance(given.get("bf16"), bool):
            return given
        rest = {name: value for name, value in given.items() if name != "bf16"}
        return rest | {"precision": "bfloat16" if given["bf16"] else "float32"}


class SearchConfig(_Frozen):
    """Settings of the architecture search.

    Attributes:
        strategy: Name of an installed strategy; EASRec's own is ``dynamic-constraint``. With ``none`` the run trains
            the largest network from random weights; it must be within the budget.
        options: Further arguments of the strategy, by name.
        epochs: Maximum number of epochs over the training users.
        batch: Batch size, counted in ``train.unit``.
        learning_rate: Learning rate of the weights.
        architecture_lr: Learning rate of alpha and beta.
        update_every: f, weight steps per architecture step; not given in the paper, 10 in the authors' code.
        warmup: Fraction of the steps before the first architecture step.
        relaxation: Gumbel-softmax (Eq. 10), tempered softmax (authors' code), softmax, or straight-through.
        temperature: ``scaled``: from 1 to 0.01 over the planned steps; ``literal``: max(0.01, 1 - 0.00005 t).
        penalty: The dynamic constraint (Eq. 15 and 16), a fixed weight, dual ascent to the budget, or none. Strategies
            receive it, ``relaxation``, ``temperature`` and ``weight`` (from ``penalty_weight``) if they accept them.
        penalty_weight: lambda, the weight of expected FLOPs divided by ``cost_unit``.
        cost_unit: FLOPs of the largest network, their range from smallest to largest (authors' code), or one FLOP
            (Eq. 15 literally).
        order: First or second order of the bilevel gradient.
        architecture_data: Data of the architecture steps: held-out users (the paper's validation batches), or the
            training batches (authors' code).
        held_out_users: Fraction of users held out for the architecture steps.
        patience: Epochs without improvement after which the search stops.
        random_architectures: Architectures that random search evaluates; None for as many as the search evaluated.
        budget: Maximum FLOPs: ``"50%"`` of the largest network's, a number, or None.
    """

    strategy: str = "dynamic-constraint"
    options: dict[str, Any] = Field(default={})
    epochs: int = Field(default=10, ge=1)
    batch: int = Field(default=64, ge=1, le=10_000_000)
    learning_rate: float = Field(default=1e-3, gt=0)
    architecture_lr: float = Field(default=0.05, gt=0)
    update_every: int = Field(default=4, ge=1)
    warmup: float = Field(default=0.2, ge=0, lt=1)
    relaxation: Literal["gumbel", "tempered", "softmax", "straight-through"] = "gumbel"
    temperature: Literal["scaled", "literal"] = "scaled"
    penalty: Literal["dynamic", "fixed", "dual", "none"] = "dynamic"
    penalty_weight: float = Field(default=0.1, ge=0, lt=1e6)
    cost_unit: Literal["largest", "range", "flops"] = "largest"
    order: Literal[1, 2] = 1
    architecture_data: Literal["held-out", "training"] = "held-out"
    held_out_users: float = Field(default=0.1, gt=0, lt=1)
    patience: int | None = Field(default=10, ge=1)
    random_architectures: int | None = Field(default=None, ge=1)
    budget: Annotated[str | None, BeforeValidator(_budget)] = "50%"


class Config(_Frozen):
    """Settings of a whole run.

    Attributes:
        model: The supernet.
        search: The search.
        train: Training of the found network and of those it is compared with.
        compare: Networks that are also trained, for comparison.
        cutoffs: Cut-offs k of the metrics.
        early_stopping_metric: Validation metric for early stopping and for ranking architectures; ``auto`` leaves the
            default, which :func:`easrec.steering.steered` replaces by ``full/ndcg@10`` on data with many repeats.
        negatives: Negatives per user in pop100 and in uni100.
        min_user: k-core filter: minimum interactions of a user.
        min_item: k-core filter: minimum interactions of an item.
        checkpoint_steps: Steps between checkpoints.
        seed: Random seed.
    """

    model: ModelConfig = ModelConfig()
    search: SearchConfig = SearchConfig()
    train: TrainConfig = TrainConfig()
    compare: tuple[Literal["largest", "random"], ...] = ("largest", "random")
    cutoffs: tuple[int, ...] = (5, 10, 20)
    early_stopping_metric: str = "unseen/ndcg@10"
    negatives: int = Field(default=100, ge=1, le=100_000)
    min_user: int = Field(default=0, ge=0)
    min_item: int = Field(default=0, ge=0)
    checkpoint_steps: int = Field(default=50, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**32)

    @model_validator(mode="before")
    @classmethod
    def _auto_is_no_choice(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("early_stopping_metric") == "auto":
            return {name: value for name, value in given.items() if name != "early_stopping_metric"}
        return given

    @model_validator(mode="after")
    def _metrics_are_known(self) -> "Config":
        for name, given in (("cutoffs", self.cutoffs), ("compare", self.compare)):
            if len(set(given)) < len(given) or (name == "cutoffs" and not (given and min(self.cutoffs) >= 1)):
                raise ValueError(
                    f"{name}={list(given)}: distinct entries are needed; cutoffs needs at least one, each 1 or more"
                )
        known = [
            f"{p}/{m}@{k}"
            for p in ("full", "unseen", "pop100", "uni100")
            for m in ("recall", "mrr", "ndcg")
            for k in self.cutoffs
        ]
        if self.early_stopping_metric not in known:
            raise ValueError(
                f"early_stopping_metric={self.early_stopping_metric!r} is not computed; "
                f"choose auto or one of {', '.join(known)}"
            )
        return self

    def recorded(self) -> dict[str, Any]:
        """Return the settings as plain data for files that belong to a run.

        Settings that were added later are left out while they have their defaults, so that a run stays the same run
        across versions.
        """
        data, defaults = self.model_dump(mode="json"), Config().model_dump(mode="json")
        for path, added in _ADDED.items():
            *groups, last = path.split(".")
            within, usual = data, defaults
            for group in groups:
                within, usual = within.get(group, {}), usual[group]
            if last in within:
                within[last] = {
                    n: value for n, value in within[last].items() if n not in added or value != usual[last][n]
                }
        return data

    def updated(self, changes: dict[str, Any]) -> "Config":
        """Return a copy with changes, by dotted name such as ``{"model.layers": 2}``, or nested.

        Raises:
            ConfigError: A key is unknown, or a value is not allowed.
        """
        return updated(self, changes)
