"""Every primitive and composition keeps the contract."""

import torch
from torch import nn

import elasticnas.nn as enn
from elasticnas.axes import Axis
from elasticnas.testing import ElasticModuleContract
from tests.nn import spaces as s


def normal(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


class OnHidden(ElasticModuleContract):
    """Input and output ``(2, 5, hidden)``."""

    length = 5

    def inputs(self, arch, generator):
        return (normal(generator, 2, self.length, arch.hidden),)

    def inputs_size(self, axes):
        return axes.hidden


class TestLinear(OnHidden):
    space = s.Widths
    examples = 60

    def build(self, sizes):
        return enn.Linear(sizes.hidden, sizes.inner)

    def outputs_size(self, axes):
        return axes.inner

    def flops(self, arch):
        return 2 * 2 * 5 * arch.hidden * arch.inner


class TestLinearWithoutBias(OnHidden):
    space = s.Hidden

    def build(self, sizes):
        return enn.Linear(sizes.hidden, 3, bias=False)

    def outputs_size(self, axes):
        return None


class TestFusedLinear(OnHidden):
    """Rows laid out (3 heads head_dim)."""

    space = s.Heads
    examples = 60

    def build(self, sizes):
        return enn.Linear(sizes.hidden, 3 * sizes.heads * sizes.head_dim)

    def outputs_size(self, axes):
        return 3 * axes.heads * axes.head_dim


class TestConcatenatedLinear(OnHidden):
    space = s.Widths
    examples = 60

    def build(self, sizes):
        return enn.Linear(sizes.hidden, sizes.inner + 2 * sizes.hidden)

    def outputs_size(self, axes):
        return axes.inner + 2 * axes.hidden


class TestEmbedding(ElasticModuleContract):
    space = s.Hidden

    def build(self, sizes):
        return enn.Embedding(9, sizes.hidden, padding_idx=0)

    def inputs(self, arch, generator):
        return (torch.randint(9, (2, 5), generator=generator),)

    def outputs_size(self, axes):
        return axes.hidden

    def flops(self, arch):
        return 0


class Tied(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.table = enn.Embedding(9, hidden)

    def forward(self, ids):
        return self.table.scores(torch.tanh(self.table(ids)))


class TestTiedScores(TestEmbedding):
    def build(self, sizes):
        return Tied(sizes.hidden)

    def outputs_size(self, axes):
        return None

    def flops(self, arch):
        return 2 * 2 * 5 * arch.hidden * 9


class TiedCosine(Tied):
    def forward(self, ids):
        return self.table.scores(torch.tanh(self.table(ids)), cosine_temperature=0.5)


class TestTiedCosineScores(TestTiedScores):
    examples = 30

    def build(self, sizes):
        return TiedCosine(sizes.hidden)


class TestLayerNorm(OnHidden):
    space = s.Hidden
    examples = 60

    def build(self, sizes):
        return enn.LayerNorm(sizes.hidden)

    def flops(self, arch):
        return 0


class TestRMSNorm(OnHidden):
    space = s.Hidden

    def build(self, sizes):
        return enn.RMSNorm(sizes.hidden)


class TestRMSNormOverHeads(OnHidden):
    """A norm over a composite size."""

    space = s.Heads

    def build(self, sizes):
        width = sizes.heads * sizes.head_dim
        return nn.Sequential(enn.Linear(sizes.hidden, width), enn.RMSNorm(width, eps=1e-6))

    def outputs_size(self, axes):
        return axes.heads * axes.head_dim


class TestParameter(ElasticModuleContract):
    space = s.Widths

    def build(self, sizes):
        return Positions(sizes)

    def inputs(self, arch, generator):
        return (normal(generator, 2, 5, arch.hidden),)

    def inputs_size(self, axes):
        return axes.hidden


class Positions(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.table = enn.Parameter(7, sizes.hidden)
        self.up, self.down = enn.Parameter(sizes.inner, sizes.hidden), enn.Linear(sizes.inner, sizes.hidden)

    def forward(self, x):
        table, up = enn.align(self.table, x), enn.align(self.up, x)
        x = x * table[..., : x.shape[1], :] + table[..., :1, :]
        return self.down(x @ up.transpose(-1, -2))


class Attending(OnHidden):
    space = s.Heads
    kind, causal, key_norm, padded = "softmax", False, "column", False
    examples = 60

    def build(self, sizes):
        return enn.Attention(
            sizes.hidden, sizes.heads, sizes.head_dim, kind=self.kind, causal=self.causal, key_norm=self.key_norm
        )

    def inputs(self, arch, generator):
        x = normal(generator, 3, self.length, arch.hidden)
        if not self.padded:
            return (x,)
        padding = torch.rand(3, self.length, generator=generator) < 0.4
        padding[2] = True
        return (x, padding)


class TestSoftmaxAttention(Attending):
    def flops(self, arch):
        width = arch.heads * arch.head_dim
        projections = 4 * 2 * 3 * 5 * arch.hidden * width
        return projections + 2 * 2 * 3 * arch.heads * 5 * 5 * arch.head_dim


class TestCausalSoftmaxAttention(Attending):
    causal = True


class TestPaddedSoftmaxAttention(Attending):
    padded = True


class TestPaddedCausalSoftmaxAttention(Attending):
    padded = causal = True


class TestAttentionOverOnePosition(Attending):
    length = 1
    examples = 20


class TestLinRec(Attending):
    kind = "linrec"

    def flops(self, arch):
        width = arch.heads * arch.head_dim
        return 4 * 2 * 3 * 5 * arch.hidden * width + 2 * 2 * 3 * arch.heads * 5 * arch.head_dim**2


class TestPaddedLinRec(Attending):
    kind, padded = "linrec", True


class TestTokenLinRec(Attending):
    kind, key_norm, padded = "linrec", "token", True


class TestCausalLinRec(Attending):
    kind, causal = "linrec", True


class TestPaddedCausalLinRec(Attending):
    kind, causal, padded = "linrec", True, True


class TestCausalTokenLinRec(Attending):
    kind, causal, key_norm = "linrec", True, "token"


class TestPointwiseAttention(Attending):
    examples = 30

    def build(self, sizes):
        return enn.PointwiseAttention(sizes.hidden, sizes.heads, sizes.head_dim, length=7, causal=self.causal)

    def flops(self, arch):
        width = arch.heads * arch.head_dim
        return 5 * 2 * 3 * 5 * arch.hidden * width + 2 * 2 * 3 * arch.heads * 5 * 5 * arch.head_dim


class TestCausalPointwiseAttention(TestPointwiseAttention):
    causal = True
    examples = 10


class TestPaddedPointwiseAttention(TestPointwiseAttention):
    padded = True
    examples = 10


class TestPaddedCausalPointwiseAttention(TestPointwiseAttention):
    padded = causal = True
    examples = 10


class TestPointwiseAttentionOverOnePosition(TestPointwiseAttention):
    length = 1
    examples = 10

    def flops(self, arch):
        return None


class TimedAttention(Attending):
    """Softmax attention with biases by position and by time; the times of queries are given in half of the samples."""

    padded = True
    examples = 30

    def build(self, sizes):
        relative = enn.RelativeBias(length=7, buckets=40, causal=self.causal)
        return enn.Attention(sizes.hidden, sizes.heads, sizes.head_dim, causal=self.causal, relative=relative)

    def inputs(self, arch, generator):
        x, *padding = super().inputs(arch, generator)
        times = torch.randint(10**6, (3, self.length), generator=generator)
        asked = times + torch.randint(10**4, (3, self.length), generator=generator)
        return x, padding[0] if padding else None, None, times, asked if self.causal else None


class TestTimedAttention(TimedAttention):
    pass


class TestCausalTimedAttention(TimedAttention):
    causal = True


class TestUnpaddedCausalTimedAttention(TimedAttention):
    causal, padded = True, False
    examples = 10

    def flops(self, arch):
        width = arch.heads * arch.head_dim
        return 4 * 2 * 3 * 5 * arch.hidden * width + 2 * 2 * 3 * arch.heads * 5 * 5 * arch.head_dim


class TestTimedKeyHeads(TimedAttention):
    """Query heads that mix keys and values share the bias."""

    space = s.KeyHeads
    causal = True
    examples = 10

    def build(self, sizes):
        relative = enn.RelativeBias(buckets=40, causal=True)
        return enn.Attention(6, 4, sizes.head_dim, causal=True, kv_heads=sizes.kv_heads, relative=relative)

    def inputs(self, arch, generator):
        x = normal(generator, 3, self.length, 6)
        return x, None, None, torch.randint(10**6, (3, self.length), generator=generator)

    def inputs_size(self, axes):
        return None


class TestTimedPointwiseAttention(TimedAttention):
    def build(self, sizes):
        relative = enn.RelativeBias(buckets=40, causal=self.causal)
        widths = sizes.hidden, sizes.heads, sizes.head_dim
        return enn.PointwiseAttention(*widths, length=7, causal=self.causal, relative=relative)


class TestCausalTimedPointwiseAttention(TestTimedPointwiseAttention):
    causal = True


class OptionallyTimedAttention(TimedAttention):
    """An architecture without the bias ignores the times, which others of the same batch need."""

    space = s.AttentionWithBias

    def build(self, sizes):
        relative = enn.OptionalBias(enn.RelativeBias(length=7, buckets=40, causal=self.causal), sizes.biased)
        return enn.Attention(sizes.hidden, sizes.heads, sizes.head_dim, causal=self.causal, relative=relative)


class TestOptionallyTimedAttention(OptionallyTimedAttention):
    pass


class TestCausalOptionallyTimedAttention(OptionallyTimedAttention):
    causal = True


class TestOptionallyTimedPointwiseAttention(OptionallyTimedAttention):
    causal = True

    def build(self, sizes):
        relative = enn.OptionalBias(enn.RelativeBias(buckets=40, causal=True), sizes.biased)
        return enn.PointwiseAttention(
            sizes.hidden, sizes.heads, sizes.head_dim, length=7, causal=True, relative=relative
        )


class GroupedQueries(ElasticModuleContract):
    space = s.Grouped
    kind = "softmax"
    examples = 60

    def build(self, sizes):
        return enn.Attention(6, sizes.heads, sizes.head_dim, kind=self.kind, causal=True, kv_heads=sizes.kv_heads)

    def inputs(self, arch, generator):
        return (normal(generator, 2, 4, 6),)


class TestGroupedQueries(GroupedQueries):
    pass


class TestGroupedLinRec(GroupedQueries):
    kind = "linrec"


class KeyHeads(ElasticModuleContract):
    """Four query heads in every architecture."""

    space = s.KeyHeads
    kind, causal, key_norm, padded = "softmax", True, "column", False
    examples = 30

    def build(self, sizes):
        return enn.Attention(6, 4, sizes.head_dim, self.kind, self.causal, sizes.kv_heads, self.key_norm)

    def inputs(self, arch, generator):
        x = normal(generator, 2, 4, 6)
        return (x, torch.rand(2, 4, generator=generator) < 0.4) if self.padded else (x,)


class TestKeyHeads(KeyHeads):
    def flops(self, arch):
        width = 4 * arch.head_dim
        projections = 2 * 2 * 4 * 6 * (2 * width + 2 * arch.kv_heads * arch.head_dim)
        return projections + 2 * 2 * 2 * 4 * 4 * width


class TestPaddedBidirectionalKeyHeads(KeyHeads):
    causal, padded = False, True


class TestLinRecKeyHeads(KeyHeads):
    kind = "linrec"


class TestPaddedTokenLinRecKeyHeads(KeyHeads):
    kind, key_norm, causal, padded = "linrec", "token", False, True


class TestFeedForward(OnHidden):
    space = s.Widths

    def build(self, sizes):
        return enn.FeedForward(sizes.hidden, sizes.inner)

    def flops(self, arch):
        return 2 * 2 * 2 * 5 * arch.hidden * arch.inner


class TestGatedFeedForward(OnHidden):
    space = s.Widths
    activation = "silu"

    def build(self, sizes):
        return enn.FeedForward(sizes.hidden, sizes.inner, gated=True, activation=self.activation)

    def flops(self, arch):
        return 3 * 2 * 2 * 5 * arch.hidden * arch.inner


class TestSigmoidGatedFeedForward(TestGatedFeedForward):
    activation = "sigmoid"


class TestDataAwareGate(OnHidden):
    space = s.Widths
    layers, rank = 2, None

    def build(self, sizes):
        return enn.DataAwareGate(sizes.hidden, sizes.inner, layers=self.layers, rank=self.rank)

    def outputs_size(self, axes):
        return axes.inner

    def flops(self, arch):
        return 2 * 2 * 5 * (arch.hidden * arch.inner + arch.inner**2)


class TestGateOfOneLayer(TestDataAwareGate):
    layers = 1

    def flops(self, arch):
        return 2 * 2 * 5 * arch.hidden * arch.inner


class TestLowRankGate(TestDataAwareGate):
    rank = 3

    def flops(self, arch):
        return 2 * 2 * 5 * (arch.hidden * 3 + 3 * arch.inner)


class TestStack(OnHidden):
    space = s.Depth
    examples = 60

    def build(self, sizes):
        return enn.Stack([enn.FeedForward(sizes.hidden, 5) for _ in range(3)], sizes.depth)

    def flops(self, arch):
        return arch.depth * 2 * 2 * 2 * 5 * arch.hidden * 5


class TestChosenLayers(OnHidden):
    space = s.Chosen

    def build(self, sizes):
        layers = [enn.FeedForward(sizes.hidden, 5), enn.LayerNorm(sizes.hidden)]
        return enn.Stack(layers, [sizes.first, sizes.second])


class TestDepthSkip(OnHidden):
    space = s.Chosen

    def build(self, sizes):
        first = enn.DepthSkip(enn.FeedForward(sizes.hidden, 5), sizes.first)
        return nn.Sequential(first, enn.DepthSkip(enn.RMSNorm(sizes.hidden), sizes.second))


class TestDepthSkipBySize(OnHidden):
    """The size of the module skips it at 0."""

    space = s.Missing
    examples = 60

    def build(self, sizes):
        elastic = isinstance(sizes.inner, Axis)
        part = enn.FeedForward(sizes.hidden, sizes.inner) if elastic or sizes.inner else nn.Identity()
        return enn.DepthSkip(part, sizes.inner if elastic else sizes.inner > 0)

    def flops(self, arch):
        return 2 * 2 * 2 * 5 * arch.hidden * arch.inner


class TestMixtureOfBranches(OnHidden):
    space = s.Branches

    def build(self, sizes):
        deep = nn.Sequential(enn.Linear(sizes.hidden, 5), nn.Tanh(), enn.Linear(5, sizes.hidden))
        return enn.Mixture({"plain": enn.Linear(sizes.hidden, sizes.hidden), "deep": deep}, sizes.kind)

    def flops(self, arch):
        return 2 * 2 * 5 * arch.hidden * (arch.hidden if arch.kind == "plain" else 10)


class TestMixtureOfWidths(OnHidden):
    """One module, shared by candidates of different widths."""

    space = s.Candidates

    def build(self, sizes):
        return enn.Mixture(enn.FeedForward(sizes.hidden, sizes.inner), sizes.width, inputs=sizes.hidden)


class TestMixtureOfSeparateCandidates(OnHidden):
    """Candidates with weights of their own, built with ints."""

    space = s.Candidates

    def build(self, sizes):
        candidates = {n: enn.FeedForward(d, D) for n, (d, D) in enumerate(((4, 6), (6, 9), (8, 12)))}
        return enn.Mixture(candidates, sizes.width, inputs=sizes.hidden)


class Reduced(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.hidden = hidden
        self.project = enn.Linear(hidden, hidden)

    def forward(self, x):
        y = self.project(x)
        return enn.softmax(y, self.hidden) * x + enn.mean(x, self.hidden, keepdim=True) * y


class TestReductions(OnHidden):
    space = s.Hidden

    def build(self, sizes):
        return Reduced(sizes.hidden)


class EncoderLayer(nn.Module):
    def __init__(self, sizes, post):
        super().__init__()
        self.post = post
        self.norms = nn.ModuleList([enn.LayerNorm(sizes.hidden), enn.RMSNorm(sizes.hidden)])
        kinds = {
            k: enn.Attention(sizes.hidden, sizes.heads, sizes.head_dim, kind=k, causal=True)
            for k in ("softmax", "linrec")
        }
        self.attention = enn.Mixture(kinds, sizes.kind)
        self.mlp = enn.FeedForward(sizes.hidden, sizes.inner, gated=True)
        self.gate = enn.DataAwareGate(sizes.hidden, sizes.hidden)

    def forward(self, x, data):
        if self.post:
            x = self.norms[0](x + self.attention(x))
            return self.norms[1](x + self.gate(data) * self.mlp(x))
        x = x + self.attention(self.norms[0](x))
        return x + self.mlp(self.gate(data) * self.norms[1](x))


class Classifier(nn.Module):
    """Embedding, class token, positions, layers, tied scores."""

    def __init__(self, sizes, post):
        super().__init__()
        self.table = enn.Embedding(11, sizes.hidden)
        self.token = enn.Parameter(1, sizes.hidden)
        self.positions = enn.Parameter(8, sizes.hidden)
        self.layers = enn.Stack([EncoderLayer(sizes, post) for _ in range(2)], sizes.depth)

    def forward(self, ids):
        x = self.table(ids)
        x = torch.cat([enn.align(self.token, x).expand(len(ids), -1, -1), x], 1)
        x = x + enn.align(self.positions, x)[..., : x.shape[1], :]
        return self.table.scores(self.layers(x, x)[:, 0])


class TestPostNormClassifier(ElasticModuleContract):
    space = s.Encoder
    post = True
    examples = 60

    def build(self, sizes):
        return Classifier(sizes, self.post)

    def inputs(self, arch, generator):
        return (torch.randint(11, (2, 5), generator=generator),)

    def outputs_size(self, axes):
        return None


class TestPreNormClassifier(TestPostNormClassifier):
    post = False
