"""bind: a plain network on the supernet's own weights."""

import copy
import pickle
from typing import Literal

import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.utils import parametrizations

import elasticnas
import elasticnas.nn as enn
from elasticnas import Space, bind, extract
from elasticnas.errors import ArchitectureError, AxisError, ExtractionError
from tests.nn import spaces as s


class Sizes(Space):
    hidden: Literal[8, 6, 4]
    heads: Literal[2, 1]
    head_dim: Literal[4, 3]
    inner: Literal[10, 5]
    kind: Literal["relu", "gelu"]
    depth: Literal[3, 2, 1]


class Block(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.norm = enn.LayerNorm(sizes.hidden)
        self.attention = enn.Attention(sizes.hidden, sizes.heads, sizes.head_dim, dropout=0.5)
        branches = {
            name: nn.Sequential(enn.Linear(sizes.hidden, sizes.inner), middle, enn.Linear(sizes.inner, sizes.hidden))
            for name, middle in (("relu", nn.ReLU()), ("gelu", nn.GELU()))
        }
        self.feed = enn.Mixture(branches, sizes.kind)

    def forward(self, x):
        x = x + self.attention(self.norm(x))
        return x + self.feed(x)


class Net(nn.Module):
    """A tied table, a bare parameter, layers, branches, dropout and BatchNorm over positions."""

    def __init__(self, sizes):
        super().__init__()
        self.table, self.positions = enn.Embedding(30, sizes.hidden, padding_idx=0), enn.Parameter(5, sizes.hidden)
        self.over_positions, self.dropout = nn.BatchNorm1d(5), nn.Dropout(0.3)
        self.layers = enn.Stack([Block(sizes) for _ in range(3)], sizes.depth)

    def encode(self, ids):
        return self.layers(self.dropout(self.over_positions(self.table(ids) + self.positions)))

    def forward(self, ids):
        return self.table.scores(self.encode(ids))


ARCH = Sizes(hidden=6, heads=2, head_dim=3, inner=5, kind="gelu", depth=2)
IDS = torch.tensor([[1, 2, 3, 4, 0], [5, 1, 29, 7, 8]])


def supernet(dtype=torch.float64):
    torch.manual_seed(0)
    return Net(Sizes.axes()).to(dtype)


def in_scope(model, arch=ARCH, ids=IDS):
    with elasticnas.axes_of(model).at(arch):
        return model(ids)


def gradients(model):
    return {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}


def assert_same_gradients(found, expected):
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert (gradient is None) == (found[name] is None), name
        if gradient is not None:
            torch.testing.assert_close(found[name], gradient, rtol=1e-12, atol=1e-12)


def test_gradients_are_the_extracted_networks_in_the_part_of_the_architecture():
    """Compared with gradients of the copy, put by hand where the architecture has its units."""
    model = supernet().eval()
    bound, plain = bind(model, ARCH, IDS), extract(model, ARCH, IDS)
    assert torch.equal(bound(IDS), plain(IDS))
    for network in (bound, plain):
        network(IDS).square().sum().backward()
    table = torch.zeros(30, 8, dtype=torch.float64)
    table[:, :6] = plain.table.weight.grad
    torch.testing.assert_close(model.table.weight.grad, table, rtol=1e-12, atol=1e-12)
    query = torch.zeros(2, 4, 8, dtype=torch.float64)
    query[:2, :3, :6] = plain.layers.layers[1].attention.query.weight.grad.reshape(2, 3, 6)
    found = model.layers.layers[1].attention.query.weight.grad
    torch.testing.assert_close(found, query.reshape(8, 8), rtol=1e-12, atol=1e-12)
    assert model.layers.layers[2].norm.weight.grad is None, "a layer beyond the depth has no gradient"
    assert model.layers.layers[0].feed.candidates["relu"][0].weight.grad is None, "nor has another branch"


def test_its_parts_are_those_of_the_extracted_network():
    model = supernet()
    bound, plain = bind(model, ARCH), extract(model, ARCH, calibration=())
    state, expected = bound.state_dict(), plain.state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert [n for n, _ in bound.named_parameters()] == [n for n, _ in plain.named_parameters()]
    assert [type(m).__name__ for m in bound.modules()] == [type(m).__name__ for m in plain.modules()]
    assert all(isinstance(one, type(other)) for one, other in zip(bound.modules(), plain.modules(), strict=True))
    plain.load_state_dict(state)
    with pytest.raises(AxisError, match="has no elastic size"):
        elasticnas.axes_of(bound)


def sgd(parameters):
    return torch.optim.SGD(parameters, 1e-3, momentum=0.9)


def adam(parameters):
    return torch.optim.Adam(parameters, 0.01, fused=True)


@pytest.mark.parametrize("make", [sgd, adam])
@pytest.mark.parametrize("set_to_none", [True, False])
def test_training_steps_are_those_of_a_scope(make, set_to_none):
    """In train mode, with dropout, BatchNorm and three architectures by turns."""
    models = [supernet(), supernet()]
    archs = [ARCH, Sizes.largest(), Sizes.smallest()]
    bound = [bind(models[1], arch) for arch in archs]
    optimizers = [make(model.parameters()) for model in models]
    for step in range(20):
        for which, (model, optimizer) in enumerate(zip(models, optimizers, strict=True)):
            torch.manual_seed(step)
            optimizer.zero_grad(set_to_none)
            output = bound[step % 3](IDS) if which else in_scope(model, archs[step % 3])
            output.square().mean().backward()
            optimizer.step()
    scoped, through = (model.state_dict() for model in models)
    assert scoped["over_positions.num_batches_tracked"] == 20
    for name, value in scoped.items():
        torch.testing.assert_close(through[name], value, rtol=1e-12, atol=1e-12)


def scale_in_place(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)


def scale_data_in_place(model):
    for parameter in model.parameters():
        parameter.data.mul_(1.5)


def replace_data(model):
    for parameter in model.parameters():
        parameter.data = parameter.data * 1.5


def transpose_data(model):
    """Other strides of the same memory."""
    weight = model.layers.layers[0].attention.query.weight
    weight.data = weight.data.T


def load(model, assign=False):
    model.load_state_dict({name: 1.5 * value for name, value in model.state_dict().items()}, assign=assign)


def replace_parameter(model):
    model.layers.layers[0].attention.query.weight = nn.Parameter(torch.full((8, 8), 0.5, dtype=torch.float64))


@pytest.mark.parametrize(
    "change",
    [
        scale_in_place,
        scale_data_in_place,
        replace_data,
        transpose_data,
        load,
        lambda model: load(model, assign=True),
        replace_parameter,
        lambda model: model.float().double(),
        lambda model: model.table.weight.requires_grad_(False),
        lambda model: model.layers.layers[0].attention.query.weight.requires_grad_(False),
    ],
)
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_changes_of_the_weights_are_seen(change, mode):
    """Also by methods and parts that are called directly, whatever the mode of the pass before."""
    model = supernet().eval()
    with mode():
        bound = bind(model, ARCH)
        bound(IDS)
    change(model)
    for _ in range(2):
        expected = in_scope(model)
        model.zero_grad()
        expected.square().sum().backward()
        in_the_scope = gradients(model)
        model.zero_grad()
        assert torch.equal(bound(IDS), expected)
        bound.table.scores(bound.encode(IDS)).square().sum().backward()
        assert_same_gradients(gradients(model), in_the_scope)
        change(model)
        with mode():
            assert torch.equal(bound(IDS), in_scope(model))


def test_a_frozen_weight_trains_again():
    model = supernet().eval()
    model.table.weight.requires_grad_(False)
    bound = bind(model, ARCH)
    bound(IDS).sum().backward()
    assert model.table.weight.grad is None
    model.table.weight.requires_grad_(True)
    bound(IDS).sum().backward()
    assert model.table.weight.grad.any()


def test_a_change_between_forward_and_backward_is_an_error():
    """As in a scope: the weights of the forward are gone."""
    model = supernet().eval()
    output = bind(model, ARCH)(IDS).square().sum()
    scale_in_place(model)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.backward()


def test_mode_is_that_of_the_supernet():
    model = supernet()
    bound = bind(model, ARCH)
    model.eval()
    assert not any(module.training for module in bound.modules())
    assert torch.equal(bound(IDS), in_scope(model))
    bound.train()
    assert all(module.training for module in model.modules()), "train() is the supernet's"
    torch.manual_seed(3)
    expected = in_scope(model)
    torch.manual_seed(3)
    torch.testing.assert_close(bound(IDS), expected)
    bound.layers.layers[0].attention.eval()
    assert not model.layers.layers[0].attention.training and model.layers.layers[1].attention.training


def test_zero_grad_is_that_of_the_supernet():
    model = supernet().eval()
    bound = bind(model, ARCH)
    bound(IDS).sum().backward()
    bound.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_autograd_sees_the_supernets_parameters():
    """Hooks, gradients of gradients and autograd.grad work on them."""
    model = supernet().eval()
    bound, weight = bind(model, ARCH), model.table.weight
    seen = []
    handle = weight.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.shape))
    bound(IDS).square().sum().backward()
    handle.remove()
    assert seen == [weight.shape]
    second = []
    for run in (lambda: bound(IDS), lambda: in_scope(model)):
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            (first,) = torch.autograd.grad(run().square().sum(), weight, create_graph=True)
            second.append(torch.autograd.grad(first.square().sum(), weight)[0])
    torch.testing.assert_close(second[0], second[1], rtol=1e-12, atol=1e-12)


