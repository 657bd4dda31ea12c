"""Every operation that sums products against its count by hand; what cannot be counted is named."""

import warnings
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import elasticnas.nn as enn
from elasticnas import Space
from elasticnas.cost import Flops, UncountedFlopsWarning, count_flops

REAL = [torch.float32, torch.bfloat16]


class Runs(nn.Module):
    """A function of tensors made of the shapes given, as a network."""

    def __init__(self, function, *shapes, dtype=torch.float32):
        super().__init__()
        self.function, self.shapes, self.dtype = function, shapes, dtype

    def forward(self, _):
        return self.function(*(torch.empty(shape, dtype=self.dtype) for shape in self.shapes))


def counted(function, *shapes, dtype=torch.float32):
    """FLOPs; an operation that is not counted fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UncountedFlopsWarning)
        return count_flops(Runs(function, *shapes, dtype=dtype), torch.zeros(1))


# function, shapes of its operands, multiply-adds by hand
PRODUCTS = {
    "mm": (torch.mm, [(3, 5), (5, 7)], 3 * 5 * 7),
    "mm out": (lambda a, b: torch.mm(a, b, out=torch.empty(3, 7, dtype=a.dtype)), [(3, 5), (5, 7)], 3 * 5 * 7),
    "matrix @ vector": (lambda a, v: a @ v, [(3, 5), (5,)], 3 * 5),
    "batch @ vector": (lambda a, v: a @ v, [(2, 3, 5), (5,)], 2 * 3 * 5),
    "vector @ matrix": (lambda v, a: v @ a, [(5,), (5, 7)], 5 * 7),
    "vector @ batch": (lambda v, a: v @ a, [(5,), (2, 5, 7)], 2 * 5 * 7),
    "vector @ vector": (lambda v, w: v @ w, [(5,), (5,)], 5),
    "matmul in four dimensions": (torch.matmul, [(4, 2, 3, 5), (2, 5, 7)], 4 * 2 * 3 * 5 * 7),
    "mv": (torch.mv, [(3, 5), (5,)], 3 * 5),
    "dot": (torch.dot, [(5,), (5,)], 5),
    "vdot": (torch.vdot, [(5,), (5,)], 5),
    "inner": (torch.inner, [(3, 5), (4, 5)], 3 * 4 * 5),
    "vecdot": (torch.linalg.vecdot, [(3, 5), (3, 5)], 3 * 5),
    "vecdot broadcast": (lambda a, b: torch.linalg.vecdot(a, b, dim=0), [(5, 1, 4), (5, 3, 1)], 3 * 4 * 5),
    "addmm": (torch.addmm, [(3, 7), (3, 5), (5, 7)], 3 * 5 * 7),
    "addmm in place": (lambda x, a, b: x.addmm_(a, b), [(3, 7), (3, 5), (5, 7)], 3 * 5 * 7),
    "addmv": (torch.addmv, [(3,), (3, 5), (5,)], 3 * 5),
    "addmv in place": (lambda x, a, v: x.addmv_(a, v), [(3,), (3, 5), (5,)], 3 * 5),
    "addbmm": (torch.addbmm, [(3, 7), (2, 3, 5), (2, 5, 7)], 2 * 3 * 5 * 7),
    "baddbmm": (torch.baddbmm, [(2, 3, 7), (2, 3, 5), (2, 5, 7)], 2 * 3 * 5 * 7),
    "baddbmm in place": (lambda x, a, b: x.baddbmm_(a, b), [(2, 3, 7), (2, 3, 5), (2, 5, 7)], 2 * 3 * 5 * 7),
    "bilinear": (F.bilinear, [(3, 5), (3, 4), (6, 5, 4)], 3 * 6 * 4 * 5 + 3 * 6 * 4),
    "einsum of a vector": (lambda a, v: torch.einsum("ij,j->i", a, v), [(3, 5), (5,)], 3 * 5),
    "einsum row by row": (lambda a, b: torch.einsum("bd,bd->b", a, b), [(3, 5), (3, 5)], 3 * 5),
    "einsum of three": (
        lambda a, b, v: torch.einsum("bij,bjk,bk->bi", a, b, v),
        [(2, 3, 5), (2, 5, 7), (2, 7)],
        2 * 3 * 5 * 7 + 2 * 3 * 7,
    ),
    "tensordot": (lambda a, b: torch.tensordot(a, b, 1), [(2, 3, 5), (5, 7)], 2 * 3 * 5 * 7),
    # (3, 5) (5, 7) first costs 105 + 42, the other way round 70 + 30
    "multi_dot": (lambda *m: torch.linalg.multi_dot(m), [(3, 5), (5, 7), (7, 2)], 70 + 30),
    "matrix_power": (lambda a: torch.linalg.matrix_power(a, 4), [(5, 5)], 2 * 5**3),
    "linear on a vector": (F.linear, [(5,), (3, 5), (3,)], 3 * 5),
    "linear to a scalar": (F.linear, [(2, 5), (5,)], 2 * 5),
    "conv1d in groups": (lambda x, w: F.conv1d(x, w, groups=2), [(2, 4, 9), (6, 2, 3)], 2 * 7 * 6 * 2 * 3),
    "conv2d": (lambda x, w: F.conv2d(x, w, padding=1), [(2, 4, 9, 8), (6, 4, 3, 3)], 2 * 9 * 8 * 6 * 4 * 9),
    "conv3d": (F.conv3d, [(1, 2, 4, 4, 4), (3, 2, 3, 3, 3)], 8 * 3 * 2 * 27),
    "depthwise conv1d": (lambda x, w: F.conv1d(x, w, groups=4), [(2, 4, 9), (4, 1, 3)], 2 * 7 * 4 * 3),
    "transposed conv1d": (F.conv_transpose1d, [(2, 4, 9), (4, 6, 3)], 2 * 9 * 4 * 6 * 3),
    "transposed conv2d in groups": (
        lambda x, w: F.conv_transpose2d(x, w, stride=2, groups=2),
        [(2, 4, 5, 5), (4, 3, 3, 3)],
        2 * 25 * 4 * 3 * 9,
    ),
    "conv_tbc": (torch.conv_tbc, [(9, 2, 4), (3, 4, 6), (6,)], 7 * 2 * 6 * 3 * 4),
    "attention": (F.scaled_dot_product_attention, [(2, 4, 6, 8), (2, 4, 5, 8), (2, 4, 5, 3)], 8 * 6 * 5 * (8 + 3)),
    "causal attention": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        [(2, 4, 6, 8)] * 3,
        2 * 4 * 6 * 6 * 8 * 2,
    ),
    "grouped-query attention": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
        [(2, 4, 6, 8), (2, 2, 6, 8), (2, 2, 6, 8)],
        2 * 4 * 6 * 6 * 8 * 2,
    ),
}


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_by_hand(name, dtype):
    function, shapes, multiply_adds = PRODUCTS[name]
    assert counted(function, *shapes, dtype=dtype) == 2 * multiply_adds


def test_a_weighted_bag_is_a_product_and_a_plain_one_a_lookup():
    ids = torch.zeros(3, 4, dtype=torch.long)
    assert counted(lambda t, w: F.embedding_bag(ids.to("meta"), t, per_sample_weights=w, mode="sum"),
                   (50, 8), (3, 4)) == 2 * 3 * 4 * 8  # fmt: skip
    assert counted(lambda t: F.embedding_bag(ids.to("meta"), t), (50, 8)) == 0


def test_products_of_groups():
    ends = torch.zeros(4, dtype=torch.int32, device="meta")
    half = torch.bfloat16
    rows = counted(lambda a, b: F.grouped_mm(a, b, offs=ends), (32, 16), (4, 16, 8), dtype=half)
    assert rows == 2 * 32 * 16 * 8  # each row meets the matrix of its group
    inner = counted(lambda a, b: F.grouped_mm(a, b, offs=ends), (24, 32), (32, 8), dtype=half)
    assert inner == 2 * 24 * 32 * 8  # the 32 are divided among the groups
    assert counted(F.grouped_mm, (4, 32, 16), (4, 16, 8), dtype=half) == 2 * 4 * 32 * 16 * 8


def test_products_of_integers_and_of_complex_numbers():
    assert counted(torch.mm, (3, 5), (5, 7), dtype=torch.int64) == 2 * 3 * 5 * 7
    assert counted(torch._int_mm, (32, 16), (16, 8), dtype=torch.int8) == 2 * 32 * 16 * 8
    # (a + bi)(c + di) added to a sum: four products and four additions
    assert counted(torch.mv, (3, 5), (5,), dtype=torch.complex64) == 8 * 3 * 5


# gates, inputs and state: gates * (inputs + state) * state a step
RECURRENT = {
    "RNN": (lambda: nn.RNN(4, 6), 7 * 2 * (4 + 6) * 6),
    "GRU": (lambda: nn.GRU(4, 6), 7 * 2 * 3 * (4 + 6) * 6),
    "LSTM, two layers, both directions": (
        lambda: nn.LSTM(4, 6, 2, bidirectional=True),
        7 * 2 * 2 * 4 * ((4 + 6) * 6 + (12 + 6) * 6),
    ),
    "LSTM, projected": (lambda: nn.LSTM(4, 6, proj_size=3), 7 * 2 * (4 * (4 + 3) * 6 + 6 * 3)),
}


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers_by_hand(name, dtype):
    build, multiply_adds = RECURRENT[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UncountedFlopsWarning)
        assert count_flops(build().to(dtype), torch.zeros(7, 2, 4, dtype=dtype)) == 2 * multiply_adds


B, N, D, H = 2, 6, 8, 16
PROJECTIONS, SCORES, FEED = 4 * B * N * D * D, 2 * B * N * N * D, 2 * B * N * D * H


@pytest.mark.parametrize("padded", [False, True])
def test_torchs_own_transformer_in_eval(padded):
    layer = nn.TransformerEncoderLayer(D, 2, H, batch_first=True)
    network = nn.TransformerEncoder(layer, 3).eval()
    example = {"src": torch.zeros(B, N, D)}
    if padded:  # torch packs by the padding: it counts in full
        example["src_key_padding_mask"] = torch.zeros(B, N, dtype=torch.bool)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UncountedFlopsWarning)
        assert count_flops(network, example) == 2 * 3 * (PROJECTIONS + SCORES + FEED)
    assert network.use_nested_tensor  # the user's network is left alone


def test_attention_with_and_without_weights():
    attention = nn.MultiheadAttention(D, 2, batch_first=True).eval()
    x = torch.zeros(B, N, D)
    for need in (False, True):
        example = {"query": x, "key": x, "value": x, "need_weights": need}
        assert count_flops(attention, example) == 2 * (PROJECTIONS + SCORES)


# by convention: nothing is summed, or the sum is an operation of its own
FREE = {
    "outer": (torch.outer, [(3,), (5,)]),
    "addr": (torch.addr, [(3, 5), (3,), (5,)]),
    "kron": (torch.kron, [(3, 5), (2, 2)]),
    "einsum that sums nothing": (lambda v, w: torch.einsum("i,j->ij", v, w), [(3,), (5,)]),
    "product and sum": (lambda a, b: (a * b).sum(-1), [(3, 5), (3, 5)]),
    "norms": (lambda x: F.layer_norm(x, (5,)) + F.rms_norm(x, (5,)) + F.normalize(x), [(3, 5)]),
    "group norm": (lambda x: F.group_norm(x, 2), [(2, 4, 9)]),
    "batch norm": (lambda x, m, v: F.batch_norm(x, m, v), [(2, 4, 9), (4,), (4,)]),
    "softmax": (lambda x: x.softmax(-1) + x.log_softmax(-1), [(3, 5)]),
    "cross entropy": (lambda x: F.cross_entropy(x, torch.zeros(3, dtype=torch.long)), [(3, 5)]),
    "gates": (lambda x: F.glu(x) + F.softplus(x[:, :2]) + F.prelu(x[:, :2], torch.ones(1)), [(3, 4)]),
    "pooling": (lambda x: F.max_pool1d(x, 2) + F.avg_pool1d(x, 2) + F.adaptive_avg_pool1d(x, 4), [(2, 4, 8)]),
    "resampling": (lambda x: F.interpolate(x, scale_factor=2.0, mode="bilinear"), [(2, 4, 9, 9)]),
    "moves": (lambda x: F.pad(x.roll(1, 0).flip(1).repeat(2, 1).tril(), (1, 1)).index_select(
        0, torch.zeros(2, dtype=torch.long)), [(3, 5)]),
    "scatter": (lambda x: x.scatter_add(1, torch.zeros(3, 2, dtype=torch.long), x[:, :2]), [(3, 5)]),
    "scans and sorting": (lambda x: x.cumsum(-1) + x.cumprod(-1) + x.sort().values + x.topk(5).values, [(3, 5)]),
    "draws": (lambda x: F.dropout(x) + torch.rand_like(x) + torch.randn(3, 5), [(3, 5)]),
    "unfold": (lambda x: F.unfold(x, 3), [(2, 4, 9, 9)]),
    "dtypes": (lambda x: x.half().float().clone().contiguous().masked_fill(x > 0, 1.0), [(3, 5)]),
    "in place": (lambda x: x.add_(1).mul_(2).zero_().copy_(x).fill_(3).uniform_(), [(3, 5)]),
    "many at once": (lambda x, y: torch._foreach_add([x, y], [y, x])[0], [(3, 5), (3, 5)]),
}  # fmt: skip


@pytest.mark.parametrize("name", FREE)
def test_what_counts_nothing_and_raises_no_alarm(name):
    function, shapes = FREE[name]
    assert counted(function, *shapes) == 0


UNKNOWN = {
    "aten.linalg_inv_ex": (torch.linalg.inv, [(5, 5)]),
    "aten._linalg_solve_ex": (torch.linalg.solve, [(5, 5), (5, 7)]),
    "aten.linalg_cholesky_ex": (torch.linalg.cholesky, [(5, 5)]),
    "aten._linalg_svd": (torch.linalg.svd, [(3, 5)]),
    "aten.linalg_qr": (torch.linalg.qr, [(3, 5)]),
    "aten._linalg_eigh": (torch.linalg.eigh, [(5, 5)]),
    "aten._linalg_det": (torch.linalg.det, [(5, 5)]),
    "aten.linalg_matrix_exp": (torch.linalg.matrix_exp, [(5, 5)]),
    "aten.linalg_solve_triangular": (lambda a, b: torch.linalg.solve_triangular(a, b, upper=True), [(5, 5), (5, 7)]),
    "aten._fft_r2c": (torch.fft.rfft, [(3, 5)]),
    "aten._fft_c2r": (lambda x: torch.fft.irfft(torch.complex(x, x)), [(3, 5)]),
    "aten._cdist_forward": (torch.cdist, [(3, 5), (4, 5)]),
    "aten._euclidean_dist": (torch.cdist, [(30, 5), (40, 5)]),
    "aten._pdist_forward": (F.pdist, [(3, 5)]),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_is_named(name):
    function, shapes = UNKNOWN[name]
    with pytest.warns(UncountedFlopsWarning, match=rf"Runs: the FLOPs of {name} are not known and not counted"):
        assert count_flops(Runs(function, *shapes), torch.zeros(1)) == 0


@torch.library.custom_op("elasticnas_tests::twice_the_product", mutates_args=())
def twice_the_product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return 2 * a @ b


@twice_the_product.register_fake
def _(a, b):
    return a.new_empty(a.shape[0], b.shape[1])


def test_operations_of_other_libraries_until_they_have_a_formula(monkeypatch):
    from torch.utils import flop_counter

    network = Runs(lambda a, b: twice_the_product(a, b) @ b.T, (3, 5), (5, 7))
    with pytest.warns(UncountedFlopsWarning, match=r"elasticnas_tests\.twice_the_product are .*register_flop_formula"):
        assert count_flops(network, torch.zeros(1)) == 2 * 3 * 7 * 5
    monkeypatch.setattr(flop_counter, "flop_registry", dict(flop_counter.flop_registry))

    @flop_counter.register_flop_formula(torch.ops.elasticnas_tests.twice_the_product)
    def formula(a, b, out_shape=None, **kwargs):
        return 2 * a[0] * a[1] * b[1]

    assert counted(network.function, *network.shapes) == 2 * 3 * 5 * 7 + 2 * 3 * 7 * 5


class Kinds(Space):
    kind: Literal["dense", "fourier", "inverse"]


class Fourier(nn.Module):
    def forward(self, x):
        return torch.fft.fft(x).real


class Inverse(nn.Module):
    def forward(self, x):
        return torch.linalg.inv(x @ x)


def test_a_cost_names_what_it_has_met_and_warns_once():
    axes = Kinds.axes()
    model = enn.Mixture({"dense": nn.Linear(4, 4), "fourier": Fourier(), "inverse": Inverse()}, axes.kind)
    flops = Flops(model, torch.zeros(4, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert flops(Kinds(kind="dense")) == 2 * 4 * 4 * 4
    assert flops.uncounted == ()
    with pytest.warns(UncountedFlopsWarning, match=r"Mixture: the FLOPs of aten\._fft_\w+ are not known"):
        assert flops(Kinds(kind="fourier")) == 0
    with pytest.warns(UncountedFlopsWarning, match=r"aten\.linalg_inv_ex"):
        assert flops(Kinds(kind="inverse")) == 2 * 4 * 4 * 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert flops.compute(Kinds(kind="fourier")) == 0
    assert flops.uncounted == ("aten._fft_r2c", "aten.linalg_inv_ex")


def test_inference_mode_inside_a_forward():
    @torch.inference_mode()
    def function(a, b):
        return F.scaled_dot_product_attention(a, a, a) @ b

    assert counted(function, (2, 6, 8), (8, 4)) == 2 * (2 * 2 * 6 * 6 * 8 + 2 * 6 * 8 * 4)


@pytest.mark.parametrize("dense", [lambda x: x, lambda x: x.to_sparse_csr()])
def test_sparse_products_are_named(dense):
    # the entries that are there are not known from shapes
    network = Runs(lambda a, b: dense(a.to_sparse()) @ b, (5, 5), (5, 7))
    with pytest.warns(UncountedFlopsWarning, match=r"Runs: the FLOPs of aten\.(mm|addmm|_sparse_addmm) are not known"):
        assert count_flops(network, torch.zeros(1)) == 0


@pytest.mark.parametrize("name", ["GPT2", "Llama", "Bert"])
def test_models_of_hugging_face_by_hand_and_without_alarm(name):
    transformers = pytest.importorskip("transformers")
    sizes = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = getattr(transformers, f"{name}Config")(**sizes, bos_token_id=0, eos_token_id=0)
    config.update({"n_inner": 24} if name == "GPT2" else {"intermediate_size": 24})
    network = transformers.AutoModel.from_config(config)
    rows, layers = 2 * 6, 2
    dense = rows * (4 * 16 * 16 + (3 if name == "Llama" else 2) * 16 * 24)
    # a pooler of the first position
    rest = 2 * 16 * 16 if name == "Bert" else 0
    with warnings.catch_warnings():
        warnings.simplefilter("error", UncountedFlopsWarning)
        counted = count_flops(network, {"input_ids": torch.zeros(2, 6, dtype=torch.long)})
    assert counted == 2 * (layers * (dense + 2 * rows * 6 * 16) + rest)
