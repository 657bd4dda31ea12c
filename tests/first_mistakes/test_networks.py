"""Making, extracting, saving and loading with wrong arguments."""

import random

import pytest
import torch
from torch import nn

import elasticnas.nn as enn
from elasticnas import elastify, extract, load, save
from elasticnas.axes import select
from elasticnas.cost import Flops
from tests.first_mistakes.model import Net, Sizes, axes, build, example, flops, model, refused, small

network, rng = Net(small), random.Random(0)


class Scale(enn.ElasticModule):
    def __init__(self, size):
        super().__init__()
        self.size, self.weight = size, nn.Parameter(torch.ones(8))

    def tensor_sizes(self):
        return {"weight": (self.size,)}

    def forward(self, x):
        return x * select(self.weight, (self.size,))


class Scaled(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.net, self.up, self.scale = Net(sizes), enn.Linear(1, sizes.hidden), Scale(sizes.hidden)

    def forward(self, x):
        return self.scale(self.up(self.net(x)))


CASES = [
    (
        (
            "extract() missing 1 required positional argument: 'arch': write elasticnas.extract(model, "
            "architecture, example)"
        ),
        lambda: extract(model),
    ),
    (
        ("extract takes an architecture, got {'hidden': 8, 'depth': 1}: write Sizes(hidden=8, depth=1)"),
        lambda: extract(model, {"hidden": 8, "depth": 1}, example),
    ),
    (
        (
            "expected an architecture of Sizes, got <class 'tests.first_mistakes.model.Sizes'> (a class); write "
            "Sizes(hidden=..., depth=...)"
        ),
        lambda: extract(model, Sizes, example),
    ),
    ("a model is needed, got the class Net: make it, Net(Space.axes())", lambda: extract(Net, small, example)),
    (
        (
            "a model (torch.nn.Module) is needed, got Sizes(hidden=4, depth=1) (Sizes); the model comes first, "
            "then the architecture"
        ),
        lambda: extract(small, model),
    ),
    ("a model is needed, got axes: build one with them, Net(Sizes.axes())", lambda: extract(axes, small)),
    (
        (
            "Linear has no elastic size: build it with axes, Net(Space.axes()), or make it elastic by "
            "elasticnas.elastify(build, Space)"
        ),
        lambda: extract(nn.Linear(6, 1), small),
    ),
    (
        (
            "ElasticLinear expects 6 features for 6 in this scope, but the input has the shape (1, 7): was it "
            "made in another scope?"
        ),
        lambda: extract(model, small, torch.zeros(1, 7)),
    ),
    (
        (
            "Net cannot run on the example (RuntimeError: mat1 and mat2 must have the same dtype, but got Double "
            "and Float): give an input of the model (its weights are torch.float32 on cpu), a tensor, a tuple of "
            "arguments, or a mapping of keyword arguments"
        ),
        lambda: extract(model, small, example.double()),
    ),
    (
        (
            "Net cannot run on the example (TypeError: Net.forward() takes 2 positional arguments but 3 were "
            "given): give an input of the model (its weights are torch.float32 on cpu), a tensor, a tuple of "
            "arguments, or a mapping of keyword arguments"
        ),
        lambda: extract(model, small, (1, 6)),
    ),
    (
        (
            "scale (Scale) has no example() of its input, so that its extraction cannot be checked: give "
            "extract an example of the model's input, or add this method"
        ),
        lambda: extract(Scaled(axes), small),
    ),
    (
        "save got 'folder' in place of an architecture: write elasticnas.save(network, architecture, folder)",
        lambda: save(network, "folder", small),
    ),
    (
        (
            "save got Sizes(hidden=4, depth=1) in place of a network: write elasticnas.save(network, "
            "architecture, folder)"
        ),
        lambda: save(small, network, "folder"),
    ),
    (
        ("save got {'hidden': 8} in place of an architecture: write elasticnas.save(network, architecture, folder)"),
        lambda: save(network, {"hidden": 8}, "folder"),
    ),
    (
        "save got None in place of a folder: write elasticnas.save(network, architecture, folder)",
        lambda: save(network, small, None),
    ),
    (
        (
            "save() missing 1 required positional argument: 'folder': write elasticnas.save(network, "
            "architecture, folder)"
        ),
        lambda: save(network, small),
    ),
    (
        "Net is a supernet: save the network that elasticnas.extract(model, architecture) gives",
        lambda: save(model, small, "folder"),
    ),
    (
        (
            "load() missing 1 required positional argument: 'build': write elasticnas.load(folder, build), with "
            "what builds the network from its sizes, such as its class"
        ),
        lambda: load("folder"),
    ),
    ("nowhere/architecture.json: not found; give the folder that elasticnas.save wrote", lambda: load("nowhere", Net)),
    (
        (
            "load got <class 'tests.first_mistakes.model.Net'> in place of a folder: write "
            "elasticnas.load(folder, build)"
        ),
        lambda: load(Net, "folder"),
    ),
    (
        "load got Net in place of build: give what makes the network from its sizes, a class or a function",
        lambda: load("folder", model),
    ),
    (
        (
            "build is a Sequential, a model already: write elastify(build, Space), where build makes the model "
            "from the sizes of an architecture"
        ),
        lambda: elastify(build(8, 1), Sizes),
    ),
    (
        (
            "build is the space Sizes, which comes second: write elastify(build, Space), where build makes the "
            "model from the sizes of an architecture"
        ),
        lambda: elastify(Sizes, build),
    ),
    (
        "elastify() missing 1 required positional argument: 'space': write elasticnas.elastify(build, Space)",
        lambda: elastify(build),
    ),
    (
        ("build is 'net': write elastify(build, Space), where build makes the model from the sizes of an architecture"),
        lambda: elastify("net", Sizes),
    ),
    (
        "space is an architecture, Sizes(hidden=4, depth=1): give the class, elastify(build, Sizes)",
        lambda: elastify(build, small),
    ),
    (
        ("space is axes, Axes(Sizes: Axis(hidden: 4, 8), Axis(depth: 1, 2)): give the class, elastify(build, Sizes)"),
        lambda: elastify(build, Sizes.axes()),
    ),
    (
        (
            "space is {'hidden': [8, 4]}: give a class of elasticnas.Space; write elastify(build, Space), where "
            "build makes the model from the sizes of an architecture"
        ),
        lambda: elastify(build, {"hidden": [8, 4]}),
    ),
    (
        (
            "<lambda>(width, layers) takes neither sizes of Sizes nor its architecture: the fields are hidden, "
            "depth, the properties none; name its arguments like them and give others a default, or let it take "
            "the architecture alone"
        ),
        lambda: elastify(lambda width, layers: build(width, layers), Sizes),
    ),
    (
        "<lambda>(hidden=8, depth=2) returns None: expected a torch.nn.Module",
        lambda: elastify(lambda hidden, depth: None, Sizes),
    ),
    (
        (
            "Sizes: hidden, depth have no effect on the model of <lambda>(hidden=8, depth=2) (it takes the "
            "arguments hidden, depth); use the size in build, or remove the choice from the space"
        ),
        lambda: elastify(lambda hidden, depth: nn.Linear(4, 4), Sizes),
    ),
    (
        (
            "<lambda>(hidden=8, depth=2) gives weight the shape (16, 50) and, called again, (16, 98): let every "
            "shape follow from the sizes alone"
        ),
        lambda: elastify(lambda hidden, depth: nn.Linear(rng.randint(1, 99), hidden * depth), Sizes),
    ),
    (
        "weights='net.pt': give a state dict, such as torch.load(path), or a model",
        lambda: elastify(build, Sizes, weights="net.pt"),
    ),
    (
        (
            "Flops.__init__() missing 1 required positional argument: 'example': write Flops(model, example), "
            "with an input of the model such as torch.zeros(1, 64)"
        ),
        lambda: Flops(model),
    ),
    ("a model is needed, got the class Net: make it, Net(Space.axes())", lambda: Flops(Net, example)),
    (
        "a model (torch.nn.Module) is needed, got tensor([[0., 0., 0., 0., 0., 0.]]) (Tensor)",
        lambda: Flops(example, model),
    ),
    (
        (
            "Linear has no elastic size: build it with axes, Net(Space.axes()), or make it elastic by "
            "elasticnas.elastify(build, Space)"
        ),
        lambda: Flops(nn.Linear(6, 1), example),
    ),
    ("this cost runs the network: give an example input", lambda: Flops(model, None)(small)),
    (
        (
            "Net cannot run on its example (in blocks.layers.0.up, Linear: RuntimeError: mat1 and mat2 shapes cannot "
            "be multiplied (1x7 and 6x4)): give an example that fits the architecture (its weights are "
            "torch.float32); where the input's width is elastic, a function of it"
        ),
        lambda: Flops(model, torch.zeros(1, 7))(small),
    ),
    (
        "expected an architecture of Sizes, got {'hidden': 8} (dict); write Sizes(**{'hidden': 8})",
        lambda: flops({"hidden": 8}),
    ),
    (
        (
            "expected an architecture of Sizes, got <class 'tests.first_mistakes.model.Sizes'> (a class); write "
            "Sizes(hidden=..., depth=...)"
        ),
        lambda: flops(Sizes),
    ),
]


@pytest.mark.parametrize(("line", "call"), CASES)
def test_a_wrong_call_says_what_to_write(line, call):
    refused(line, call)