def test_bfloat16_and_autocast():
    model = supernet(torch.bfloat16).eval()
    assert torch.equal(bind(model, ARCH)(IDS), in_scope(model))
    model = supernet(torch.float32).eval()
    bound = bind(model, ARCH)
    with torch.autocast("cpu", torch.bfloat16):
        output, expected = bound(IDS), in_scope(model)
    assert output.dtype == torch.bfloat16 and torch.equal(output, expected)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda bound: pickle.loads(pickle.dumps(bound))])
def test_a_copy_is_bound_to_a_copy_of_the_supernet(copied):
    model = supernet().eval()
    bound = bind(model, ARCH)
    other, before = copied(bound), bound(IDS)
    assert torch.equal(other(IDS), before)
    scale_in_place(model)
    assert torch.equal(other(IDS), before) and not torch.equal(bound(IDS), before)
    pair = copy.deepcopy(nn.ModuleList([model, bound]))
    scale_in_place(pair[0])
    assert torch.equal(pair[1](IDS), in_scope(pair[0]))


def test_many_ids_are_looked_up_like_few():
    model = supernet().eval()
    bound, many = bind(model, ARCH), torch.randint(30, (9, 5), generator=torch.Generator().manual_seed(0))
    for ids in (IDS, many):
        found = []
        for run in (lambda ids=ids: bound(ids), lambda ids=ids: in_scope(model, ids=ids)):
            model.zero_grad()
            run().square().sum().backward()
            found.append(gradients(model))
        assert_same_gradients(*found)
        with pytest.raises(IndexError):
            bound(ids + 1)


