"""What a size is not: a number, a condition, a sequence."""

import math

import pytest
import torch
from torch import nn

import elasticnas.nn as enn
from tests.first_mistakes.model import axes, gated, layered, refused, small

x = torch.zeros(2, 5, 8)

CASES = [
    (
        (
            "Axis(hidden: 4, 8) has no single value for torch's empty: in __init__ give the axis to a layer of "
            "elasticnas.nn such as enn.Linear, "
            "in forward take elasticnas.axes.active_size(axis); axis.size is the largest"
        ),
        lambda: nn.Linear(axes.hidden, 3),
    ),
    (
        (
            "Axis(hidden: 4, 8) has no single value for a loop or a tuple: enn.Stack(layers, axis) runs that "
            "many layers, and the layers of elasticnas.nn, such as enn.LayerNorm, take an axis as their size"
        ),
        lambda: nn.LayerNorm(axes.hidden),
    ),
    (
        (
            "Axis(hidden: 4, 8) has no single value for torch's empty: in __init__ give the axis to a layer of "
            "elasticnas.nn such as enn.Linear, "
            "in forward take elasticnas.axes.active_size(axis); axis.size is the largest"
        ),
        lambda: nn.Embedding(10, axes.hidden),
    ),
    (
        (
            "Axis(hidden: 4, 8) has no single value for the operator %: sizes multiply, add and divide (//); "
            "make anything else an integer property of the space"
        ),
        lambda: nn.Conv1d(3, axes.hidden, 3),
    ),
    (
        (
            "Axis(hidden: 4, 8) has no single value for the comparison <=: in __init__ give the axis to a layer "
            "of elasticnas.nn such as enn.Linear, "
            "in forward take elasticnas.axes.active_size(axis); axis.size is the largest; a "
            "condition on sizes is a rule of the space"
        ),
        lambda: nn.MultiheadAttention(axes.hidden, 2),
    ),
    (
        (
            "Axis(heads: 2, 4) has no single value for torch's view: in __init__ give the axis to a layer of "
            "elasticnas.nn such as enn.Linear, "
            "in forward take elasticnas.axes.active_size(axis); axis.size is the largest"
        ),
        lambda: x.view(2, gated.heads, -1),
    ),
    (
        (
            "Axis(heads: 2, 4) has no single value for torch's reshape: in __init__ give the axis to a layer of "
            "elasticnas.nn such as enn.Linear, "
            "in forward take elasticnas.axes.active_size(axis); axis.size is the largest"
        ),
        lambda: x.reshape(2, gated.heads, -1),
    ),
    (
        (
            "Axis(hidden: 4, 8) has no single value for torch's zeros: in __init__ give the axis to a layer of "
            "elasticnas.nn such as enn.Linear, "
            "in forward take elasticnas.axes.active_size(axis); axis.size is the largest"
        ),
        lambda: torch.zeros(axes.hidden),
    ),
    (
        (
            "Axis(hidden: 4, 8) has no single value for torch's full: in __init__ give the axis to a layer of "
            "elasticnas.nn such as enn.Linear, "
            "in forward take elasticnas.axes.active_size(axis); axis.size is the largest"
        ),
        lambda: torch.full((2, axes.hidden), 1.0),
    ),
    (
        (
            "Axis(hidden: 4, 8) has no single value for range(), an index or a slice: in __init__ give the axis "
            "to a layer of elasticnas.nn such as enn.Linear, "
            "in forward take elasticnas.axes.active_size(axis); axis.size is the "
            "largest; enn.Stack(layers, axis) runs that many layers"
        ),
        lambda: x[..., : axes.hidden],
    ),
    (
        (
            "Axis(depth: 1, 2) has no single value for range(), an index or a slice: in __init__ give the axis "
            "to a layer of elasticnas.nn such as enn.Linear, "
            "in forward take elasticnas.axes.active_size(axis); axis.size is the "
            "largest; enn.Stack(layers, axis) runs that many layers"
        ),
        lambda: range(axes.depth),
    ),
    (
        (
            "Axis(depth: 1, 2) has no single value for a loop or a tuple: enn.Stack(layers, axis) runs that many "
            "layers, and the layers of elasticnas.nn, such as enn.LayerNorm, take an axis as their size"
        ),
        lambda: [2 * i for i in axes.depth],
    ),
    (
        (
            "Axis(use_gate: True, False) has no single value for a condition: enn.DepthSkip(module, axis) runs a "
            "module where the axis is True, enn.Mixture(modules, axis) one of several"
        ),
        lambda: 1 if gated.use_gate else 2,
    ),
    (
        (
            "Axis(hidden: 4, 8) has no single value for a condition: enn.DepthSkip(module, axis) runs a module "
            "where the axis is True, enn.Mixture(modules, axis) one of several"
        ),
        lambda: not axes.hidden,
    ),
    (
        (
            "Axis(hidden: 4, 8) has no single value for the comparison >: in __init__ give the axis to a layer "
            "of elasticnas.nn such as enn.Linear, "
            "in forward take elasticnas.axes.active_size(axis); axis.size is the largest; a "
            "condition on sizes is a rule of the space"
        ),
        lambda: axes.hidden > 8,
    ),
    (
        (
            "(hidden 2) has no single value for the comparison >=: in __init__ give the axis to a layer of "
            "elasticnas.nn such as enn.Linear, "
            "in forward take elasticnas.axes.active_size(axis); axis.size is the largest; a "
            "condition on sizes is a rule of the space"
        ),
        lambda: axes.hidden * 2 >= 8,
    ),
    (
        (
            "Axis(hidden: 4, 8) has no single value for the comparison == 8: enn.Mixture(modules, axis) runs one "
            "of several modules; in __init__ give the axis to a layer of elasticnas.nn such as enn.Linear, "
            "in forward take "
            "elasticnas.axes.active_size(axis); axis.size is the largest"
        ),
        lambda: axes.hidden == 8,
    ),
    (
        (
            "Axis(kind: a, b) has no single value for the comparison == 'a': enn.Mixture(modules, axis) runs one "
            "of several modules; in __init__ give the axis to a layer of elasticnas.nn such as enn.Linear, "
            "in forward take "
            "elasticnas.axes.active_size(axis); axis.size is the largest"
        ),
        lambda: gated.kind != "a",
    ),
    (
        (
            "hidden + 1 has no single value for the comparison == 9: enn.Mixture(modules, axis) runs one of "
            "several modules; in __init__ give the axis to a layer of elasticnas.nn such as enn.Linear, "
            "in forward take "
            "elasticnas.axes.active_size(axis); axis.size is the largest"
        ),
        lambda: (axes.hidden + 1) == 9,
    ),
    (
        (
            "Axis(hidden: 4, 8) has no single value for int(): in __init__ give the axis to a layer of "
            "elasticnas.nn such as enn.Linear, "
            "in forward take elasticnas.axes.active_size(axis); axis.size is the largest"
        ),
        lambda: int(axes.hidden),
    ),
    (
        (
            "Axis(hidden: 4, 8) has no single value for float(): in __init__ give the axis to a layer of "
            "elasticnas.nn such as enn.Linear, "
            "in forward take elasticnas.axes.active_size(axis); axis.size is the largest"
        ),
        lambda: math.sqrt(axes.hidden),
    ),
    (
        (
            "Axis(hidden: 4, 8) has no single value for round(): sizes multiply, add and divide (//); make "
            "anything else an integer property of the space"
        ),
        lambda: round(axes.hidden),
    ),
    (
        (
            "Axis(hidden: 4, 8) has no single value for the operator -: sizes multiply, add and divide (//); "
            "make anything else an integer property of the space"
        ),
        lambda: axes.hidden - 1,
    ),
    (
        (
            "Axis(hidden: 4, 8) has no single value for the operator -: sizes multiply, add and divide (//); "
            "make anything else an integer property of the space"
        ),
        lambda: 1 - axes.hidden,
    ),
    (
        (
            "Axis(hidden: 4, 8) has no single value for the operator -: sizes multiply, add and divide (//); "
            "make anything else an integer property of the space"
        ),
        lambda: -axes.hidden,
    ),
    (
        (
            "Axis(hidden: 4, 8) has no single value for the operator /: sizes multiply, add and divide (//); "
            "make anything else an integer property of the space"
        ),
        lambda: axes.hidden / 2,
    ),
    (
        (
            "Axis(hidden: 4, 8) has no single value for the operator %: sizes multiply, add and divide (//); "
            "make anything else an integer property of the space"
        ),
        lambda: axes.hidden % 2,
    ),
    (
        (
            "Axis(hidden: 4, 8) has no single value for the operator **: sizes multiply, add and divide (//); "
            "make anything else an integer property of the space"
        ),
        lambda: axes.hidden**2,
    ),
    (
        (
            "Axis(hidden: 4, 8) has no single value for the operator /: sizes multiply, add and divide (//); "
            "make anything else an integer property of the space"
        ),
        lambda: x / axes.hidden,
    ),
    ("cannot add 1.5 to an axis: give an int from 0 or an Axis", lambda: axes.hidden + 1.5),
    ("cannot multiply an axis by 0.5: give an int from 0 or an Axis", lambda: 0.5 * axes.hidden),
    (
        (
            "cannot multiply an axis by tensor([[[0., 0., 0., 0., 0., 0., 0., 0.], [0., 0., 0., 0., 0., 0., 0., "
            "0.], [0., 0., 0., 0., 0.,...: give an int from 0 or an Axis"
        ),
        lambda: x * axes.hidden,
    ),
    (
        (
            "hidden // 3 leaves a remainder for 8 // 3 (Sizes(hidden=8, depth=2)): add a rule to the space that "
            "excludes it"
        ),
        lambda: axes.hidden // 3,
    ),
    (
        (
            "hidden // 2.0: an axis divides by an axis or an int, and is divided by one; make anything else an "
            "integer property of the space"
        ),
        lambda: axes.hidden // 2.0,
    ),
    (
        (
            "(hidden 2) has no single value for the operator //: sizes multiply, add and divide (//); make "
            "anything else an integer property of the space"
        ),
        lambda: (axes.hidden * 2) // 2,
    ),
    ("axes are attributes, and have no length: axes.all() is the list of them", lambda: len(axes)),
    ("axes are attributes, and not a sequence: axes.all() is the list of them", lambda: list(axes)),
    (
        "axes['hidden']: axes are attributes, axes.hidden; axes.named('encoder.hidden') takes a name",
        lambda: axes["hidden"],
    ),
    ("Sizes has no size 'hiden', did you mean 'hidden'?", lambda: axes.hiden),
    (
        ("axes.hidden = 8: axes hold no values; open axes.at(arch) with an architecture of Sizes that has this one"),
        lambda: setattr(axes, "hidden", 8),
    ),
    ("an architecture of Sizes has no 'hiden', did you mean 'hidden'?", lambda: small.hiden),
    (
        ("Sizes.hidden = 8: an architecture is frozen; make another one, such as Sizes(**{**dict(arch), 'hidden': 8})"),
        lambda: setattr(small, "hidden", 8),
    ),
    (
        (
            "Sizes.hidden: the class has no value of hidden; Sizes.axes().hidden is its axis, and an "
            "architecture such as Sizes.largest() has a value"
        ),
        lambda: type(small).hidden,
    ),
    ("use_gate is no size: its options are [True, False]; give it to a Mixture", lambda: enn.Linear(gated.use_gate, 3)),
    (
        (
            "Linear: inputs=(Axis(inner.0: 4, 8), Axis(inner.1: 4, 8), Axis(inner.2: 4, 8)) is not a size: give "
            "an int, an Axis, or a product or sum of them"
        ),
        lambda: enn.Linear(layered.inner, 3),
    ),
    (
        "Linear: inputs='hidden' is not a size: give an int, an Axis, or a product or sum of them",
        lambda: enn.Linear("hidden", 3),
    ),
    (
        "Stack: layers is Axis: write Stack(layers, depth), with several layers",
        lambda: enn.Stack(axes.depth, [nn.Linear(1, 1)]),
    ),
    (
        "Stack: layers is Linear: write Stack(layers, depth), with several layers",
        lambda: enn.Stack(nn.Linear(1, 1), axes.depth),
    ),
]


@pytest.mark.parametrize(("line", "call"), CASES)
def test_a_size_is_no_number(line, call):
    refused(line, call)
