"""ElasticModuleContract: the tests that every elastic module must pass, as a pytest class to inherit."""

import copy
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Generic

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from elasticnas.axes import SizeLike
from elasticnas.cost import Flops
from elasticnas.extraction import axes_of, check, extract
from elasticnas.nn import checkpoint
from elasticnas.space import SizesOf, Space
from elasticnas.space.space import A
from elasticnas.testing.containers import ScalingStack
from elasticnas.testing.ends import End
from elasticnas.testing.isolation import MODES, Mode, assert_threads_apart, pass_in_mode
from elasticnas.testing.law import assert_mask_slice_equal
from elasticnas.testing.strategies import architectures

__all__ = ["ElasticModuleContract", "checked_examples"]

_checked_count = [0]


def checked_examples() -> int:
    """Return the number of hypothesis examples of ElasticModuleContract classes on which the law has held so far.

    Counts this process only, without direct calls of :func:`elasticnas.testing.assert_mask_slice_equal`.
    """
    return _checked_count[0]


class ElasticModuleContract(ABC, Generic[A]):
    """Contract tests of an elastic module: a subclass defines how to build it and its inputs.

    Attributes:
        space: The search space.
        examples: Number of hypothesis examples for the law.
        picklable: Whether the space is importable, so that the module can be pickled.
        inputs_dim: Elastic dimension of the first input; used if :meth:`inputs_size` is not None.
        outputs_dim: Elastic dimension of the output; used if :meth:`outputs_size` is not None.
    """

    space: ClassVar[type[Any]]
    examples: ClassVar[int] = 60
    picklable: ClassVar[bool] = True
    inputs_dim: ClassVar[int] = -1
    outputs_dim: ClassVar[int] = -1

    @abstractmethod
    def build(self, sizes: SizesOf[A]) -> nn.Module:
        """Build the module from axes (supernet) or from an architecture (plain module)."""

    @abstractmethod
    def inputs(self, arch: A, generator: torch.Generator) -> tuple[Any, ...]:
        """Return inputs with the active sizes, batch first; tensors are float64 or integers."""

    def inputs_size(self, axes: SizesOf[A]) -> SizeLike | None:
        """Return the size of dimension ``inputs_dim`` of the first input; None if it is not elastic."""
        return None

    def outputs_size(self, axes: SizesOf[A]) -> SizeLike | None:
        """Return the size of dimension ``outputs_dim`` of the output; by default that of the input."""
        return self.inputs_size(axes)

    def flops(self, arch: A) -> float | None:
        """Return the FLOPs, derived by hand, for the inputs of :meth:`inputs`; None skips the test."""
        return None

    def _module(self, seed: int = 0) -> tuple[nn.Module, Any]:
        torch.manual_seed(seed)
        axes: Any = self.space.axes()
        module = self.build(axes).double().eval()
        for parameter in module.parameters():  # initial values of norms and biases would hide mistakes
            nn.init.normal_(parameter, std=0.5)
        return module, axes

    def _full(self, inputs: tuple[Any, ...], axes: Any, arch: Any) -> tuple[Any, ...]:
        """Return inputs of the active sizes embedded in the full size."""
        end = End(self.inputs_size(axes), self.inputs_dim, axes, arch)
        return (end.embed(inputs[0]), *inputs[1:]) if inputs else ()

    def _assert_law(self, module: nn.Module, axes: Any, arch: Any, *inputs: Any, others: Any = ()) -> None:
        assert_mask_slice_equal(
            module,
            arch,
            *inputs,
            inputs_size=self.inputs_size(axes),
            outputs_size=self.outputs_size(axes),
            inputs_dim=self.inputs_dim,
            outputs_dim=self.outputs_dim,
            others=others if inputs else (),
        )

    def _check_drawn_example(self, data: st.DataObject) -> None:
        seed = data.draw(st.integers(0, 2**16))
        arch = data.draw(architectures(self.space))
        module, axes = self._module(seed)
        inputs = self.inputs(arch, torch.Generator().manual_seed(seed))
        count = data.draw(st.integers(1, 3))
        if data.draw(st.booleans()):
            inputs, count = _equal_batch_and_length(inputs)
        others = data.draw(st.lists(architectures(self.space), min_size=count - 1, max_size=count - 1))
        self._assert_law(module, axes, arch, *inputs, others=others)
        _checked_count[0] += 1

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)

        @settings(max_examples=cls.examples, deadline=None, suppress_health_check=list(HealthCheck))
        @given(data=st.data())
        def test_mask_equals_slice_equals_extracted(self: Any, data: st.DataObject) -> None:
            self._check_drawn_example(data)

        # one test per subclass: hypothesis fixes the number of examples when the test is defined
        cls.test_mask_equals_slice_equals_extracted = test_mask_equals_slice_equals_extracted  # type: ignore[attr-defined]

    def test_every_choice_reaches_the_module(self) -> None:
        """Every choice of the space has an effect on the module."""
        module, axes = self._module()
        check(module, axes)

    def test_extraction_equals_the_plain_module_built_with_ints(self) -> None:
        """The extracted weights load into the module that ``build`` makes of the architecture, with the same output."""
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
        """A deep copy follows the scopes of the original's axes, an unpickled module those of its axes."""
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
        """A scope has no effect after it closes, also if an exception closes it."""
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
        """A second forward does not break the backward of the first."""
        module, axes = self._module()
        arch = self.space.smallest()
        inputs = self.inputs(arch, torch.Generator().manual_seed(4))
        full = self._full(inputs, axes, arch)
        with axes.masked(arch):
            total: Tensor = module(*full).sum() + module(*full).sum()
        if total.requires_grad:
            total.backward()

    def test_checkpointing_gives_the_same_gradients(self) -> None:
        """The backward of a checkpointed block uses the scope of its forward, although it has closed."""
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

    def test_containers_keep_what_they_hold(self) -> None:
        """The law holds inside a container that is a subclass with a buffer, a hook and two names for the module."""
        module, axes = self._module()
        arch = self.space.smallest()
        inputs = self.inputs(arch, torch.Generator().manual_seed(8))
        if not inputs:
            return
        held = ScalingStack(module)
        held.register_forward_hook(lambda container, args, output: 3 * output)
        with torch.no_grad(), axes.at(arch):
            torch.testing.assert_close(held(*inputs), 6 * module(*inputs))
        self._assert_law(held, axes, arch, *inputs)

    @pytest.mark.parametrize("mode", MODES)
    def test_a_mode_leaves_nothing_behind(self, mode: Mode) -> None:
        """A first pass in inference mode, with fake tensors or on the meta device does not affect a later one."""
        module, axes = self._module()
        arch = self.space.smallest()
        inputs = self.inputs(arch, torch.Generator().manual_seed(9))
        pass_in_mode(mode, module, axes, arch, inputs, self._full(inputs, axes, arch))
        self._assert_law(module, axes, arch, *inputs)

    def test_threads_have_scopes_of_their_own(self) -> None:
        """Threads that run the module at the same time, each in its own scope, get the same outputs as alone."""
        module, axes = self._module()
        passes = []
        for arch in (self.space.smallest(), self.space.largest()):
            inputs = self.inputs(arch, torch.Generator().manual_seed(10))
            passes.append(partial(_run, module, axes.at, arch, inputs))
            passes.append(partial(_run, module, axes.masked, arch, self._full(inputs, axes, arch)))
        assert_threads_apart(passes)

    @given(data=st.data())
    @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
    def test_soft_masks_are_finite(self, data: st.DataObject) -> None:
        """Outputs and gradients are finite for any probabilities, including the gradients of the probabilities."""
        seed = data.draw(st.integers(0, 2**16))
        module, axes = self._module(seed)
        arch = self.space.largest()
        inputs = self.inputs(arch, torch.Generator().manual_seed(seed))
        full = self._full(inputs, axes, arch)
        torch.manual_seed(seed)
        logits = {n: torch.randn(len(o), dtype=torch.float64).mul_(3).requires_grad_() for n, o in _choices(self.space)}
        with axes.relaxed({name: value.softmax(-1) for name, value in logits.items()}):
            output = module(*full)
        assert output.isfinite().all()
        output.square().sum().backward()
        for value in (*logits.values(), *module.parameters()):
            assert value.grad is None or value.grad.isfinite().all()

    def test_half_precision_and_empty_batch(self) -> None:
        """Outputs in bfloat16 are finite, sliced and masked; an empty batch gives an empty batch."""
        module, axes = self._module()
        arch = self.space.smallest()
        inputs = self.inputs(arch, torch.Generator().manual_seed(6))
        half = tuple(x.bfloat16() if isinstance(x, Tensor) and x.is_floating_point() else x for x in inputs)
        full = self._full(half, axes, arch)
        with axes.masked(arch), torch.no_grad():
            assert copy.deepcopy(module).bfloat16()(*full).isfinite().all()
        with axes.at(arch), torch.no_grad():
            assert copy.deepcopy(module).bfloat16()(*half).isfinite().all()
            if inputs:
                none = tuple(x[:0] if isinstance(x, Tensor) else x for x in inputs)
                assert len(module(*none)) == 0

    def test_counted_flops_equal_the_hand_count(self) -> None:
        """The counted FLOPs of the extracted module equal those derived by hand."""
        module, _ = self._module()
        for arch in (self.space.largest(), self.space.smallest()):
            by_hand = self.flops(arch)
            if by_hand is not None:
                inputs = self.inputs(arch, torch.Generator().manual_seed(7))
                assert Flops(module, inputs)(arch) == by_hand


def _run(module: nn.Module, scope: Callable[[Any], Any], arch: Any, inputs: tuple[Any, ...]) -> Tensor:
    with scope(arch):
        output: Tensor = module(*inputs)
        return output


def _equal_batch_and_length(inputs: tuple[Any, ...]) -> tuple[tuple[Any, ...], int]:
    """Return inputs whose batch size equals the second dimension of the first input, and this batch size.

    A module that broadcasts the batch against this dimension then gives wrong values instead of an error.
    """
    if not inputs or inputs[0].ndim < 2:
        return inputs, 1
    count = inputs[0].shape[1]
    rows = torch.arange(count) % len(inputs[0])
    return tuple(x[rows] if isinstance(x, Tensor) else x for x in inputs), count


def _choices(space: type[Space]) -> list[tuple[str, tuple[Any, ...]]]:
    return list(space.choices().items())