def test_sums_and_parametrizations():
    class Joined(nn.Module):
        def __init__(self, sizes):
            super().__init__()
            self.first, self.second = enn.Linear(3, sizes.hidden), enn.Linear(3, sizes.inner)
            self.last = enn.Linear(sizes.hidden + sizes.inner, sizes.hidden)
            parametrizations.weight_norm(self.second)

        def forward(self, x):
            return self.last(torch.cat([self.first(x), self.second(x)], -1))

    model, x = Joined(s.Widths.axes()).double(), torch.randn(2, 3, dtype=torch.float64)
    arch, found = s.Widths(hidden=6, inner=6), []
    bound = bind(model, arch, x)
    for _ in range(2):
        scale_in_place(model)
        for run in (bound, lambda x: in_scope(model, arch, x)):
            model.zero_grad()
            output = run(x)
            output.square().sum().backward()
            found.append((output.detach(), gradients(model)))
        assert torch.equal(found[-1][0], found[-2][0])
        assert_same_gradients(found[-1][1], found[-2][1])


def test_what_it_cannot_do_is_refused_in_one_line():
    model = supernet().eval()
    bound = bind(model, ARCH)
    for attempt, message in (
        (lambda: bound.float(), "move or convert the supernet"),
        (lambda: bound.load_state_dict(bound.state_dict()), "load the state into the supernet"),
        (lambda: copy.deepcopy(bound.layers), "is a part of a bound network"),
        (lambda: setattr(bound.table, "weight", nn.Parameter(torch.ones(30, 6))), "cannot be replaced"),
        (lambda: bind(torch.compile(model), ARCH), "the supernet is compiled"),
        (lambda: bind(enn.Parameter(3, s.Hidden.axes().hidden), s.Hidden(hidden=2)), "is no network"),
        (lambda: torch.func.functional_call(bound, bound.state_dict(), IDS), "cannot be replaced"),
    ):
        with pytest.raises(ExtractionError) as raised:
            attempt()
        assert message in str(raised.value) and "\n" not in str(raised.value)
    with pytest.raises(ArchitectureError, match=r"^bind takes an architecture"):
        bind(model, {"hidden": 6})
    with pytest.raises(ValueError, match="non-leaf"):
        torch.optim.SGD(bound.layers.parameters(), 0.1)
    assert bound.double() is bound and torch.equal(bound(IDS), in_scope(model))


