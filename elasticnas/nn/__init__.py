"""Elastic primitives: PyTorch modules whose sizes may be axes."""

from elasticnas.nn.attention import Attention
from elasticnas.nn.attention_cache import AttentionCache
from elasticnas.nn.checkpoint import checkpoint
from elasticnas.nn.cross_entropy import sampled_cross_entropy, tied_cross_entropy
from elasticnas.nn.depth import DepthSkip, Stack
from elasticnas.nn.embedding import ElasticEmbedding, Embedding
from elasticnas.nn.feedforward import FeedForward
from elasticnas.nn.gate import DataAwareGate
from elasticnas.nn.idle import idle_parameters
from elasticnas.nn.linear import ElasticLinear, Linear
from elasticnas.nn.linrec import LinRecState
from elasticnas.nn.mixture import Mixture
from elasticnas.nn.module import ElasticModule, inherit
from elasticnas.nn.norm import ElasticLayerNorm, ElasticRMSNorm, LayerNorm, RMSNorm
from elasticnas.nn.optional_bias import OptionalBias
from elasticnas.nn.parameter import ElasticParameter, Parameter, align
from elasticnas.nn.pointwise import PointwiseAttention
from elasticnas.nn.reduce import mean, softmax
from elasticnas.nn.relative_bias import RelativeBias
from elasticnas.nn.row import take_row

__all__ = [
    "Attention",
    "AttentionCache",
    "DataAwareGate",
    "DepthSkip",
    "ElasticEmbedding",
    "ElasticLayerNorm",
    "ElasticLinear",
    "ElasticModule",
    "ElasticParameter",
    "ElasticRMSNorm",
    "Embedding",
    "FeedForward",
    "LayerNorm",
    "LinRecState",
    "Linear",
    "Mixture",
    "OptionalBias",
    "Parameter",
    "PointwiseAttention",
    "RMSNorm",
    "RelativeBias",
    "Stack",
    "align",
    "checkpoint",
    "idle_parameters",
    "inherit",
    "mean",
    "sampled_cross_entropy",
    "softmax",
    "take_row",
    "tied_cross_entropy",
]
