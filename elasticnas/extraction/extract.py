"""extract: the plain network of one architecture, proven equal to what the supernet computes."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from typing import Any, TypeVar, overload

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from elasticnas.axes import EXTRACTING, Scope, select
from elasticnas.calls import usage
from elasticnas.elastic.model import ElasticModel, M
from elasticnas.errors import ElasticNASError, ExtractionError, said
from elasticnas.extraction.inspect import axes_of, check
from elasticnas.extraction.parts import (
    hold_parameters,
    lists_of_parameters,
    refuse_replaced_forwards,
    refuse_torn,
)
from elasticnas.nn import ElasticModule
from elasticnas.space import Space
from elasticnas.space.space import S

__all__ = ["extract", "unverified"]

Model = TypeVar("Model", bound=nn.Module)


@overload
def extract(model: ElasticModel[S, M], arch: S, example: object = None) -> M: ...


@overload
def extract(model: Model, arch: Space, example: object = None) -> Model: ...


@usage("elasticnas.extract(model, architecture, example)", ExtractionError)
def extract(model: nn.Module, arch: Space, example: object = None) -> nn.Module:
    """The plain network of an architecture, with inherited weights.

    A deep copy in which axes are ints and elastic parts what their ``plain()`` gives. Each part is compared with the
    supernet's on an example of its own; with an example the whole network is compared too.

    Args:
        model: A model made of elastic primitives.
        arch: An architecture of the model's space.
        example: Input of the model: a tensor, a tuple of arguments, or a mapping of keyword arguments.

    Raises:
        ExtractionError: A module computes something else after extraction; the message names the first. Or a part
            cannot be extracted, or be compared without an example; or the model cannot run on the example.
        InactiveChoiceError: A choice of the space reaches nothing in the model.
    """
    check(model)
    plain = unverified(model, arch)
    axes = axes_of(model)
    with torch.no_grad(), _in_eval(model), _in_eval(plain):
        _compare_parts(model, plain, lambda: axes.at(arch), example is not None)
        if example is not None:
            _compare_whole(model, plain, lambda: axes.at(arch), example)
    return plain


def unverified(model: Model, arch: Space) -> Model:
    """As :func:`extract`, without the comparison: for counting on the meta device, where nothing can be compared.

    Raises:
        ExtractionError: A part cannot be extracted.
    """
    # what a parametrization computes is taken as in eval: spectral norm changes its buffers otherwise
    with axes_of(model).at(arch), torch.enable_grad(), _parametrizations_in_eval(model):
        refuse_replaced_forwards(model)
        refuse_torn(model)
        memo: dict[Any, Any] = {EXTRACTING: True}
        lists_of_parameters(model, memo)
        plain = copy.deepcopy(model, memo)
    hold_parameters(plain)
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


@contextmanager
def _parametrizations_in_eval(model: nn.Module) -> Iterator[None]:
    found = [module.parametrizations for module in model.modules() if parametrize.is_parametrized(module)]
    modes = {part: part.training for held in found if isinstance(held, nn.Module) for part in held.modules()}
    for part in modes:
        part.training = False
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def _compare_parts(model: nn.Module, plain: nn.Module, scope: Callable[[], Scope], whole: bool) -> None:
    """Every elastic part by itself; one without an example needs that of the whole network.

    The plain parts run outside of the scope, which they must not follow.
    """
    extracted = dict(plain.named_modules(remove_duplicate=False))
    parameters = dict(plain.named_parameters(remove_duplicate=False))
    for name, module in model.named_modules():
        made = extracted.get(name, parameters.get(name))
        if made is None or not isinstance(module, ElasticModule) or not _has_values(module):
            continue  # a layer or branch that the architecture does not have
        with scope():
            _compare_tensors(module, made, name)
            example = module.example(torch.Generator().manual_seed(0))
            expected = None if example is None else module(*example)
        if example is not None:
            _equal(expected, made(*example) if isinstance(made, nn.Module) else made, name, type(module).__name__)
        elif module.tensor_sizes() and not whole:
            raise ExtractionError(
                f"{name or 'the model'} ({type(module).__name__}) has no example of its own, so that nothing shows "
                "whether it is extracted right: give extract an example of the model's input, or the part an example()"
            )


def _has_values(module: nn.Module) -> bool:
    return not any(isinstance(p, nn.parameter.UninitializedParameter) or p.is_meta for p in module.parameters())


def _compare_tensors(module: ElasticModule, made: "nn.Module | Tensor", name: str) -> None:
    """Tensors that keep their names in the plain module are the active parts of the supernet's."""
    for own, sizes in module.tensor_sizes().items():
        tensor = getattr(made, own, None)
        if isinstance(made, nn.Module) and isinstance(tensor, Tensor):
            _equal(select(getattr(module, own), sizes), tensor, f"{name}.{own}".lstrip("."), type(module).__name__)


