"""Each mistake is one clear error."""

from typing import Literal

import pytest
import torch
from pydantic import model_validator
from torch import nn

from elasticnas import PerLayer, Space, elastify
from elasticnas.errors import AxisError, ConfigError, InactiveChoiceError
from tests.elastic.families import SASREC_RULES, Cut, SASRec, encoder


class Two(Space):
    hidden: Literal[16, 8]
    inner: Literal[32, 16]


class Heads(Space):
    heads: Literal[4, 2]
    head_dim: Literal[8, 4]


def refused(error, match, build, space, rules=None):
    with pytest.raises(error, match=match) as caught:
        elastify(build, space, rules)
    assert "\n" not in str(caught.value)


def test_a_size_that_build_ignores():
    refused(
        InactiveChoiceError,
        r"^Two: inner reaches nothing in what <lambda>\(hidden=16, inner=32\) makes \(it takes the arguments hidden, i",
        lambda hidden, inner: nn.Linear(hidden, hidden),
        Two,
    )


def test_a_size_that_build_does_not_take():
    refused(
        InactiveChoiceError,
        r"^Two: inner reaches nothing .* \(it takes the arguments hidden\)",
        lambda hidden: nn.Linear(hidden, hidden),
        Two,
    )


def test_build_gives_something_else():
    refused(
        ConfigError,
        r"^<lambda>\(hidden=16, inner=32\) gives \(16, 32\): expected a torch.nn.Module",
        lambda hidden, inner: (hidden, inner),
        Two,
    )


def test_build_fails_for_some_sizes():
    def build(hidden, inner):
        if hidden == 8:
            raise ValueError("eight is\nnot enough")
        return nn.Linear(hidden, inner)

    refused(
        ConfigError,
        r"^build\(hidden=8, inner=32\) fails \(ValueError: eight is not enough\): mend it, or forbid the "
        "architecture by a rule of Two",
        build,
        Two,
    )


def test_build_needs_what_the_space_does_not_have():
    refused(
        ConfigError,
        r"fails \(TypeError: .*missing 2 required positional",
        lambda hidden, inner, vocab: nn.Linear(hidden, inner),
        Two,
    )


def test_two_axes_move_one_dimension():
    refused(
        AxisError,
        r"^weight, dimension 0, moves with heads and head_dim: which units a sub-network takes needs a rule, such as "
        r"rules=\{'weight': '\(heads head_dim\) _'\} \(the outermost factor first\)",
        lambda heads, head_dim: nn.Linear(5, heads * head_dim),
        Heads,
    )
    refused(
        AxisError,
        r"moves with head_dim and heads: ",
        lambda heads, head_dim: nn.Linear(5, heads + head_dim),
        Heads,
    )


def test_heads_that_would_be_cut():
    refused(
        AxisError,
        r"^layers\.0\.attention\.qkv\.weight, dimension 0, moves with 3 hidden while layers\.0\.attention has heads=4: "
        r"a prefix would cut through its heads; .* rules=\{'\*\.qkv\.weight': '\(heads head_dim\) _'\}",
        SASRec,
        Cut,
    )
    # whoever wants the prefix says so
    assert elastify(SASRec, Cut, {"*.qkv.weight": "_ _"}).coverage().assumed


def test_fewer_heads_of_the_same_hidden_size_would_be_wider():
    class Recut(Space):
        heads: Literal[4, 2]

    refused(
        AxisError,
        r"^layers\.0\.attention\.qkv\.weight, dimension 0: Recut\(heads=2\) has 16 of head_dim, more than the 8 of the "
        "largest model: a sub-network can only take what the supernet has",
        lambda heads: SASRec(32, 48, 1, heads),
        Recut,
        SASREC_RULES,
    )


