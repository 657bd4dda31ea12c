"""Mistakes that were silent once, put back one at a time: the compositions find each."""

import copy
import importlib
import pkgutil
import re

import pytest
from torch import nn

import elasticnas.nn as enn
from elasticnas.axes import Axis, active_size, select
from elasticnas.nn import attention, embedding
from elasticnas.testing.compositions import check_composition, draw_composition
from tests.testing.test_compositions import COUNT

pytestmark = pytest.mark.slow


def scale_by_all_units_of_a_product(monkeypatch):
    right = attention.expected

    def wrong(size, power, like):
        if isinstance(size, (int, Axis)):
            return right(size, power, like)
        return float(active_size(size) ** power)  # masked, the full size

    monkeypatch.setattr(attention, "expected", wrong)


def leave_parameters_of_samples_unshaped(monkeypatch):
    def wrong(parameter, x):
        return parameter._masked() if isinstance(parameter, enn.ElasticParameter) else parameter

    monkeypatch.setattr(enn, "align", wrong)
    monkeypatch.setattr(enn.ElasticParameter, "forward", enn.ElasticParameter._masked)


def drop_parameters_in_lists_of_modules(monkeypatch):
    def wrong(model, memo):
        for module in model.modules():
            if isinstance(module, (nn.ModuleList, nn.ModuleDict)):
                held = list(module._modules.values())
                if held and all(isinstance(each, enn.ElasticParameter) for each in held):
                    memo[id(module)] = type(module)()

    monkeypatch.setattr(importlib.import_module("elasticnas.extraction.extract"), "copy_parameter_containers", wrong)


def build_containers_anew(monkeypatch):
    def stack(self, memo):
        layers = [copy.deepcopy(layer, memo) for layer in self.layers]
        if not isinstance(self.depth, (int, Axis)):
            alive = [bool(layer.alive) for layer in layers]
            return enn.Stack([layer.module or nn.Identity() for layer in layers], alive)
        return enn.Stack(layers, active_size(self.depth))

    def skip(self, memo):
        alive = bool(self.alive.at() if isinstance(self.alive, Axis) else self.alive)
        return enn.DepthSkip(copy.deepcopy(self.module, memo) if alive else nn.Identity(), alive)

    def mixture(self, memo):
        option = self.choice.at()
        return enn.Mixture({option: copy.deepcopy(self.chosen(), memo)}, option)

    monkeypatch.setattr(enn.Stack, "plain", stack)
    monkeypatch.setattr(enn.DepthSkip, "plain", skip)
    monkeypatch.setattr(enn.Mixture, "plain", mixture)


def share_by_an_id_that_is_used_again(monkeypatch):
    def wrong(tensor, sizes, memo, buffer=False):
        if id(tensor) not in memo:
            active = select(tensor.detach(), sizes).clone()
            memo[id(tensor)] = active if buffer else nn.Parameter(active, requires_grad=tensor.requires_grad)
        return memo[id(tensor)]

    for found in pkgutil.iter_modules(enn.__path__):
        module = importlib.import_module(f"elasticnas.nn.{found.name}")
        if hasattr(module, "inherit"):
            monkeypatch.setattr(module, "inherit", wrong)


def convert_the_weight_itself(monkeypatch):
    monkeypatch.setattr(enn.ElasticParameter, "to", nn.Module.to)


def take_any_padding_row(monkeypatch):
    monkeypatch.setattr(embedding, "_padding_row", lambda count, padding_idx: padding_idx)


# how each shows itself
MISTAKES = {
    scale_by_all_units_of_a_product: "mask: output: differs from slicing",
    leave_parameters_of_samples_unshaped: "mask: output: |sample . of a mixed batch: ",
    drop_parameters_in_lists_of_modules: "extracted: output: |tensors differ from a network built",
    build_containers_anew: "extracted: output: differs|tensors differ from a network built",
    share_by_an_id_that_is_used_again: "extracted: |parameters differ from a network built",
    convert_the_weight_itself: "is changed by a forward pass|gradient of .*shift.weight: differs",
    take_any_padding_row: "gradient of table.weight: differs",
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_each_is_found(mistake, monkeypatch):
    mistake(monkeypatch)
    found = next((seed for seed in range(COUNT) if re.search(MISTAKES[mistake], differs(seed))), None)
    assert found is not None, f"none of {COUNT} compositions found it"
    monkeypatch.undo()
    check_composition(draw_composition(found))


def differs(seed):
    """What the check says of a composition; nothing where a mistake crashes, which is not silent."""
    try:
        check_composition(draw_composition(seed))
    except AssertionError as error:
        return str(error)
    except Exception:
        return ""
    return ""