def _compare_whole(model: nn.Module, plain: nn.Module, scope: Callable[[], Scope], example: Any) -> None:
    with scope():
        expected = _outputs(model, example)
    computed = _outputs(plain, example)
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
    except ElasticNASError:
        raise
    except Exception as error:  # whatever a forward raises
        held = next(model.parameters(), None)
        kind = "" if held is None else f" (its weights are {held.dtype} on {held.device})"
        raise ExtractionError(
            f"{type(model).__name__} cannot run on the example ({said(error)}): give an input of the model{kind}, a "
            "tensor, a tuple of arguments, or a mapping of keyword arguments"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _equal(expected: Any, computed: Any, name: str, kind: str) -> None:
    for one, other in _pairs(expected, computed, f"{name} ({kind})"):
        _equal(one, other, name, kind)
    if isinstance(expected, (bool, int, float, complex)):
        expected, computed = torch.as_tensor(expected), torch.as_tensor(computed)
    if isinstance(expected, Tensor):
        _equal_tensors(expected, computed, f"{name} ({kind})")


def _pairs(expected: Any, computed: Any, where: str) -> list[tuple[Any, Any]]:
    """What two outputs hold, side by side."""
    if is_dataclass(expected) and not isinstance(expected, (Mapping, type)):
        expected, computed = vars(expected), vars(computed)
    if isinstance(expected, Mapping) and isinstance(computed, Mapping):
        keys = [*expected.keys(), *(key for key in computed if key not in expected)]
        if len(keys) > min(len(expected), len(computed)):
            raise ExtractionError(
                f"{where}: the supernet gives {list(expected)}, the extracted network {list(computed)}"
            )
        return [(expected[key], computed[key]) for key in keys]
    if isinstance(expected, (tuple, list)) and isinstance(computed, (tuple, list)):
        if len(expected) != len(computed):
            raise ExtractionError(
                f"{where}: the supernet gives {len(expected)} outputs, the extracted network {len(computed)}"
            )
        return list(zip(expected, computed, strict=True))
    return []


def _equal_tensors(expected: Tensor, computed: Any, where: str) -> None:
    if not isinstance(computed, Tensor) or expected.shape != computed.shape:
        other = tuple(computed.shape) if isinstance(computed, Tensor) else type(computed).__name__
        raise ExtractionError(
            f"{where}: the supernet gives the shape {tuple(expected.shape)}, the extracted network {other}"
        )
    tolerance = {torch.float64: 1e-9, torch.float32: 1e-4}.get(expected.dtype, 3e-2)
    if not (expected.is_floating_point() or expected.is_complex()):
        tolerance, expected, computed = 0.0, expected.double(), computed.double()
    if not torch.allclose(expected, computed.to(expected), rtol=tolerance, atol=tolerance, equal_nan=True):
        largest = (expected - computed).abs().max().item()
        raise ExtractionError(
            f"{where}: the extracted network differs from the supernet by up to {largest:.3g} (allowed {tolerance:g}): "
            "does its forward use a full size, or reduce over an elastic dimension without elasticnas.nn's own "
            "operation?"
        )
