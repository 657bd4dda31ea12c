"""ElasticModuleContract: what every elastic part promises, as a pytest class to inherit."""

import copy
import pickle
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from elasticnas.axes import Axes, SizeLike
from elasticnas.cost import Flops
from elasticnas.extraction import axes_of, check, extract
from elasticnas.nn import checkpoint
from elasticnas.space import Space
from elasticnas.testing.law import assert_mask_slice_equal, embed
from elasticnas.testing.strategies import architectures

__all__ = ["ElasticModuleContract", "checked_examples"]

_checked = [0]


def checked_examples() -> int:
    """On how many examples, drawn by hypothesis for an ElasticModuleContract, the law has held in this process.

    Calls of :func:`elasticnas.testing.assert_mask_slice_equal` from elsewhere do not count.
    """
    return _checked[0]


class ElasticModuleContract(ABC):
    """Inherit, say what to build and what to feed, and pytest checks the promises of an elastic part.

    Attributes:
        space: The search space.
        examples: Hypothesis examples of the law.
        picklable: Whether the space is importable, so that the module can be pickled.
    """

    space: ClassVar[type[Space]]
    examples: ClassVar[int] = 60
    picklable: ClassVar[bool] = True

    @abstractmethod
    def build(self, sizes: Any) -> nn.Module:
        """The module, from axes (supernet) or from an architecture (plain)."""

    @abstractmethod
    def inputs(self, arch: Any, generator: torch.Generator) -> tuple[Any, ...]:
        """Inputs in slice form, batch first; tensors in float64 or integers."""

    def inputs_size(self, axes: Axes) -> SizeLike | None:
        """What the last dimension of the first input holds, where it is elastic."""
        return None

    def outputs_size(self, axes: Axes) -> SizeLike | None:
        """Likewise of the output; the input's where not overridden."""
        return self.inputs_size(axes)

    def flops(self, arch: Any) -> float | None:
        """FLOPs by hand for the inputs of :meth:`inputs`; None where nothing is counted."""
        return None

    def _module(self, seed: int = 0) -> tuple[nn.Module, Axes]:
        torch.manual_seed(seed)
        axes = self.space.axes()
        module = self.build(axes).double().eval()
        for parameter in module.parameters():  # start values of norms and biases hide mistakes
            nn.init.normal_(parameter, std=0.5)
        return module, axes

    def _law(self, data: st.DataObject) -> None:
        seed = data.draw(st.integers(0, 2**16))
        arch = data.draw(architectures(self.space))
        others = data.draw(st.lists(architectures(self.space), max_size=2))
        module, axes = self._module(seed)
        inputs = self.inputs(arch, torch.Generator().manual_seed(seed))
        sizes = {"inputs_size": self.inputs_size(axes), "outputs_size": self.outputs_size(axes)}
        assert_mask_slice_equal(module, arch, *inputs, **sizes, others=others if inputs else ())
        _checked[0] += 1

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)

        @settings(max_examples=cls.examples, deadline=None, suppress_health_check=list(HealthCheck))
        @given(data=st.data())
        def test_mask_equals_slice_equals_extracted(self: Any, data: st.DataObject) -> None:
            self._law(data)

        # one per subclass: hypothesis fixes the number of examples when the test is made
        cls.test_mask_equals_slice_equals_extracted = test_mask_equals_slice_equals_extracted  # type: ignore[attr-defined]

    def test_every_choice_reaches_the_module(self) -> None:
        """A choice that changes nothing is an error."""
        module, axes = self._module()
        check(module, axes)

    def test_extraction_equals_the_plain_module_built_with_ints(self) -> None:
        """The extracted weights load into what ``build`` makes of the architecture, with the same output."""
        module, _ = self._module()
        for arch in (self.space.largest(), self.space.smallest()):
            plain = extract(module, arch)
            built = self.build(arch)
            if not isinstance(built, nn.Module):
                continue
            built = built.double().eval()
            built.load_state_dict(plain.state_dict())
            inputs = self.inputs(arch, torch.Generator().manual_seed(1))
            assert torch.equal(built(*inputs), plain(*inputs))

    def test_copies_follow_the_scope(self) -> None:
        """A deep copy follows the original's scope, a pickled one its own axes'."""
        module, axes = self._module()
        arch = self.space.smallest()
        inputs = self.inputs(arch, torch.Generator().manual_seed(2))
        with axes.at(arch):
            expected = module(*inputs)
            assert torch.equal(copy.deepcopy(module)(*inputs), expected)
        if self.picklable:
            restored = pickle.loads(pickle.dumps(module))
            with axes_of(restored).at(arch):
                assert torch.equal(restored(*inputs), expected)

    def test_scopes_nest_and_restore(self) -> None:
        """What is active inside a scope is gone after it, also when the scope ends by an exception."""
        module, axes = self._module()
        largest, smallest = self.space.largest(), self.space.smallest()
        inputs = self.inputs(largest, torch.Generator().manual_seed(3))
        outside = module(*inputs)
        with axes.at(largest):
            with pytest.raises(KeyError), axes.at(smallest):
                raise KeyError
            assert torch.equal(module(*inputs), outside)
        assert torch.equal(module(*inputs), outside)

    def test_two_forwards_and_one_backward(self) -> None:
        """A second forward does not spoil the first one's backward."""
        module, axes = self._module()
        arch = self.space.smallest()
        inputs = self.inputs(arch, torch.Generator().manual_seed(4))
        full = (embed(inputs[0], self.inputs_size(axes), axes, arch), *inputs[1:]) if inputs else ()
        with axes.masked(arch):
            total: Tensor = module(*full).sum() + module(*full).sum()
        if total.requires_grad:
            total.backward()

    def test_checkpointing_gives_the_same_gradients(self) -> None:
        """Backward of a checkpointed block sees the scope of its forward, though it has closed."""
        module, axes = self._module()
        arch = self.space.smallest()
        inputs = self.inputs(arch, torch.Generator().manual_seed(5))
        if not inputs or not list(module.parameters()):
            return
        gradients = []
        for again in (False, True):
            module.zero_grad(set_to_none=True)
            with axes.at(arch):
                output = checkpoint(module, *inputs) if again else module(*inputs)
            if output.requires_grad:  # an architecture may run no layer
                output.sum().backward()
            gradients.append([p.grad for p in module.parameters()])
        for plain, repeated in zip(*gradients, strict=True):
            assert (plain is None and repeated is None) or torch.equal(plain, repeated)

    @given(data=st.data())
    @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
    def test_soft_masks_are_finite(self, data: st.DataObject) -> None:
        """Any probabilities give finite outputs and gradients, the probabilities' own included."""
        seed = data.draw(st.integers(0, 2**16))
        module, axes = self._module(seed)
        arch = self.space.largest()
        inputs = self.inputs(arch, torch.Generator().manual_seed(seed))
        full = (embed(inputs[0], self.inputs_size(axes), axes, arch), *inputs[1:]) if inputs else ()
        torch.manual_seed(seed)
        logits = {n: torch.randn(len(o), dtype=torch.float64).mul_(3).requires_grad_() for n, o in _choices(self.space)}
        with axes.relaxed({name: value.softmax(-1) for name, value in logits.items()}):
            output = module(*full)
        assert output.isfinite().all()
        output.square().sum().backward()
        for value in (*logits.values(), *module.parameters()):
            assert value.grad is None or value.grad.isfinite().all()

    def test_half_precision_and_empty_batch(self) -> None:
        """bfloat16 runs and is finite, sliced and masked; a batch of none gives a batch of none."""
        module, axes = self._module()
        arch = self.space.smallest()
        inputs = self.inputs(arch, torch.Generator().manual_seed(6))
        half = tuple(x.bfloat16() if isinstance(x, Tensor) and x.is_floating_point() else x for x in inputs)
        full = (embed(half[0], self.inputs_size(axes), axes, arch), *half[1:]) if half else ()
        with axes.masked(arch), torch.no_grad():
            assert copy.deepcopy(module).bfloat16()(*full).isfinite().all()
        with axes.at(arch), torch.no_grad():
            assert copy.deepcopy(module).bfloat16()(*half).isfinite().all()
            if inputs:
                none = tuple(x[:0] if isinstance(x, Tensor) else x for x in inputs)
                assert len(module(*none)) == 0

    def test_counted_flops_equal_the_hand_count(self) -> None:
        """What the extracted module is counted to cost is what paper and pencil say."""
        module, _ = self._module()
        for arch in (self.space.largest(), self.space.smallest()):
            by_hand = self.flops(arch)
            if by_hand is not None:
                inputs = self.inputs(arch, torch.Generator().manual_seed(7))
                assert Flops(module, inputs)(arch) == by_hand


def _choices(space: type[Space]) -> list[tuple[str, tuple[Any, ...]]]:
    return list(space.choices().items())
