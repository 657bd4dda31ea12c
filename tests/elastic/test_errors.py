"""Each mistake is one clear error."""

import copy
import functools
import sys
from typing import Annotated, Literal

import pytest
import torch
from pydantic import model_validator
from torch import nn

from elasticnas import PerLayer, Space, bind, elastify
from elasticnas.elastic.memory import available_bytes
from elasticnas.errors import AxisError, ConfigError, InactiveChoiceError
from tests.elastic.families import SASREC_RULES, Cut, SASRec, encoder


class Two(Space):
    hidden: Literal[16, 8]
    inner: Literal[32, 16]


class Hidden(Space):
    hidden: Literal[16, 8]


class Heads(Space):
    heads: Literal[4, 2]
    head_dim: Literal[8, 4]


def refused(error, match, build, space, rules=None, **more):
    with pytest.raises(error, match=match) as caught:
        elastify(build, space, rules, **more)
    assert "\n" not in str(caught.value)


def test_a_size_that_build_ignores():
    refused(
        InactiveChoiceError,
        r"^Two: inner has no effect on the model of <lambda>\(hidden=16, inner=32\) \(it takes the arguments hidden, i",
        lambda hidden, inner: nn.Linear(hidden, hidden),
        Two,
    )


def test_a_size_that_build_does_not_take():
    refused(
        InactiveChoiceError,
        r"^Two: inner has no effect .* \(it takes the arguments hidden\)",
        lambda hidden: nn.Linear(hidden, hidden),
        Two,
    )


def test_build_gives_something_else():
    refused(
        ConfigError,
        r"^<lambda>\(hidden=16, inner=32\) returns \(16, 32\): expected a torch.nn.Module",
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
        r"^build\(hidden=8, inner=32\) fails \(ValueError: eight is not enough\): fix it, or add a "
        "rule to Two that excludes this architecture",
        build,
        Two,
    )


def test_build_needs_what_the_space_does_not_have():
    refused(
        ConfigError,
        r"^<lambda>\(hidden, inner, vocab\) takes neither sizes of Two .*: the fields are hidden, inner, the",
        lambda hidden, inner, vocab: nn.Linear(hidden, inner),
        Two,
    )


def test_two_axes_move_the_units_of_an_output():
    """Nothing reads them, so that nothing shows which of them the heads are."""
    refused(
        AxisError,
        r"^nothing in the model's behaviour shows which units .* keep when they get smaller",
        lambda heads, head_dim: Slopes(heads * head_dim),
        Heads,
    )