def test_rules_that_do_not_fit():
    refused(
        AxisError,
        r"^rule '\*\.kqv' matches no tensor and no stack of layers of SASRec; its tensors are ",
        SASRec,
        Cut,
        {"*.kqv": "_"},
    )
    refused(
        AxisError,
        r"^rule 'items.weight': '_' has 1 dimensions, but items.weight has the shape \(31, 32\)",
        SASRec,
        Cut,
        {**SASREC_RULES, "items.weight": "_"},
    )
    refused(
        AxisError,
        r"^rule 'items.weight': '\(a' is no layout; write one name",
        SASRec,
        Cut,
        {**SASREC_RULES, "items.weight": "(a"},
    )
    refused(
        AxisError,
        r"^layers\.0\.ffn\.0\.weight, dimension 0: a and b of the rule \(a b\) are neither axes of the space nor "
        r"integer attributes of layers\.0\.ffn\.0 or of a module above it",
        SASRec,
        Cut,
        {**SASREC_RULES, "*.ffn.0.weight": "(a b) _"},
    )
    refused(
        AxisError,
        r"^layers\.0\.ffn\.0\.weight, dimension 0: the rule \(hidden\) gives 32 = 32, but the model has 48 there",
        SASRec,
        Cut,
        {**SASREC_RULES, "*.ffn.0.weight": "hidden hidden"},
    )


def test_a_name_that_is_both_an_axis_and_another_attribute():
    class Named(Space):
        hidden: Literal[32, 16]
        heads: Literal[8, 6]

    refused(
        AxisError,
        r"^layers\.0\.attention\.qkv\.weight, dimension 0: heads of the rule is 8 as an axis of the space, but 4 as an "
        r"attribute of layers\.0\.attention; name the factor by another attribute or axis",
        lambda hidden, heads: SASRec(hidden, 8 * heads, 1),
        Named,
        SASREC_RULES,
    )


def test_kept_layers_need_a_bool_for_each():
    class Wrong(Space):
        inner: Literal[48, 24]
        keep: PerLayer[bool, 2]

        @property
        def depth(self) -> int:
            return 3

    refused(
        AxisError,
        r"^rule 'layers': 'keep' must be a per-layer field with a bool for each of the 3 layers, such as keep: "
        r"PerLayer\[bool, 3\]",
        lambda inner, depth: SASRec(32, inner, depth),
        Wrong,
        {"layers": "keep"},
    )


def test_a_branch_with_weights_of_its_own():
    class Branch(Space):
        kind: Literal["plain", "normed"]

    def build(kind):
        return nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3) if kind == "normed" else nn.Identity())

    refused(
        ConfigError,
        r"^build\(kind='normed'\) has 1\.weight \(3,\), which the largest model does not have",
        build,
        Branch,
    )


def test_a_supernet_larger_than_memory():
    class Huge(Space):
        hidden: Literal[4_000_000, 8]

    refused(
        ConfigError,
        r"^<lambda>\(hidden=4000000\) holds 59,604\.6 GiB of parameters, more than there is memory for",
        lambda hidden: nn.Linear(hidden, hidden, bias=False),
        Huge,
    )


def test_lazy_parameters():
    refused(
        ConfigError,
        "lazy parameters, which have no shape",
        lambda hidden, inner: nn.Sequential(nn.LazyLinear(hidden), nn.LazyLinear(inner)),
        Two,
    )


def test_sizes_tied_by_a_rule_are_probed_together():
    class Ruled(Space):
        hidden: Literal[32, 16]
        heads: Literal[4, 2]

        @model_validator(mode="after")
        def heads_of_eight(self):
            if self.hidden != 8 * self.heads:
                raise ValueError("heads are 8 wide")
            return self

    model = elastify(lambda hidden, heads: SASRec(hidden, 48, 1, heads), Ruled, SASREC_RULES)
    arch = Ruled(hidden=16, heads=2)
    with model.at(arch):
        assert model(torch.tensor([[1, 2]])).shape == (1, 2, 31)


def test_an_architecture_of_another_space():
    model = elastify(encoder, Cut)
    with pytest.raises(Exception, match="expected an architecture of Cut, got Two"), model.at(Two(hidden=16, inner=32)):
        pass
