"""Scopes that are opened with something else than an architecture or probabilities."""

import pytest
import torch
import torch.nn.functional as F

import elasticnas.nn as enn
from elasticnas import elastify
from tests.first_mistakes.model import Gated, Sizes, axes, build, model, refused, small, within

supernet = elastify(build, Sizes)
parameter = enn.Parameter(axes.hidden, 6, 1)

CASES = [
    (
        ("axes.at({'hidden': 8}): an architecture is an instance of its space, axes.at(Sizes(hidden=8, depth=2))"),
        lambda: axes.at({"hidden": 8}),
    ),
    ("axes.at({'hidden': [0.5, 0.5]}): probabilities are for axes.relaxed", lambda: axes.at({"hidden": [0.5, 0.5]})),
    (
        (
            "Axes.at() got an unexpected keyword argument 'hidden': write axes.at(arch), with an architecture of "
            "the space such as Sizes(hidden=64, depth=2)"
        ),
        lambda: axes.at(hidden=8),
    ),
    (
        (
            "Axes.at() missing 1 required positional argument: 'arch': write axes.at(arch), with an architecture "
            "of the space such as Sizes(hidden=64, depth=2)"
        ),
        lambda: axes.at(),
    ),
    (
        (
            "Axes.at() takes 2 positional arguments but 3 were given: write axes.at(arch), with an architecture "
            "of the space such as Sizes(hidden=64, depth=2)"
        ),
        lambda: axes.at(8, 1),
    ),
    ("expected an architecture of Sizes, got 8 (int)", lambda: axes.at(8)),
    (
        (
            "expected an architecture of Sizes, got Gated(heads=2, kind='a', use_gate=True) (Gated); its class "
            "is not Sizes"
        ),
        lambda: axes.at(Gated(heads=2, kind="a", use_gate=True)),
    ),
    (
        (
            "expected an architecture of Sizes, got <class 'tests.first_mistakes.model.Sizes'> (a class); write "
            "Sizes(hidden=..., depth=...)"
        ),
        lambda: axes.at(Sizes),
    ),
    ("axes.at takes one architecture: for one per sample of a batch use axes.masked", lambda: axes.at([small])),
    ("axes.masked({'hidden': 0.5}): probabilities are for axes.relaxed", lambda: axes.masked({"hidden": 0.5})),
    (
        (
            "axes.masked({'hidden': 8, 'depth': 1}): an architecture is an instance of its space, "
            "axes.masked(Sizes(hidden=8, depth=1))"
        ),
        lambda: axes.masked({"hidden": 8, "depth": 1}),
    ),
    (
        (
            "Axes.masked() got an unexpected keyword argument 'hidden': write axes.masked(arch), or "
            "axes.masked([arch, ...]) with one per sample of the batch"
        ),
        lambda: axes.masked(hidden=8),
    ),
    ("axes.masked([]) has no architecture: give one per sample of the batch", lambda: axes.masked([])),
    (
        "expected an architecture of Sizes, got {'hidden': 8} (dict); write Sizes(**{'hidden': 8})",
        lambda: axes.masked([{"hidden": 8}]),
    ),
    (
        (
            "axes.relaxed(Sizes(hidden=4, depth=1)): give probabilities over the options by choice name, such as "
            "{'hidden': ...}; architectures are for axes.at and axes.masked"
        ),
        lambda: axes.relaxed(small),
    ),
    (
        (
            "Axes.relaxed() got an unexpected keyword argument 'hidden': write axes.relaxed({'hidden': "
            "probabilities over its options, ...})"
        ),
        lambda: axes.relaxed(hidden=[0.5, 0.5]),
    ),
    (
        "hidden has 2 options [8, 4], but the probabilities have the shape (1,): give one for each option",
        lambda: axes.relaxed({"hidden": [1.0]}),
    ),
    (
        (
            "hidden has the probabilities [0.5, 0.6000000238418579]: they must sum to 1, as a softmax of finite "
            "logits gives them"
        ),
        lambda: axes.relaxed({"hidden": [0.5, 0.6]}),
    ),
    (
        (
            "hidden has the probabilities [-1.0, 2.0]: each must be finite and at least 0, as a softmax of "
            "finite logits gives them"
        ),
        lambda: axes.relaxed({"hidden": [-1.0, 2.0]}),
    ),
    (
        "hidden has 2 options [8, 4], but the probabilities have the shape (): give one for each option",
        lambda: axes.relaxed({"hidden": 0.5}),
    ),
    (
        (
            "hidden has the probabilities {8: 0.5, 4: 0.5}: give a tensor or a list of numbers, one for each of "
            "its options [8, 4]"
        ),
        lambda: axes.relaxed({"hidden": {8: 0.5, 4: 0.5}}),
    ),
    ("no choice is named 'hiden', did you mean 'hidden'?", lambda: axes.relaxed({"hiden": [0.5, 0.5]})),
    ("no choice is named 'width', did you mean 'depth'?", lambda: axes.relaxed({"width": 1.0})),
    (
        (
            "this scope has an architecture for each of 2 samples, but got a batch of 3, with the shape "
            "(3, 6): give axes.masked one architecture per sample"
        ),
        lambda: within(axes.masked([small, small]), lambda: model(torch.zeros(3, 6))),
    ),
    (
        ("axes.at({'hidden': 8}): an architecture is an instance of its space, axes.at(Sizes(hidden=8, depth=2))"),
        lambda: supernet.at({"hidden": 8}),
    ),
    (
        (
            "ElasticModel.at() got an unexpected keyword argument 'hidden': write model.at(arch), with an "
            "architecture of the space such as Sizes(hidden=64, depth=2)"
        ),
        lambda: supernet.at(hidden=8),
    ),
    (
        (
            "an elastified model has no masks: open axes.at(arch) to slice it, or build the model from "
            "elasticnas.nn modules for masks and relaxations (docs/masks-of-elastified-models.md says why and what "
            "to do)"
        ),
        lambda: supernet.relaxed({}),
    ),
    (
        (
            "a parameter ElasticParameter(Axis(hidden: 4, 8), 6, 1) is used in a scope with an architecture per "
            "sample, where torch would line its batch up with another dimension: write x * enn.align(parameter, "
            "x), and the same for other elementwise operations; an operation that sums, such as F.conv1d, needs its "
            "own module (docs/own-primitive.md)"
        ),
        lambda: within(axes.masked([small, small]), lambda: torch.zeros(2, 8) + parameter[..., 0, 0]),
    ),
    (
        (
            "a parameter ElasticParameter(Axis(hidden: 4, 8), 6, 1) is used in a scope with an architecture per "
            "sample, where torch would line its batch up with another dimension: write x * enn.align(parameter, "
            "x), and the same for other elementwise operations; an operation that sums, such as F.conv1d, needs its "
            "own module (docs/own-primitive.md)"
        ),
        lambda: within(axes.masked([small, small]), lambda: F.conv1d(torch.zeros(2, 6, 3), parameter)),
    ),
    (
        "align(x, parameter): the parameter comes first, align(parameter, x)",
        lambda: enn.align(torch.zeros(2, 8), parameter),
    ),
]


@pytest.mark.parametrize(("line", "call"), CASES)
def test_a_wrong_scope_says_what_to_open(line, call):
    refused(line, call)
