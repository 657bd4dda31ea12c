"""assert_mask_slice_equal: the law, checked on one model, architecture and input."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from elasticnas.axes import Axes, SizeLike
from elasticnas.extraction import axes_of, unverified
from elasticnas.nn import idle_parameters
from elasticnas.nn.module import without_parametrizations
from elasticnas.space import Space
from elasticnas.testing.ends import End

__all__ = ["assert_mask_slice_equal"]

_TOLERANCE = 1e-9


def assert_mask_slice_equal(
    model: nn.Module,
    arch: Space,
    *inputs: Any,
    inputs_size: SizeLike | None = None,
    outputs_size: SizeLike | None = None,
    inputs_dim: int = -1,
    outputs_dim: int = -1,
    others: Sequence[Space] = (),
) -> None:
    """Check that slicing, masking, per-sample masking, one-hot soft masking and extraction compute the same.

    Forward and gradients, in float64 and eval mode, on a copy of the model. Dead outputs and the gradients of dead
    units must be exactly 0; a parameter without a gradient (None) is told from one whose gradient is 0, and no pass
    may change a weight.

    Args:
        model: Made of elastic primitives; ``model(*inputs) -> Tensor``, batch first.
        arch: The architecture to check.
        *inputs: In slice form: the first has the active size in its elastic dimension where ``inputs_size`` is given.
        inputs_size: What that dimension of the first input holds, where it is elastic.
        outputs_size: Likewise of the output.
        inputs_dim: The elastic dimension of the first input.
        outputs_dim: Likewise of the output.
        others: Further architectures; together with ``arch`` they run as one batch, one per sample, and each sample
            must equal its own run.

    Raises:
        AssertionError: Names the two forms that differ, and by how much.
    """
    model = copy.deepcopy(model).double().eval()
    axes = axes_of(model)
    before = _tensors(model)
    inputs = tuple(x.double() if isinstance(x, Tensor) and x.is_floating_point() else x for x in inputs)
    given, made = End(inputs_size, inputs_dim, axes, arch), End(outputs_size, outputs_dim, axes, arch)
    full_inputs = (given.embed(inputs[0]), *inputs[1:]) if inputs else ()
    batch = len(inputs[0]) if inputs else 2

    with axes.at(arch):
        sliced = _Pass(model, inputs)
        idle = idle_parameters(model)
        idle_names = {name for name, parameter in model.named_parameters() if parameter in idle}
    for name, scope in (
        ("mask", axes.masked(arch)),
        ("per-sample mask", axes.masked([arch] * batch)),
        ("one-hot soft mask", axes.relaxed(_one_hot(axes, arch))),
    ):
        with scope:
            masked = _Pass(model, full_inputs, sliced.cotangent, made)
        _compare_masked(name, sliced, masked, given, made)
        _compare_missing(name, sliced, masked, idle_names)
    if others and inputs:
        _compare_samples(model, [arch, *others], full_inputs, given)
    for name, tensor in _tensors(model).items():
        same = tensor.dtype == before[name].dtype and torch.equal(tensor, before[name])
        assert same, f"{name} is changed by a forward pass"
    _compare_extracted(model, arch, inputs, sliced)  # at last: it overwrites the weights


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}


class _Pass:
    """Output and gradients of one forward and backward pass.

    Args:
        model: Run in the scope that is open.
        inputs: Its arguments.
        cotangent: What arrives at the output in backward, in slice form; drawn where it is None.
        made: The elastic dimension of the output, where the pass is masked.

    Attributes:
        output: Of the model.
        input_gradient: Of the first input; None where it has none.
        gradients: Of the parameters that have one, by name.
        missing: Names of the others: their gradient is None.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: tuple[Any, ...],
        cotangent: Tensor | None = None,
        made: End | None = None,
    ) -> None:
        model.zero_grad(set_to_none=True)
        leaf = inputs[0].clone().requires_grad_() if inputs and inputs[0].is_floating_point() else None
        self.output: Tensor = model(*((leaf, *inputs[1:]) if leaf is not None else inputs))
        if cotangent is None:
            generator = torch.Generator().manual_seed(0)
            self.cotangent = torch.randn(self.output.shape, generator=generator, dtype=self.output.dtype)
        else:
            # dead outputs are constant: whatever arrives there must not reach a weight
            self.cotangent = cotangent if made is None else made.embed(cotangent, fill=1.0)
            if self.cotangent.ndim < self.output.ndim:
                # a parameter on its own has one copy per sample: each gets its share
                self.cotangent = self.cotangent.expand_as(self.output) / len(self.output)
        if self.output.requires_grad:
            self.output.backward(self.cotangent)
        self.input_gradient = None if leaf is None else leaf.grad
        found = {name: parameter.grad for name, parameter in model.named_parameters()}
        self.gradients = {name: gradient.clone() for name, gradient in found.items() if gradient is not None}
        self.missing = {name for name, gradient in found.items() if gradient is None}


def _one_hot(axes: Axes, arch: Any) -> dict[str, Tensor]:
    choices = axes.space.choices()
    found = {}
    for name, index in axes.space.indices(arch).items():
        value = torch.zeros(len(choices[name]), dtype=torch.float64)
        value[index] = 1
        found[name] = value.requires_grad_()
    return found


