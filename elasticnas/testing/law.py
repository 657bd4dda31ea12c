"""assert_mask_slice_equal: the law, checked on one model, architecture and input."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from elasticnas.axes import Axes, SizeLike
from elasticnas.extraction import axes_of, bind_unverified, extract_unverified
from elasticnas.nn import ElasticParameter, idle_parameters
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
    """Check that slicing, masks, per-sample masks, one-hot soft masks, bound and extracted network compute the same.

    Compares outputs and gradients in float64 and eval mode, on a copy of the model. Dead outputs and the gradients of
    dead units must be exactly 0, a gradient of None is distinguished from 0, and no pass may change a weight.

    Args:
        model: A model of elastic primitives; ``model(*inputs) -> Tensor``, batch first.
        arch: The architecture to check.
        *inputs: Arguments with the active sizes.
        inputs_size: Size of the elastic dimension of the first input; None if it has none.
        outputs_size: Size of the elastic dimension of the output; None if it has none.
        inputs_dim: The elastic dimension of the first input.
        outputs_dim: The elastic dimension of the output.
        others: Further architectures. They run with ``arch`` as one batch, one architecture per sample, and each
            sample must equal its separate run.

    Raises:
        AssertionError: Two forms differ; the message names them and the difference.
    """
    model = copy.deepcopy(model).double().eval()
    axes = axes_of(model)
    before = _tensors(model)
    inputs = tuple(x.double() if isinstance(x, Tensor) and x.is_floating_point() else x for x in inputs)
    input_end, output_end = End(inputs_size, inputs_dim, axes, arch), End(outputs_size, outputs_dim, axes, arch)
    full_inputs = (input_end.embed(inputs[0]), *inputs[1:]) if inputs else ()
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
            masked = _Pass(model, full_inputs, sliced.cotangent, output_end)
        _compare_masked(name, sliced, masked, input_end, output_end)
        _compare_none_gradients(name, sliced, masked, idle_names)
    if others and inputs:
        _compare_samples(model, [arch, *others], full_inputs, input_end)
    _compare_bound(model, arch, inputs, sliced)
    for name, tensor in _tensors(model).items():
        same = tensor.dtype == before[name].dtype and torch.equal(tensor, before[name])
        assert same, f"{name} is changed by a forward pass"
    _compare_extracted(model, arch, inputs, sliced)  # last, since it overwrites the weights


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}


class _Pass:
    """Output and gradients of one forward and backward pass.

    Args:
        model: The model, run in the open scope.
        inputs: Its arguments.
        cotangent: Gradient of the output with the active sizes; None draws a random one.
        output_end: The elastic dimension of the output, if the pass is masked.
        owner: The module whose parameters get the gradients; None for the model.

    Attributes:
        output: The output of the model.
        input_gradient: Gradient of the first input, or None.
        gradients: Gradients of the parameters that have one, by name.
        missing: Names of the parameters whose gradient is None.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: tuple[Any, ...],
        cotangent: Tensor | None = None,
        output_end: End | None = None,
        owner: nn.Module | None = None,
    ) -> None:
        owner = model if owner is None else owner
        owner.zero_grad(set_to_none=True)
        leaf = inputs[0].clone().requires_grad_() if inputs and inputs[0].is_floating_point() else None
        self.output: Tensor = model(*((leaf, *inputs[1:]) if leaf is not None else inputs))
        if cotangent is None:
            generator = torch.Generator().manual_seed(0)
            drawn = torch.randn(self.output.shape, generator=generator, dtype=self.output.dtype)
            self.cotangent = drawn.to(self.output.device)
        else:
            # dead outputs are constant: a nonzero gradient there must not affect any weight
            self.cotangent = cotangent if output_end is None else output_end.embed(cotangent, fill=1.0)
            if self.cotangent.ndim < self.output.ndim:
                # a model that is one parameter returns a copy per sample: divide the gradient among them
                self.cotangent = self.cotangent.expand_as(self.output) / len(self.output)
        if self.output.requires_grad:
            self.output.backward(self.cotangent)
        self.input_gradient = None if leaf is None else leaf.grad
        found = {name: parameter.grad for name, parameter in owner.named_parameters()}
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


def _compare_masked(name: str, sliced: _Pass, masked: _Pass, input_end: End, output_end: End) -> None:
    output = masked.output
    if output.ndim > sliced.output.ndim:
        output = output[0]
    _close(f"{name}: output", output_end.embed(sliced.output), output)
    assert bool((output_end.dead(output) == 0).all()), f"{name}: dead outputs are not exactly 0"
    if sliced.input_gradient is not None and masked.input_gradient is not None:
        # gradients at dead inputs need not be 0: the mask of the module that made them removes them
        _close(f"{name}: gradient of the input", sliced.input_gradient, input_end.active(masked.input_gradient))
    for parameter in sliced.gradients.keys() & masked.gradients.keys():
        _close(f"{name}: gradient of {parameter}", sliced.gradients[parameter], masked.gradients[parameter])


