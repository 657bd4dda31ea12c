"""What counts as an example of the law."""

import torch

import elasticnas.nn as enn
from elasticnas.testing import ElasticModuleContract, assert_mask_slice_equal, checked_examples
from tests.nn import spaces as s


def test_only_drawn_examples_of_a_contract_count():
    class Narrow(ElasticModuleContract):
        space = s.Hidden
        examples = 7

        def build(self, sizes):
            return enn.LayerNorm(sizes.hidden)

        def inputs(self, arch, generator):
            return (torch.randn(2, 3, arch.hidden, generator=generator, dtype=torch.float64),)

        def inputs_size(self, axes):
            return axes.hidden

    before = checked_examples()
    axes = s.Hidden.axes()
    x, arch = torch.randn(2, 3, 5, dtype=torch.float64), s.Hidden(hidden=5)
    assert_mask_slice_equal(enn.LayerNorm(axes.hidden), arch, x, inputs_size=axes.hidden, outputs_size=axes.hidden)
    assert checked_examples() == before
    Narrow().test_mask_equals_slice_equals_extracted()
    assert checked_examples() == before + 7