def _compare_masked(name: str, sliced: _Pass, masked: _Pass, given: End, made: End) -> None:
    output = masked.output
    if output.ndim > sliced.output.ndim:
        output = output[0]
    _close(f"{name}: output", made.embed(sliced.output), output)
    assert bool((made.dead(output) == 0).all()), f"{name}: dead outputs are not exactly 0"
    if sliced.input_gradient is not None and masked.input_gradient is not None:
        # at dead inputs an identity passes on what arrives; whatever made them is masked and drops it
        _close(f"{name}: gradient of the input", sliced.input_gradient, given.active(masked.input_gradient))
    for parameter in sliced.gradients.keys() & masked.gradients.keys():
        _close(f"{name}: gradient of {parameter}", sliced.gradients[parameter], masked.gradients[parameter])


def _compare_missing(name: str, sliced: _Pass, masked: _Pass, idle: set[str]) -> None:
    """Without a gradient are the parameters that no scope reaches, and those of idle parts, which masks give zeros."""
    lost = sliced.gradients.keys() & masked.missing
    assert not lost, f"{name}: {', '.join(sorted(lost))} has no gradient, and one where sliced"
    for parameter in sorted(sliced.missing - masked.missing):
        none = bool((masked.gradients[parameter] == 0).all())
        assert none, f"{name}: {parameter} has a gradient that is not 0, and none where sliced"
        assert parameter in idle, (
            f"{name}: {parameter} has the gradient 0, and none where sliced, and idle_parameters does not name it"
        )
    wrong = sliced.gradients.keys() & idle
    assert not wrong, f"{', '.join(sorted(wrong))} has a gradient where sliced, and idle_parameters names it"


def _compare_extracted(model: nn.Module, arch: Any, inputs: tuple[Any, ...], sliced: _Pass) -> None:
    plain = unverified(model, arch)
    if not list(plain.parameters()) and not inputs:
        return
    extracted = _Pass(plain, inputs, sliced.cotangent)
    _close("extracted: output", sliced.output, extracted.output)
    if sliced.input_gradient is not None and extracted.input_gradient is not None:
        _close("extracted: gradient of the input", sliced.input_gradient, extracted.input_gradient)
    expected = _extracted_gradients(model, arch, inputs, sliced)
    assert expected.keys() == extracted.gradients.keys() | extracted.missing, "extracted: other parameters"
    for name, gradient in expected.items():
        nothing = bool(gradient.isnan().all()) and gradient.numel() > 0
        has, had = ("a", "none") if nothing else ("no", "one")
        wrong = nothing != (name in extracted.missing)
        assert not wrong, f"extracted: {name} has {has} gradient, and {had} where sliced"
        if not nothing:
            _close(f"extracted: gradient of {name}", gradient, extracted.gradients[name])


def _extracted_gradients(model: nn.Module, arch: Any, inputs: tuple[Any, ...], sliced: _Pass) -> dict[str, Tensor]:
    """Gradients to expect of the extracted network, by name; NaN for None."""
    if _fix_parametrized(model):
        with axes_of(model).at(arch):
            sliced = _Pass(model, inputs, sliced.cotangent)
    # a supernet whose weights are its gradients, extracted, holds the gradients to expect
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(sliced.gradients[name] if name in sliced.gradients else torch.tensor(torch.nan))
    expected = dict(unverified(model, arch).named_parameters())
    inside = sum(int(value.nan_to_num().count_nonzero()) for value in expected.values())
    everywhere = sum(int(value.count_nonzero()) for value in sliced.gradients.values())
    assert inside == everywhere, f"{everywhere - inside} gradients of dead units are not exactly 0"
    return {name: value.detach() for name, value in expected.items()}


def _fix_parametrized(model: nn.Module) -> bool:
    """Turn what parametrizations compute into parameters, as extraction does; whether there was any."""
    found = [module for module in model.modules() if parametrize.is_parametrized(module)]
    for module in found:
        names: Any = module.parametrizations
        without_parametrizations(module, {name: nn.Parameter(getattr(module, name).detach()) for name in names})
    return bool(found)


def _compare_samples(model: nn.Module, archs: list[Any], inputs: tuple[Any, ...], given: End) -> None:
    """One batch with an architecture per sample, against each sample's own masked run."""

    def take(value: Any, index: int) -> Any:
        return value[index % len(value)][None] if isinstance(value, Tensor) else value

    rows = []
    for index, arch in enumerate(archs):
        row, own = tuple(take(value, index) for value in inputs), replace(given, arch=arch)
        # dead inputs of this sample's architecture hold 0
        rows.append((own.embed(own.active(row[0])), *row[1:]))
    together = tuple(
        torch.cat(column) if isinstance(column[0], Tensor) else column[0] for column in zip(*rows, strict=True)
    )
    with torch.no_grad(), given.axes.masked(archs):
        mixed = model(*together)
    for index, arch in enumerate(archs):
        with torch.no_grad(), given.axes.masked(arch):
            _close(f"sample {index} of a mixed batch", model(*rows[index])[0], mixed[index])


def _close(what: str, expected: Tensor, computed: Tensor) -> None:
    assert expected.shape == computed.shape, f"{what}: shape {tuple(computed.shape)}, expected {tuple(expected.shape)}"
    if expected.numel() and not torch.allclose(expected, computed, rtol=_TOLERANCE, atol=_TOLERANCE):
        difference = (expected - computed).abs().max().item()
        raise AssertionError(f"{what}: differs from slicing by up to {difference:.3g} (allowed {_TOLERANCE:g})")