class Slopes(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(5, width)

    def forward(self, x):
        y = self.linear(x)
        return y * torch.arange(1, y.shape[-1] + 1)


def test_rules_that_would_cut_heads_are_refuted():
    refused(
        AxisError,
        r"^the rules \{'\*\.qkv\.weight': '\(3 hidden\) hidden'\} are refuted by the model's behaviour: with them, "
        r"the units of .* depend on each other in another way than in SASRec\(hidden=\d+, inner=48, "
        r"depth=\d\); give rules="
        r"\{.*qkv\.weight': '\(12 d\) _'.*\}, which behaviour proves",
        SASRec,
        Cut,
        {"*.qkv.weight": "(3 hidden) hidden"},
    )
    # whoever wants the first units says so, and they are not judged
    rules = {"*.qkv.weight": "_ hidden", "*.qkv.bias": "_", "*.attention.out.weight": "hidden _"}
    told = elastify(SASRec, Cut, rules).coverage()
    assert not told.open and "3 hidden (rule)" in str(told)


@pytest.mark.parametrize("name", ["*.qkv.weight", "*.attention.out.weight"])
def test_rules_may_be_given_for_some_tensors_of_a_module(name):
    """The layouts of the others are found, and are the same."""
    every = elastify(SASRec, Cut, SASREC_RULES)
    some = elastify(SASRec, Cut, {pattern: rule for pattern, rule in SASREC_RULES.items() if pattern != name})
    arch = Cut(hidden=16, inner=24, depth=1)
    for tensor in every.network.state_dict():
        layouts = [model.probing.layouts[tensor] for model in (every, some)]
        small = bind(every, arch)
        if tensor in dict(small.named_parameters()):
            shape = tuple(dict(small.named_parameters())[tensor].shape)
            parts = [
                model.probing.parts(layout, small, tensor, shape, arch)
                for model, layout in zip((every, some), layouts, strict=True)
            ]
            assert [p.units().tolist() for p in parts[0]] == [p.units().tolist() for p in parts[1]]


def test_fewer_heads_of_the_same_hidden_size_would_be_wider():
    class Recut(Space):
        heads: Literal[4, 2]

    refused(
        AxisError,
        r"^layers\.0\.attention\.qkv\.weight, dimension 0: Recut\(heads=2\) has 16 of head_dim, more than the 8 of the "
        "largest model: a sub-network only has units of the supernet",
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
        r"^rule 'items.weight': '\(a' is not a layout; write one name",
        SASRec,
        Cut,
        {**SASREC_RULES, "items.weight": "(a"},
    )
    refused(
        AxisError,
        r"^layers\.0\.ffn\.0\.weight, dimension 0: a and b of the rule \(a b\) are neither axes of the space nor "
        r"integer attributes of layers\.0\.ffn\.0 or of a module around it",
        SASRec,
        Cut,
        {**SASREC_RULES, "*.ffn.0.weight": "(a b) _"},
    )
    refused(
        AxisError,
        r"^layers\.0\.ffn\.0\.weight, dimension 0: the rule \(hidden\) gives 32 with hidden=32, but "
        r"the model has 48 there",
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
        keep: Annotated[tuple[bool, ...], PerLayer(2)]

        @property
        def depth(self) -> int:
            return 3

    refused(
        AxisError,
        r"^rule 'layers': 'keep' must be a per-layer field with a bool for each of the 3 layers, such as keep: "
        r"Annotated\[tuple\[bool, \.\.\.\], PerLayer\(3\)\]",
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
        r"^<lambda>\(hidden=4000000\) has 59,604\.6 GiB of parameters, but only \d[\d.]* GiB of memory are available: "
        "give Huge smaller sizes$",
        lambda hidden: nn.Linear(hidden, hidden, bias=False),
        Huge,
    )


def test_a_supernet_of_many_pieces_larger_than_memory(monkeypatch):
    """Each piece would be granted by a system that overcommits."""
    monkeypatch.setattr("elasticnas.elastic.model.available_bytes", lambda: 3 * 2**20)

    def build(hidden, inner):
        return nn.Sequential(*(nn.Linear(32 * hidden, 32 * hidden, bias=False) for _ in range(inner // 8)))

    refused(
        ConfigError,
        r"^build\(hidden=16, inner=32\) has 0\.0 GiB of parameters, but only 0\.0 GiB of memory are available: ",
        build,
        Two,
    )


def test_memory_is_known():
    assert 2**20 < available_bytes() <= sys.maxsize


def test_a_model_that_is_built_once_for_all():
    module = nn.Linear(3, 3)
    refused(
        ConfigError,
        r"^<lambda>\(hidden=16\) returns a model whose 0\.weight is the same parameter as in an earlier model: each "
        "call must return an independent model, so create all modules in it",
        lambda hidden: nn.Sequential(module, nn.Linear(3, hidden)),
        Hidden,
    )
    assert not module.weight.is_meta and module.training
    refused(
        ConfigError,
        r"^<lambda>\(hidden=16\) returns a model whose weight is the same parameter",
        functools.lru_cache(lambda hidden: nn.Linear(hidden, 3)),
        Hidden,
    )


def test_a_module_from_outside_stays_as_it_is():
    """A build that the meta device cannot follow leaves a real module in the skeleton."""
    module = nn.Linear(3, 3)

    def build(hidden):
        assert float(torch.ones(1)) == 1  # no values on the meta device
        return nn.Sequential(module, nn.Linear(3, hidden))

    refused(ConfigError, "the same parameter as in an earlier model", build, Hidden)
    assert not module.weight.is_meta and module.training


@pytest.mark.parametrize("tied", [16, 12, 8])
def test_parameters_that_are_tied_at_some_sizes(tied):
    class Sizes(Space):
        hidden: Literal[16, 10, 12, 8]

    def build(hidden):
        model = nn.ModuleDict({"tokens": nn.Embedding(9, hidden), "score": nn.Linear(hidden, 9, bias=False)})
        if hidden == tied:
            model["score"].weight = model["tokens"].weight
        return model

    call = rf"^build\(hidden={tied}\) ties score\.weight to tokens\.weight, build\(hidden=\d+\) does not: a supernet "
    if tied == 12:  # none of the sizes that are probed
        model = elastify(build, Sizes, assume=True)
        with pytest.raises(ConfigError, match=call):
            bind(model, Sizes(hidden=12))
    else:
        refused(ConfigError, f"{call}holds one set of weights; tie them at every size or at none", build, Sizes)


def test_a_size_that_only_an_architecture_in_between_changes():
    class Sizes(Space):
        a: Literal[16, 12, 10, 8]
        b: Literal[16, 12, 10, 8]

    def build(a, b):
        return nn.Sequential(nn.Linear(a, 4 if a == b == 10 else 5), nn.Linear(3, b))

    model = elastify(build, Sizes, assume=True)
    with pytest.raises(
        AxisError,
        match=r"^0\.weight, dimension 0: Sizes\(a=10, b=10\) has 4 there, though it was 5 in all probes: "
        r"give rules=\{'0\.weight': '\(units\) _'\} if it keeps the first units, or a rule with its layout",
    ):
        bind(model, Sizes(a=10, b=10))
    model = elastify(build, Sizes, {"0.weight": "(units) _"}, assume=True)
    assert bind(model, Sizes(a=10, b=10))[0].weight.shape == (4, 10)


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


def test_a_config_that_all_models_share():
    from transformers import LlamaConfig, LlamaModel

    config = LlamaConfig(vocab_size=9, hidden_size=16, num_attention_heads=2, intermediate_size=8, num_hidden_layers=2)

    class Depth(Space):
        depth: Literal[2, 1]

    def build(depth, copied=False):
        own = copy.deepcopy(config) if copied else config
        own.num_hidden_layers = depth
        return LlamaModel(own)

    refused(
        ConfigError,
        r"^build\(depth=1\) changes the LlamaConfig of a model that was built before, .*: copy it in build, by copy",
        build,
        Depth,
    )
    assert elastify(functools.partial(build, copied=True), Depth).network.config.num_hidden_layers == 2