def test_a_weight_that_is_computed_since_is_refused():
    model = supernet().eval()
    bound = bind(model, ARCH, IDS)
    parametrizations.weight_norm(model.layers.layers[0].attention.value)
    with pytest.raises(ExtractionError, match=r"^weight of the supernet is no tensor .*: bind again$"):
        bound(IDS)
    assert torch.equal(bind(model, ARCH)(IDS), in_scope(model))


def test_a_functional_call_of_both_leaves_the_supernet_its_parameters():
    """A weight that the largest network has as a whole is one tensor in both, for which torch puts in another twice."""
    both = nn.ModuleDict({"supernet": supernet().eval()})
    both["bound"] = bind(both["supernet"], Sizes.largest())
    both.forward = lambda ids: both["bound"](ids)
    before, expected = dict(both.supernet.named_parameters()), both(IDS)
    with pytest.raises(ExtractionError, match="weight of a bound network is the supernet's and cannot be replaced"):
        torch.func.functional_call(both, {"supernet.table.weight": torch.zeros(30, 8, dtype=torch.float64)}, IDS)
    assert all(parameter is before[name] for name, parameter in both.supernet.named_parameters())
    assert torch.equal(both(IDS), expected)


def test_wrapped_supernets_are_refused(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(supernet())
        with pytest.raises(ExtractionError, match=r"^a bound network would not synchronise the gradients"):
            bind(wrapped, ARCH)
        sharded = supernet()
        bound = bind(sharded, ARCH)
        torch.distributed.fsdp.fully_shard(sharded, mesh=init_device_mesh("cpu", (1,)))
        with pytest.raises(ExtractionError, match=r"^the supernet has sharded weights"):
            bind(sharded, ARCH)
        with pytest.raises(ExtractionError, match="has been sharded since"):
            bound(IDS)
    finally:
        torch.distributed.destroy_process_group()


def test_compiled():
    torch._dynamo.reset()
    model = supernet().eval()
    compiled = torch.compile(bind(model, ARCH), backend="aot_eager", fullgraph=True)
    for _ in range(3):
        expected = in_scope(model)
        model.zero_grad()
        expected.square().sum().backward()
        in_the_scope = gradients(model)
        model.zero_grad()
        output = compiled(IDS)
        torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
        output.square().sum().backward()
        assert_same_gradients(gradients(model), in_the_scope)
        scale_in_place(model)
    replace_data(model)
    torch.testing.assert_close(compiled(IDS), in_scope(model), rtol=1e-12, atol=1e-12)
    torch._dynamo.reset()
