"""The maps of the zoo against the models themselves: no code of elasticnas takes part.

A layout claims which units belong together. If it is right, units (heads, key groups, units of a head, of a layer or of
the residual stream) can change places in all tensors at once, and the output stays as it was.
"""

import re
from fnmatch import fnmatchcase

import numpy as np
import pytest
import torch

from tests.elastic.zoo.family import Kept, families

# one of each kind; the others run with the slow tests
QUICK = {
    "Llama",
    "GPT-2",
    "ALBERT",
    "Mixtral",
    "Mamba",
    "T5",
    "ViT",
    "nn.TransformerEncoder",
    "fused GLU by hand",
    "weights per head by hand",
    "Llama by hand, neighbours paired",
    "grouped queries by hand, fused",
    "convolution stem by hand",
}
FAMILIES = list(families())


def case(family, *more):
    marks = () if family.name in QUICK else pytest.mark.slow
    return pytest.param(family, *more, id="-".join((family.name, *more)), marks=marks)


EACH = [case(family) for family in FAMILIES]
CASES = [case(family, space) for family in FAMILIES for space in family.spaces]

ROTARY = {"half", "rhalf", "pairs"}  # free if the frequencies change places too
TOGETHER = {"kv": "groups", "groups": "kv"}  # queries follow the keys of their group
# heads have slopes, or norms in a list; sin and cos are one table
ORDERED = {
    "BLOOM": {"heads"},
    "MPT": {"heads"},
    "Falcon RW (ALiBi)": {"heads"},
    "GPT-J": {"rot"},
    "CodeGen": {"rot"},
    "StableLM": {"heads"},
    "ALiBi by hand": {"heads"},
    "Funnel": {"waves"},
    "XLNet": {"waves"},
    "timm EVA": {"half"},
}

SHARED = {"ALBERT"}  # one layer runs several times
SINES = {
    "vit-pytorch SimpleViT",
    "vit-pytorch SimpleViT with normed queries and keys",
}  # a table computed from the hidden size is added to the stream


def sizes_of(family):
    return {**family.full, **family.derive(family.full)}


def names_in(family):
    """Sizes that layouts name."""
    layouts = " ".join(layout for dims in family.layouts.values() for layout in dims.values())
    return sorted(set(re.findall(r"[a-z_]+", layouts)) - ORDERED.get(family.name, set()))


def layout_of(family, tensor_name, dim):
    return next((dims for pattern, dims in family.layouts.items() if fnmatchcase(tensor_name, pattern)), {}).get(dim)


def disturbed(family):
    torch.manual_seed(0)
    model = family.build(**family.full).double().eval()
    for name, parameter in model.named_parameters():  # start values of norms and biases hide mistakes
        torch.nn.init.normal_(parameter, 1.0 if "norm" in name.lower() or "ln_" in name else 0.0, 0.3)
    return model


def run(family, model, sizes):
    with torch.no_grad():
        return family.output(model(**family.example(sizes)))


def difference(found, expected):
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(("family", "space"), CASES)
def test_maps_have_the_right_count_and_no_unit_twice(family, space):
    full, small = family.build(**family.full), family.build(**family.small(space))
    shapes = {name: tuple(parameter.shape) for name, parameter in full.named_parameters()}
    count = 0
    for name, parameter in small.named_parameters():
        count += shapes[name] != tuple(parameter.shape)
        for dim, size in enumerate(parameter.shape):
            units = family.units(name, dim, family.full, family.small(space))
            if units is not None:
                assert len(units) == len(set(units.tolist())) == size, (name, dim)
                assert units.max() < shapes[name][dim], (name, dim)
    assert count or len(shapes) > len(list(small.parameters())) or family.name in SHARED


@pytest.mark.parametrize("family", EACH)
def test_every_layout_is_of_some_tensor(family):
    names = [name for name, _ in family.build(**family.full).named_parameters()]
    used = {next((p for p in family.layouts if fnmatchcase(name, p)), None) for name in names}
    assert set(family.layouts) <= used


@pytest.mark.parametrize("family", EACH)
def test_the_map_that_keeps_all_is_the_full_model(family):
    model, copy = disturbed(family), family.build(**family.full).double().eval()
    family.fill(model, copy, family.full, family.full)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), copy.parameters(), strict=True))
    assert torch.equal(run(family, model, family.full), run(family, copy, family.full))


@pytest.mark.parametrize(("family", "space"), CASES)
def test_the_smaller_model_differs_from_the_full_one(family, space):
    model, small = disturbed(family), family.build(**family.small(space)).double().eval()
    family.fill(model, small, family.full, family.small(space))
    found, whole = run(family, small, family.small(space)), run(family, model, family.full)
    assert torch.isfinite(found).all()
    assert found.shape != whole.shape or difference(found, whole) > 1e-2


@pytest.mark.parametrize(
    ("family", "name"),
    [case(family, name) for family in FAMILIES for name in names_in(family)],
)
def test_units_that_a_layout_names_can_change_places(family, name):
    model, sizes = disturbed(family), sizes_of(family)
    expected = run(family, model, family.full)
    order = shuffled(sizes[name])
    moved = {name, TOGETHER.get(name, name)}
    units = {key: Kept(size, order if key in moved else np.arange(size)) for key, size in sizes.items()}
    with torch.no_grad():
        for tensor_name, parameter in model.named_parameters():
            for dim in range(parameter.dim()):
                if layout := layout_of(family, tensor_name, dim):
                    places = torch.from_numpy(eval(layout, {}, units).units)
                    parameter.copy_(parameter.index_select(dim, places))
        for tensor_name, buffer in model.named_buffers():
            if name in ROTARY and tensor_name.endswith("inv_freq"):
                buffer.copy_(buffer[torch.from_numpy(order)])
    assert sizes[name] > 1
    assert difference(run(family, model, family.full), expected) < 1e-4  # models compute in float32 in places


def shuffled(size):
    """No rotation, which would also be one of heads that are split the other way round."""
    order = np.random.default_rng(size).permutation(size)
    return order[::-1].copy() if (order == np.arange(size)).all() else order


def rolled(tensor, dim, sizes):
    return tensor.roll(1, dim) if tensor.shape[dim] in sizes else tensor


@pytest.mark.parametrize(
    ("family", "space"),
    [
        each
        for each in CASES
        if each.values[1] not in ("kv", "head_dim", "depth")
        and not (each.values[1] == "hidden" and each.values[0].name in SINES)
    ],
)
def test_units_without_a_layout_can_change_places(family, space):
    """Those of dimensions that a space changes and that keep their first units: one kind of units by size."""
    model, small = disturbed(family), family.build(**family.small(space))
    expected, example = run(family, model, family.full), family.example(family.full)
    smaller, found = dict(small.named_parameters()), set()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            for dim, size in enumerate(parameter.shape):
                if layout_of(family, name, dim) is None and smaller[name].shape[dim] != size:
                    found.add(size)
                    parameter.copy_(parameter.roll(1, dim))
        given = {
            key: rolled(x, -1, found) if torch.is_tensor(x) and x.is_floating_point() else x
            for key, x in example.items()
        }
        output = family.output(model(**given))
    assert difference(output, rolled(expected, -1, found)) < 1e-4
