"""Tables and expected costs: against brute force, finite differences, and refusals."""

import math
from typing import Annotated, Literal

import pytest
import torch
from cost_models import Encoder, Ruled, Small, encoder, encoder_flops, ids

from elasticnas import PerLayer, Space
from elasticnas.cost import Cost, Flops
from elasticnas.errors import ArchitectureError, SpaceError


def logits(space, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(len(options), generator=generator, dtype=dtype).requires_grad_()
        for name, options in space.choices().items()
    }


def probabilities(alpha):
    return {name: value.softmax(-1) for name, value in alpha.items()}


def by_brute_force(space, given):
    """Sum over the architectures of cost times probability, over the sum of the probabilities.

    An absent layer leaves its options open: it counts with probability 1.
    """
    total, mass = 0.0, 0.0
    for arch in space.enumerate():
        values, weight = arch.model_dump(), 1.0
        for name, options in space.choices().items():
            field, _, layer = name.partition(".")
            value = values[field]
            if layer and int(layer) >= len(value):
                continue
            weight *= given[name][options.index(value[int(layer)] if layer else value)].item()
        total, mass = total + weight * encoder_flops(arch), mass + weight
    return total / mass


class Following(Space):
    """As many entries as there are layers."""

    hidden: Literal[16, 8]
    depth: Literal[1, 2]
    inner: Annotated[tuple[Literal[12, 20], ...], PerLayer("depth")]


@pytest.mark.parametrize("space", [Small, Ruled, Following])
def test_expected_is_the_sum_over_all_architectures(space):
    flops = Flops(Encoder(space.axes()), ids())
    for seed in range(3):
        given = probabilities(logits(space, seed))
        assert flops.expected(given).item() == pytest.approx(by_brute_force(space, given), rel=1e-12)


@pytest.mark.parametrize("space", [Small, Ruled, Following])
def test_gradients_match_finite_differences(space):
    flops = Flops(Encoder(space.axes()), ids())
    alpha = logits(space)
    flops.expected(probabilities(alpha)).backward()
    step = 1e-6
    for name, value in alpha.items():
        assert value.grad.abs().max() > 1, f"{name} gets no gradient"
        for index in range(len(value)):
            around = []
            for sign in (1, -1):
                moved = {other: tensor.detach().clone() for other, tensor in alpha.items()}
                moved[name][index] += sign * step
                around.append(flops.expected(probabilities(moved)).item())
            assert value.grad[index].item() == pytest.approx((around[0] - around[1]) / (2 * step), rel=1e-5, abs=1e-2)


def test_one_hot_gives_the_cost_of_the_architecture():
    flops = Flops(encoder(Ruled), ids())
    for arch in Ruled.enumerate():
        given = {
            name: torch.nn.functional.one_hot(torch.tensor(index), len(Ruled.choices()[name])).double()
            for name, index in Ruled.indices(arch).items()
        }
        assert flops.expected(given).item() == encoder_flops(arch)
        assert flops.table()[arch] == encoder_flops(arch)


def test_some_fields_the_others_as_in_base():
    flops = Flops(encoder(Small), ids())
    table = flops.table(Small, ["depth", "hidden"], base=Small(hidden=16, inner=12, depth=3))
    assert table.names == ("hidden", "depth") and table.options == ((16, 8), (1, 2, 3))
    assert table.values.dtype == torch.float64
    for i, hidden in enumerate((16, 8)):
        for j, depth in enumerate((1, 2, 3)):
            assert table.values[i, j] == encoder_flops(Small(hidden=hidden, inner=12, depth=depth))
    p = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    largest = torch.tensor([encoder_flops(Small(hidden=16, inner=24, depth=depth)) for depth in (1, 2, 3)])
    assert flops.expected({"depth": p}).item() == pytest.approx((p * largest).sum().item())
    base = Small.smallest()
    small = torch.tensor([encoder_flops(Small(hidden=8, inner=12, depth=depth)) for depth in (1, 2, 3)])
    assert flops.expected({"depth": p}, base).item() == pytest.approx((p * small).sum().item())
    with pytest.raises(ArchitectureError, match=r"outside \['hidden', 'depth'\] it differs from its base"):
        table[Small.largest()]


