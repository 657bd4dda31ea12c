"""extract: the plain network of one architecture, proven equal to what the supernet computes."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from elasticnas.axes import EXTRACTING, active_size
from elasticnas.errors import ExtractionError
from elasticnas.extraction.inspect import axes_of, check
from elasticnas.nn import Attention, DataAwareGate, FeedForward, PointwiseAttention
from elasticnas.nn.embedding import ElasticEmbedding
from elasticnas.nn.linear import ElasticLinear
from elasticnas.nn.norm import ElasticLayerNorm, ElasticRMSNorm
from elasticnas.nn.parameter import ElasticParameter, HeldParameter

__all__ = ["extract", "unverified"]

Model = TypeVar("Model", bound=nn.Module)


def extract(model: Model, arch: Any, example: Any = None) -> Model:
    """The plain network of an architecture, with inherited weights.

    A deep copy in which axes are ints and elastic leaves torch's own classes. Each primitive is compared with the
    supernet's on an input made from its axes; with an example the whole network is compared too.

    Args:
        model: A model made of elastic primitives.
        arch: An architecture of the model's space.
        example: Input of the model: a tensor, a tuple of arguments, or a mapping of keyword arguments.

    Raises:
        ExtractionError: A module computes something else after extraction; the message names the first.
        InactiveChoiceError: A choice of the space reaches nothing in the model.
    """
    check(model)
    plain = unverified(model, arch)
    axes = axes_of(model)
    with axes.at(arch), torch.no_grad(), _in_eval(model), _in_eval(plain):
        _compare_primitives(model, plain)
        if example is not None:
            _compare_whole(model, plain, example)
    return plain


def unverified(model: Model, arch: Any) -> Model:
    """As :func:`extract`, without the comparison: for counting on the meta device, where nothing can be compared."""
    with axes_of(model).at(arch):
        memo: dict[Any, Any] = {EXTRACTING: True}
        plain = copy.deepcopy(model, memo)
    for parent in list(plain.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, HeldParameter):
                delattr(parent, name)
                parent.register_parameter(name, child.parameter)
    return plain


@contextmanager
def _in_eval(model: nn.Module) -> Iterator[None]:
    """Dropout draws differ between shapes: compare without it, then restore every module's own mode."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _example_for(module: nn.Module) -> tuple[Tensor, ...] | None:
    """An input made from a primitive's axes, at the sizes in scope; None for what has no input of its own."""
    parameter = next(iter(module.parameters()), torch.zeros(()))
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        # drawn in float32 on the CPU, so that every device and dtype compares the same numbers
        return torch.randn(*shape, generator=generator).to(parameter)

    if isinstance(module, ElasticEmbedding):
        ids = torch.randint(active_size(module.count), (2, 5), generator=generator)
        return (ids.to(parameter.device),)
    if isinstance(module, ElasticParameter):
        return ()
    if isinstance(module, (ElasticLinear, DataAwareGate)):
        return (normal(2, 5, active_size(module.inputs)),)
    if isinstance(module, (ElasticLayerNorm, ElasticRMSNorm, Attention, FeedForward)):
        return (normal(2, 5, active_size(module.hidden)),)
    if isinstance(module, PointwiseAttention):
        return (normal(2, min(5, module.length), active_size(module.hidden)),)
    return None


def _compare_primitives(model: nn.Module, plain: nn.Module) -> None:
    extracted = dict(plain.named_modules())
    parameters = dict(plain.named_parameters())
    for name, module in model.named_modules():
        example = _example_for(module)
        if example is None or not (name in extracted or name in parameters):
            continue  # a layer or branch that the architecture does not have
        if any(isinstance(p, nn.parameter.UninitializedParameter) or p.is_meta for p in module.parameters()):
            continue
        expected = module(*example)
        computed = extracted[name](*example) if name in extracted else parameters[name]
        _equal(expected, computed, name, type(module).__name__)


def _compare_whole(model: nn.Module, plain: nn.Module, example: Any) -> None:
    expected, computed = _outputs(model, example), _outputs(plain, example)
    for name, value in expected.items():  # in order of completion: the first that differs is the innermost
        if name and name in computed:
            _equal(value, computed[name], name, type(model.get_submodule(name)).__name__)
    _equal(expected[""], computed[""], "the whole network", type(model).__name__)


def _outputs(model: nn.Module, example: Any) -> dict[str, Any]:
    """The output of every module, by name, in order of completion."""
    found: dict[str, Any] = {}

    def keep(name: str) -> Any:
        return lambda module, args, output: found.__setitem__(name, output)

    hooks = [module.register_forward_hook(keep(name)) for name, module in model.named_modules()]
    try:
        if isinstance(example, Mapping):
            model(**example)
        else:
            model(*(example if isinstance(example, tuple) else (example,)))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _equal(expected: Any, computed: Any, name: str, kind: str) -> None:
    if isinstance(expected, Mapping) and isinstance(computed, Mapping):
        pairs = [(expected[key], computed[key]) for key in expected]
    elif isinstance(expected, (tuple, list)) and isinstance(computed, (tuple, list)):
        pairs = list(zip(expected, computed, strict=True))
    elif not isinstance(expected, Tensor):
        return
    else:
        if expected.shape != computed.shape:
            raise ExtractionError(
                f"{name} ({kind}): the supernet gives the shape {tuple(expected.shape)}, "
                f"the extracted network {tuple(computed.shape)}"
            )
        tolerance = {torch.float64: 1e-9, torch.float32: 1e-4}.get(expected.dtype, 3e-2)
        if not torch.allclose(expected, computed, rtol=tolerance, atol=tolerance, equal_nan=True):
            largest = (expected - computed).abs().max().item()
            raise ExtractionError(
                f"{name} ({kind}): the extracted network differs from the supernet by up to {largest:.3g} "
                f"(allowed {tolerance:g}): does its forward use a full size, or reduce over an elastic dimension "
                "without elasticnas.nn's own operation?"
            )
        return
    for one, other in pairs:
        _equal(one, other, name, kind)
