"""assert_mask_slice_equal: the law, checked on one model, architecture and input."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from elasticnas.axes import Axes, SizeLike, full_size, select
from elasticnas.extraction import axes_of, unverified

__all__ = ["assert_mask_slice_equal", "embed"]

_TOLERANCE = 1e-9


def embed(x: Tensor, size: SizeLike | None, axes: Axes, arch: Any, fill: float = 0.0) -> Tensor:
    """Put the last dimension of a sliced tensor into its places in the full size.

    Args:
        x: ``(..., active)``.
        size: What the last dimension holds; None leaves ``x`` as it is.
        axes: Whose scope it was sliced in.
        arch: The architecture of that scope.
        fill: Value of the dead places.
    """
    if size is None or isinstance(size, int):
        return x
    full = x.new_full((*x.shape[:-1], full_size(size)), fill)
    full[..., _places(size, axes, arch)] = x
    return full


def _places(size: SizeLike, axes: Axes, arch: Any) -> Tensor:
    with axes.at(arch):
        return select(torch.arange(full_size(size)), [size])


def assert_mask_slice_equal(
    model: nn.Module,
    arch: Any,
    *inputs: Any,
    inputs_size: SizeLike | None = None,
    outputs_size: SizeLike | None = None,
    others: Sequence[Any] = (),
) -> None:
    """Check that slicing, masking, per-sample masking, one-hot soft masking and extraction compute the same.

    Forward and gradients, in float64 and eval mode, on a copy of the model. Dead outputs and the gradients of dead
    units must be exactly 0.

    Args:
        model: Made of elastic primitives; ``model(*inputs) -> Tensor``, batch first.
        arch: The architecture to check.
        *inputs: In slice form: the first has the active size in its last dimension where ``inputs_size`` is given.
        inputs_size: What the last dimension of the first input holds, where it is elastic.
        outputs_size: Likewise of the output.
        others: Further architectures; together with ``arch`` they run as one batch, one per sample, and each sample
            must equal its own run.

    Raises:
        AssertionError: Names the two forms that differ, and by how much.
    """
    model = copy.deepcopy(model).double().eval()
    axes = axes_of(model)
    inputs = tuple(x.double() if isinstance(x, Tensor) and x.is_floating_point() else x for x in inputs)
    full_inputs = (embed(inputs[0], inputs_size, axes, arch), *inputs[1:]) if inputs else ()
    batch = len(inputs[0]) if inputs else 2
    one_hot = _one_hot(axes, arch)

    with axes.at(arch):
        sliced = _Run(model, inputs)
    for name, scope, given in (
        ("mask", axes.masked(arch), full_inputs),
        ("per-sample mask", axes.masked([arch] * batch), full_inputs),
        ("one-hot soft mask", axes.relaxed(one_hot), full_inputs),
    ):
        with scope:
            masked = _Run(model, given, sliced.cotangent, outputs_size, axes, arch)
        _compare_masked(name, sliced, masked, inputs_size, outputs_size, axes, arch)
    _compare_extracted(model, arch, inputs, sliced)
    if others and inputs:
        _compare_samples(model, axes, [arch, *others], full_inputs, inputs_size)


class _Run:
    """Output and gradients of one forward and backward pass."""

    def __init__(
        self,
        model: nn.Module,
        inputs: tuple[Any, ...],
        cotangent: Tensor | None = None,
        size: SizeLike | None = None,
        axes: Axes | None = None,
        arch: Any = None,
    ) -> None:
        model.zero_grad(set_to_none=True)
        leaf = inputs[0].clone().requires_grad_() if inputs and inputs[0].is_floating_point() else None
        given = (leaf, *inputs[1:]) if leaf is not None else inputs
        self.output: Tensor = model(*given)
        if cotangent is None:
            generator = torch.Generator().manual_seed(0)
            self.cotangent = torch.randn(self.output.shape, generator=generator, dtype=self.output.dtype)
        else:
            # dead outputs are constant: whatever arrives there must not reach a weight
            self.cotangent = cotangent if axes is None else embed(cotangent, size, axes, arch, fill=1.0)
            if self.cotangent.ndim < self.output.ndim:
                # a parameter on its own has one copy per sample: each gets its share
                self.cotangent = self.cotangent.expand_as(self.output) / len(self.output)
        if self.output.requires_grad:
            self.output.backward(self.cotangent)
        self.input_gradient = None if leaf is None else leaf.grad
        self.gradients = {
            name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
            for name, parameter in model.named_parameters()
        }


def _one_hot(axes: Axes, arch: Any) -> dict[str, Tensor]:
    choices = axes.space.choices()
    found = {}
    for name, index in axes.space.indices(arch).items():
        value = torch.zeros(len(choices[name]), dtype=torch.float64)
        value[index] = 1
        found[name] = value.requires_grad_()
    return found


def _compare_masked(
    name: str,
    sliced: _Run,
    masked: _Run,
    inputs_size: SizeLike | None,
    outputs_size: SizeLike | None,
    axes: Axes,
    arch: Any,
) -> None:
    output = masked.output
    if output.ndim > sliced.output.ndim:
        output = output[0]
    _close(f"{name}: output", embed(sliced.output, outputs_size, axes, arch), output)
    if outputs_size is not None and not isinstance(outputs_size, int):
        dead = torch.ones(full_size(outputs_size), dtype=torch.bool)
        dead[_places(outputs_size, axes, arch)] = False
        assert bool((output[..., dead] == 0).all()), f"{name}: dead outputs are not exactly 0"
    if sliced.input_gradient is not None and masked.input_gradient is not None:
        # at dead inputs an identity passes on what arrives; whatever made them is masked and drops it
        found = masked.input_gradient
        if inputs_size is not None and not isinstance(inputs_size, int):
            found = found[..., _places(inputs_size, axes, arch)]
        _close(f"{name}: gradient of the input", sliced.input_gradient, found)
    for parameter, gradient in sliced.gradients.items():
        _close(f"{name}: gradient of {parameter}", gradient, masked.gradients[parameter])


def _compare_extracted(model: nn.Module, arch: Any, inputs: tuple[Any, ...], sliced: _Run) -> None:
    plain = unverified(model, arch)
    if not list(plain.parameters()) and not inputs:
        return
    given = inputs
    extracted = _Run(plain, given, sliced.cotangent)
    _close("extracted: output", sliced.output, extracted.output)
    if sliced.input_gradient is not None and extracted.input_gradient is not None:
        _close("extracted: gradient of the input", sliced.input_gradient, extracted.input_gradient)
    # a supernet whose weights are its gradients, extracted, holds the gradients to expect
    holder = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in holder.named_parameters():
            parameter.copy_(sliced.gradients[name])
    expected = dict(unverified(holder, arch).named_parameters())
    for name, gradient in extracted.gradients.items():
        _close(f"extracted: gradient of {name}", expected[name], gradient)
    inside = sum(int(value.count_nonzero()) for value in expected.values())
    everywhere = sum(int(value.count_nonzero()) for value in sliced.gradients.values())
    assert inside == everywhere, f"{everywhere - inside} gradients of dead units are not exactly 0"


def _compare_samples(
    model: nn.Module, axes: Axes, archs: list[Any], inputs: tuple[Any, ...], inputs_size: SizeLike | None
) -> None:
    """One batch with an architecture per sample, against each sample's own masked run."""

    def take(value: Any, index: int) -> Any:
        return value[index % len(value)][None] if isinstance(value, Tensor) else value

    rows = []
    for index, arch in enumerate(archs):
        row = tuple(take(value, index) for value in inputs)
        if inputs_size is not None and not isinstance(inputs_size, int):
            # dead inputs of this sample's architecture hold 0
            with axes.at(arch):
                active = row[0][..., _places(inputs_size, axes, arch)]
            row = (embed(active, inputs_size, axes, arch), *row[1:])
        rows.append(row)
    together = tuple(
        torch.cat(column) if isinstance(column[0], Tensor) else column[0] for column in zip(*rows, strict=True)
    )
    with torch.no_grad(), axes.masked(archs):
        mixed = model(*together)
    for index, arch in enumerate(archs):
        with torch.no_grad(), axes.masked(arch):
            _close(f"sample {index} of a mixed batch", model(*rows[index])[0], mixed[index])


def _close(what: str, expected: Tensor, computed: Tensor) -> None:
    assert expected.shape == computed.shape, f"{what}: shape {tuple(computed.shape)}, expected {tuple(expected.shape)}"
    if expected.numel() and not torch.allclose(expected, computed, rtol=_TOLERANCE, atol=_TOLERANCE):
        difference = (expected - computed).abs().max().item()
        raise AssertionError(f"{what}: differs from slicing by up to {difference:.3g} (allowed {_TOLERANCE:g})")