def test_impossible_combinations_are_nan_and_left_out():
    flops = Flops(encoder(Ruled), ids())
    table = flops.table(fields=["hidden", "heads"])
    assert table.values[1:, 2].isnan().all()  # 3 heads divide 24 only
    assert table.values[0].isfinite().all()
    uniform = {"hidden": torch.full((3,), 1 / 3), "heads": torch.full((3,), 1 / 3)}
    known = table.values[table.values.isfinite()]
    assert flops.expected(uniform).item() == pytest.approx(known.mean().item(), rel=1e-6)
    impossible = {"hidden": torch.tensor([0.0, 1.0, 0.0]), "heads": torch.tensor([0.0, 0.0, 1.0])}
    with pytest.raises(ArchitectureError, match=r"hidden, heads give no weight to any combination that Ruled has"):
        flops.expected(impossible)


def test_forms_of_probabilities():
    flops = Flops(encoder(Ruled), ids())
    rows = torch.tensor([[0.3, 0.7], [0.6, 0.4]], dtype=torch.float64)
    together = flops.expected({"inner": rows})
    assert together == flops.expected({"inner.1": rows[1], "inner.0": rows[0]})
    assert flops.table(fields=["inner"]).names == ("inner.0", "inner.1")
    batch = flops.expected({"inner.0": rows, "inner.1": rows})  # one distribution per sample
    assert batch.shape == (2,)
    assert batch[1].item() == pytest.approx(flops.expected({"inner.0": rows[1], "inner.1": rows[1]}).item())


def test_half_precision_does_not_overflow():
    flops = Flops(encoder(Small), torch.zeros(8, 6, dtype=torch.long))
    given = {"depth": torch.tensor([0.0, 0.0, 1.0], dtype=torch.float16)}
    assert flops.expected(given).item() == 8 * encoder_flops(Small.largest()) > 65504


class Slow(Cost):
    """Counts how often it is worked out."""

    unit = "calls"

    def __init__(self, model):
        super().__init__(model)
        self.calls = 0

    def compute(self, arch):
        self.calls += 1
        return float(arch.hidden)


def test_tables_are_made_once():
    cost = Slow(encoder(Small))
    first = cost.table(fields=["hidden"])
    assert cost.table(Small, ["hidden"]) is first and cost.calls == 2
    cost.expected({"hidden": torch.tensor([0.5, 0.5])})
    assert cost.calls == 2
    assert cost.table(fields=["hidden"], base=Small.smallest()) is not first


def test_printing():
    text = str(Flops(encoder(Ruled), ids()).table(fields=["hidden", "heads"]))
    lines = text.splitlines()
    assert lines[0].startswith("FLOPs over hidden x heads: 9 combinations, 2 impossible, ")
    assert lines[-1].split()[0] == "8" and lines[-1].split()[-1] == "-"
    assert str(Flops(encoder(Small), ids()).table()).splitlines()[1] == "  hidden: 16, 8"
    assert "unit='FLOPs'" in repr(Flops(encoder(Small), ids()))


def test_refusals():
    class Wide(Space):
        hidden: Literal[16, 8]
        depth: Literal[1, 2]
        inner: Annotated[tuple[Literal[12, 20], ...], PerLayer(14)]

    cost = Slow(encoder(Wide))
    with pytest.raises(SpaceError, match=r"would have 65,536 entries, more than 20,000; name fewer fields"):
        cost.table()
    assert cost.calls == 0
    flops = Flops(encoder(Small), ids())
    with pytest.raises(SpaceError, match=r"Small has no choice 'width'; it has \['hidden', 'inner', 'depth'\]"):
        flops.table(fields=["width"])
    with pytest.raises(SpaceError, match="a table over Ruled was requested, but the space of the model is Small"):
        flops.table(Ruled)
    with pytest.raises(SpaceError, match="no field is named"):
        flops.table(fields=[])
    with pytest.raises(ArchitectureError, match=r"depth has 3 options \[1, 2, 3\], but .* shape \(2,\)"):
        flops.expected({"depth": torch.ones(2)})
    with pytest.raises(ArchitectureError, match="no probabilities given"):
        flops.expected({})
    with pytest.raises(ArchitectureError, match="no choice is named 'width'"):
        flops.expected({"width": torch.ones(2)})
    with pytest.raises(ArchitectureError, match=r"the table is over \['depth'\]"):
        flops.table(fields=["depth"]).expected({"hidden": torch.ones(2) / 2})
    assert math.isfinite(flops(Small.largest()))
