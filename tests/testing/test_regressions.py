"""Mistakes that give wrong results without a word, put back one at a time: the drawn compositions find each of them."""

import copy
import sys

import pytest
import torch
from torch import nn

import elasticnas.nn as enn
from elasticnas.axes import full_size, is_masked
from elasticnas.nn import attention, depth, embedding, linear, module, norm, parameter
from elasticnas.testing.compositions import check_composition, draw_composition

pytestmark = pytest.mark.slow
COUNT = 2_000


def scale_by_the_full_size_of_a_product(monkeypatch):
    right = attention.expected

    def wrong(size, power, like):
        composite = not isinstance(size, int) and len(size.leaves) >= 1 and type(size).__name__ != "Axis"
        return float(full_size(size)) ** power if composite and is_masked(size) else right(size, power, like)

    monkeypatch.setattr(attention, "expected", wrong)


def leave_the_batch_of_a_parameter_where_it_is(monkeypatch):
    def wrong(given, x):
        return given.masked() if isinstance(given, enn.ElasticParameter) else given

    monkeypatch.setattr(parameter, "align", wrong)
    monkeypatch.setattr(enn, "align", wrong)


def lose_parameters_in_module_containers(monkeypatch):
    def wrong(model, memo):
        for each in model.modules():
            if type(each) in (nn.ModuleList, nn.ModuleDict) and any(
                isinstance(item, enn.ElasticParameter) for item in each._modules.values()
            ):
                memo[id(each)] = type(each)()

    monkeypatch.setattr(sys.modules["elasticnas.extraction.extract"], "lists_of_parameters", wrong)


def build_containers_anew(monkeypatch):
    def stack(self, memo):
        if not isinstance(self.depth, int) and not hasattr(self.depth, "at"):
            kept = [layer.plain(memo) for layer in self.layers]
            made = enn.Stack([nn.Identity() for _ in kept], [bool(layer.alive) for layer in kept])
            made.layers = nn.ModuleList(kept)
            return made
        count = self.depth if isinstance(self.depth, int) else self.depth.at()
        return enn.Stack([copy.deepcopy(layer, memo) for layer in self.layers[:count]], count)

    monkeypatch.setattr(depth.Stack, "plain", stack)


def reuse_ids(monkeypatch):
    def wrong(tensor, sizes, memo, buffer=False):
        if id(tensor) not in memo:
            active = module.select(tensor.detach(), sizes).clone()
            memo[id(tensor)] = active if buffer else nn.Parameter(active, requires_grad=tensor.requires_grad)
        return memo[id(tensor)]

    for place in (module, linear, norm, embedding, parameter):
        monkeypatch.setattr(place, "inherit", wrong)


def convert_the_weight_itself(monkeypatch):
    for name in ("to", "half"):
        monkeypatch.setattr(enn.ElasticParameter, name, getattr(nn.Module, name))


def take_any_padding_row(monkeypatch):
    monkeypatch.setattr(embedding, "_padding_row", lambda count, padding_idx: padding_idx)


MISTAKES = [
    scale_by_the_full_size_of_a_product,
    leave_the_batch_of_a_parameter_where_it_is,
    lose_parameters_in_module_containers,
    build_containers_anew,
    reuse_ids,
    convert_the_weight_itself,
    take_any_padding_row,
]


@pytest.mark.parametrize("put_back", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_a_mistake_put_back_is_found(put_back, monkeypatch):
    torch.set_num_threads(1)
    put_back(monkeypatch)
    found = next((seed for seed in range(COUNT) if _fails(seed)), None)
    assert found is not None
    monkeypatch.undo()
    check_composition(draw_composition(found))  # it is the mistake that was found
    print(f"{put_back.__name__}: found by composition {found}")


def _fails(seed):
    try:
        check_composition(draw_composition(seed))
    except Exception:
        return True
    return False
