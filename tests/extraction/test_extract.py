"""extract: verified against the supernet, module by module."""

import pytest
import torch
from torch import nn

import elasticnas
import elasticnas.nn as enn
from elasticnas import extract
from elasticnas.axes import active_size
from elasticnas.cost import Params
from elasticnas.errors import ArchitectureError, AxisError, ExtractionError, InactiveChoiceError
from elasticnas.extraction import extract_unverified
from tests.nn import spaces as s


class Block(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.norm, self.feed = enn.LayerNorm(sizes.hidden), enn.FeedForward(sizes.hidden, sizes.inner)

    def forward(self, x):
        return x + self.feed(self.norm(x))


class Net(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.first, self.block, self.last = enn.Linear(3, sizes.hidden), Block(sizes), enn.Linear(sizes.hidden, 2)

    def forward(self, x):
        return self.last(self.block(self.first(x)))


ARCH = s.Widths(hidden=6, inner=6)


def test_leaves_are_torchs_own_and_follow_no_scope():
    axes = s.Widths.axes()
    model = Net(axes)
    plain = extract(model, ARCH, torch.randn(4, 3))
    kinds = {type(module).__module__.split(".")[0] for module in plain.modules() if not list(module.children())}
    assert kinds == {"torch"} and type(plain.block.norm) is nn.LayerNorm
    x = torch.randn(4, 3)
    expected = plain(x)
    with axes.at(s.Widths(hidden=4, inner=10)):
        assert torch.equal(plain(x), expected)
    with pytest.raises(AxisError, match="has no elastic size"):
        elasticnas.axes_of(plain)


def test_weights_are_copies_and_the_supernet_is_as_before():
    model = Net(s.Widths.axes())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    plain = extract(model, ARCH, torch.randn(4, 3))
    assert plain.training and model.training
    for parameter in plain.parameters():
        parameter.data.zero_()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_modes_of_every_module_are_kept():
    model = Net(s.Widths.axes()).train()
    model.block.eval()
    plain = extract(model, ARCH)
    assert model.first.training and not model.block.training
    assert plain.first.training and not plain.block.norm.training


def test_tied_weights_stay_tied_and_frozen_ones_frozen():
    class Tied(nn.Module):
        def __init__(self, sizes):
            super().__init__()
            self.table = enn.Embedding(7, sizes.hidden)
            self.head = enn.Linear(sizes.hidden, 7, bias=False)
            self.head.weight = self.table.weight
            self.norm = enn.LayerNorm(sizes.hidden)
            self.norm.weight.requires_grad_(False)

        def forward(self, ids):
            return self.head(self.norm(self.table(ids)))

    plain = extract(Tied(s.Hidden.axes()), s.Hidden(hidden=5), torch.tensor([[1, 2]]))
    assert plain.head.weight is plain.table.weight and plain.head.weight.shape == (7, 5)
    assert not plain.norm.weight.requires_grad and plain.norm.bias.requires_grad


def test_the_first_module_that_differs_is_named():
    class FullSize(Net):
        def forward(self, x):
            x = self.first(x)
            return self.last(self.wrong(x))

    class Wrong(nn.Module):
        """Counts with the full size."""

        def __init__(self, sizes):
            super().__init__()
            self.part = enn.Linear(sizes.hidden, sizes.hidden)

        def forward(self, x):
            return self.part(x) * (8 if isinstance(self.part, enn.ElasticLinear) else self.part.in_features)

    axes = s.Widths.axes()
    model = FullSize(axes)
    model.wrong = Wrong(axes)
    extract(model, ARCH)  # every primitive is right by itself
    with pytest.raises(ExtractionError, match=r"^wrong \(Wrong\): the extracted network differs .* by up to"):
        extract(model, ARCH, torch.randn(4, 3))


def test_a_primitive_that_is_wrong_is_found_without_an_example():
    model = Net(s.Widths.axes())
    model.block.norm.plain = lambda memo: nn.LayerNorm(6, eps=1.0)
    with pytest.raises(ExtractionError, match=r"^block\.norm \(ElasticLayerNorm\): the extracted network differs"):
        extract(model, ARCH)


def test_examples_may_be_tensors_tuples_and_mappings():
    model = Net(s.Widths.axes())
    x = torch.randn(4, 3)
    for example in (x, (x,), {"x": x}):
        assert torch.equal(extract(model, ARCH, example)(x), extract(model, ARCH)(x))


def test_a_choice_that_reaches_nothing_is_an_error_everywhere():
    class Forgets(nn.Module):
        def __init__(self, sizes):
            super().__init__()
            self.part = enn.Linear(sizes.hidden, 2)

        def forward(self, x):
            return self.part(x)

    axes = s.Widths.axes()
    model = Forgets(axes)
    message = "Widths: inner has no effect on Forgets; give the axes to its modules, or remove the choices"
    for use in (
        lambda: extract(model, ARCH),
        lambda: elasticnas.check(model, axes),
        lambda: elasticnas.check(model),
        lambda: Params(model),
    ):
        with pytest.raises(InactiveChoiceError) as raised:
            use()
        assert message in str(raised.value)


def test_heads_reach_a_model_through_an_attribute():
    """No parameter changes its shape with them where head_dim follows."""

    class Attends(nn.Module):
        def __init__(self, sizes):
            super().__init__()
            self.attention = enn.Attention(12, sizes.heads, 12 // sizes.heads)

        def forward(self, x):
            return self.attention(x)

    class OnlyHeads(elasticnas.Space):
        heads: s.Literal[4, 2]

    model = Attends(OnlyHeads.axes())
    elasticnas.check(model)
    extract(model, OnlyHeads(heads=2), torch.randn(1, 3, 12))


def test_models_that_mix_axes_are_refused():
    model = nn.Sequential(enn.Linear(3, s.Widths.axes().hidden), enn.Linear(s.Hidden.axes().hidden, 2))
    with pytest.raises(AxisError, match=r"follows 2 Axes objects \['Hidden', 'Widths'\], expected one"):
        extract(model, ARCH)
    with pytest.raises(AxisError, match="follows other axes than the ones given"):
        elasticnas.check(Net(s.Widths.axes()), s.Widths.axes())


def test_an_architecture_of_another_space_is_refused():
    with pytest.raises(ArchitectureError, match="expected an architecture of Widths, got Hidden"):
        extract(Net(s.Widths.axes()), s.Hidden(hidden=2))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_every_precision_is_verified_at_its_own_tolerance(dtype):
    extract(Net(s.Widths.axes()).to(dtype), ARCH, torch.randn(4, 3, dtype=dtype))


def test_models_on_the_meta_device_are_extracted_unverified():
    with torch.device("meta"):
        model = Net(s.Widths.axes())
    assert (
        sum(p.numel() for p in extract_unverified(model, ARCH).parameters())
        == 3 * 6 + 6 + 12 + 6 * 6 + 6 + 6 * 6 + 6 + 12 + 2
    )


def test_a_forward_that_is_set_on_a_module_is_refused():
    """A copy would call the supernet's, and follow its scope."""
    axes = s.Depth.axes()
    model = nn.Sequential(enn.Stack([enn.Linear(axes.hidden, axes.hidden) for _ in range(3)], axes.depth))
    forward = model[0].forward
    model[0].forward = lambda x: 2 * forward(x)
    with pytest.raises(ExtractionError, match=r"0 \(Stack\) has a forward set on the instance"):
        extract(model, s.Depth.smallest())


def test_the_extracted_network_is_compared_outside_of_the_scope():
    """What still follows the scope of the supernet would pass inside it."""

    class Follows(nn.Module):
        def __init__(self, axes):
            super().__init__()
            self.linear, self.width = enn.Linear(axes.hidden, axes.hidden), lambda: active_size(axes.hidden)

        def forward(self, x):
            return self.linear(x) * self.width()

    axes = s.Hidden.axes()
    with pytest.raises(ExtractionError, match="differs from the supernet"):
        extract(Follows(axes), s.Hidden(hidden=2), torch.randn(3, 2))