def _compare_none_gradients(name: str, sliced: _Pass, masked: _Pass, idle: set[str]) -> None:
    """Check that only parameters of idle modules have no gradient (None) if sliced, but zeros if masked."""
    lost = sliced.gradients.keys() & masked.missing
    assert not lost, f"{name}: {', '.join(sorted(lost))} has no gradient, but has one if sliced"
    for parameter in sorted(sliced.missing - masked.missing):
        zero = bool((masked.gradients[parameter] == 0).all())
        assert zero, f"{name}: {parameter} has a gradient that is not 0, but none if sliced"
        assert parameter in idle, (
            f"{name}: {parameter} has the gradient 0, but none if sliced, and idle_parameters does not name it"
        )
    wrong = sliced.gradients.keys() & idle
    assert not wrong, f"{', '.join(sorted(wrong))} has a gradient if sliced, but idle_parameters names it"


def _compare_bound(model: nn.Module, arch: Any, inputs: tuple[Any, ...], sliced: _Pass) -> None:
    if isinstance(model, ElasticParameter):
        return  # no network
    network = bind_unverified(model, arch)
    for again in ("", ", second pass"):
        bound = _Pass(network, inputs, sliced.cotangent, owner=model)
        _close(f"bound{again}: output", sliced.output, bound.output)
        if sliced.input_gradient is not None and bound.input_gradient is not None:
            _close(f"bound{again}: gradient of the input", sliced.input_gradient, bound.input_gradient)
        differing = sliced.missing ^ bound.missing
        assert not differing, f"bound{again}: {', '.join(sorted(differing))} has a gradient either bound or sliced"
        for name, gradient in sliced.gradients.items():
            _close(f"bound{again}: gradient of {name}", gradient, bound.gradients[name])


def _compare_extracted(model: nn.Module, arch: Any, inputs: tuple[Any, ...], sliced: _Pass) -> None:
    plain = extract_unverified(model, arch)
    if not list(plain.parameters()) and not inputs:
        return
    extracted = _Pass(plain, inputs, sliced.cotangent)
    _close("extracted: output", sliced.output, extracted.output)
    if sliced.input_gradient is not None and extracted.input_gradient is not None:
        _close("extracted: gradient of the input", sliced.input_gradient, extracted.input_gradient)
    expected = _extracted_gradients(model, arch, inputs, sliced)
    assert expected.keys() == extracted.gradients.keys() | extracted.missing, "extracted: other parameters"
    for name, gradient in expected.items():
        none = bool(gradient.isnan().all()) and gradient.numel() > 0
        extracted_has, sliced_has = ("a", "none") if none else ("no", "one")
        wrong = none != (name in extracted.missing)
        assert not wrong, f"extracted: {name} has {extracted_has} gradient, but {sliced_has} if sliced"
        if not none:
            _close(f"extracted: gradient of {name}", gradient, extracted.gradients[name])


def _extracted_gradients(model: nn.Module, arch: Any, inputs: tuple[Any, ...], sliced: _Pass) -> dict[str, Tensor]:
    """Return the expected gradients of the extracted network, by name; NaN stands for None."""
    if _remove_parametrizations(model):
        with axes_of(model).at(arch):
            sliced = _Pass(model, inputs, sliced.cotangent)
    # extract a supernet whose weights have been replaced by their gradients
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(sliced.gradients[name] if name in sliced.gradients else torch.tensor(torch.nan))
    expected = dict(extract_unverified(model, arch).named_parameters())
    inside = sum(int(value.nan_to_num().count_nonzero()) for value in expected.values())
    everywhere = sum(int(value.count_nonzero()) for value in sliced.gradients.values())
    assert inside == everywhere, f"{everywhere - inside} gradients of dead units are not exactly 0"
    return {name: value.detach() for name, value in expected.items()}


def _remove_parametrizations(model: nn.Module) -> bool:
    """Replace parametrizations by parameters, as extraction does; return whether there were any."""
    found = [module for module in model.modules() if parametrize.is_parametrized(module)]
    for module in found:
        names: Any = module.parametrizations
        without_parametrizations(module, {name: nn.Parameter(getattr(module, name).detach()) for name in names})
    return bool(found)


def _compare_samples(model: nn.Module, archs: list[Any], inputs: tuple[Any, ...], input_end: End) -> None:
    """Compare one batch with an architecture per sample with a separate masked run of each sample."""

    def take(value: Any, index: int) -> Any:
        return value[index % len(value)][None] if isinstance(value, Tensor) else value

    rows = []
    for index, arch in enumerate(archs):
        row, own = tuple(take(value, index) for value in inputs), replace(input_end, arch=arch)
        # dead inputs of this sample's architecture are 0
        rows.append((own.embed(own.active(row[0])), *row[1:]))
    together = tuple(
        torch.cat(column) if isinstance(column[0], Tensor) else column[0] for column in zip(*rows, strict=True)
    )
    with torch.no_grad(), input_end.axes.masked(archs):
        mixed = model(*together)
    for index, arch in enumerate(archs):
        with torch.no_grad(), input_end.axes.masked(arch):
            _close(f"sample {index} of a mixed batch", model(*rows[index])[0], mixed[index])


def _close(what: str, expected: Tensor, computed: Tensor) -> None:
    assert expected.shape == computed.shape, f"{what}: shape {tuple(computed.shape)}, expected {tuple(expected.shape)}"
    if expected.numel() and not torch.allclose(expected, computed, rtol=_TOLERANCE, atol=_TOLERANCE):
        difference = (expected - computed).abs().max().item()
        raise AssertionError(f"{what}: differs from slicing by up to {difference:.3g} (allowed {_TOLERANCE:g})")
