"""extract: the plain network of one architecture, checked for equality with the supernet."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from typing import Any, TypeVar, overload

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from elasticnas.axes import EXTRACTING, Scope, select
from elasticnas.calls import usage
from elasticnas.elastic.bypass import require_bypass
from elasticnas.elastic.config_kinds import config_difference
from elasticnas.elastic.eval_mode import in_eval
from elasticnas.elastic.model import ElasticModel, M
from elasticnas.errors import ArchitectureError, ElasticNASError, ExtractionError, describe_error, short_repr
from elasticnas.extraction.batchnorm import recalibrate, warn_of_stale
from elasticnas.extraction.inspect import axes_of, check
from elasticnas.extraction.parts import (
    copy_parameter_containers,
    register_parameters,
    require_class_forwards,
    require_consistent_sharing,
)
from elasticnas.nn import ElasticModule
from elasticnas.parallel import unsharded, unwrapped
from elasticnas.runtime import random_state, restore_random_state, warn
from elasticnas.space import Space
from elasticnas.space.space import S

__all__ = ["Model", "compare", "extract", "extract_unverified", "require_architecture"]

Model = TypeVar("Model", bound=nn.Module)


@overload
def extract(
    model: ElasticModel[S, M], arch: S, example: object = None, calibration: Iterable[Any] | None = None
) -> M: ...


@overload
def extract(model: Model, arch: Space, example: object = None, calibration: Iterable[Any] | None = None) -> Model: ...


@usage("elasticnas.extract(model, architecture, example)", ExtractionError)
def extract(
    model: nn.Module, arch: Space, example: object = None, calibration: Iterable[Any] | None = None
) -> nn.Module:
    """Return the plain network of an architecture, with inherited weights.

    It is a deep copy in which axes are ints and each elastic module is the result of its ``plain()``. Each elastic
    module is compared with the supernet's on its own example; if ``example`` is given, so is the whole network.

    Args:
        model: A model made of elastic primitives; on several processes also one in DistributedDataParallel, or one
            with sharded weights, which all ranks must extract together.
        arch: An architecture of the model's space.
        example: Input of the model: a tensor, a tuple of arguments, or a mapping of keyword arguments.
        calibration: Inputs like ``example`` from which the running statistics of BatchNorm are estimated anew, see
            :func:`~elasticnas.extraction.recalibrate`. None: a warning, if the model has trained ones; ``()`` if they
            are estimated later.

    Raises:
        ArchitectureError: It is not an architecture of the model's space.
        ExtractionError: The output of a module differs after extraction; the message names the first such module. Or
            a module cannot be extracted, or cannot be compared without an example; or the model cannot run on the
            example.
        InactiveChoiceError: A choice of the space has no effect on the model.
    """
    model = unsharded(unwrapped(model))
    check(model)
    require_architecture(model, arch, "extract")
    plain = extract_unverified(model, arch)
    compare(model, plain, arch, example)
    if difference := config_difference(plain):
        warn(
            f"the config of {type(plain).__name__} does not describe its kept layers: from_pretrained would make "
            f"another network ({difference}); save it by elasticnas.save and load it by load(folder, model.build)"
        )
    if calibration is None:
        warn_of_stale(plain, "give extract(..., calibration=inputs), or calibration=() and recalibrate or train later")
    elif not isinstance(calibration, (tuple, list)) or calibration:
        recalibrate(plain, calibration)
    return plain


def require_architecture(model: nn.Module, arch: object, function: str) -> None:
    """Refuse a mapping in place of an architecture.

    Raises:
        ArchitectureError: It is a mapping; the message names the function that was called.
    """
    if isinstance(arch, Mapping):
        fields = ", ".join(f"{name}={value!r}" for name, value in arch.items())
        raise ArchitectureError(
            f"{function} takes an architecture, got {short_repr(arch)}: write {axes_of(model).space.__name__}({fields})"
        )


def extract_unverified(model: Model, arch: Space, memo: "dict[Any, Any] | None" = None) -> Model:
    """Do the same as :func:`extract` without the comparison, for models on the meta device.

    Args:
        model: The model.
        arch: An architecture of its space.
        memo: Entries for the memo of the deep copy: parts of the model that are not copied.

    Raises:
        ExtractionError: A module cannot be extracted.
    """
    model = unsharded(unwrapped(model))  # type: ignore[assignment]
    # parametrizations run in eval mode: in train mode spectral norm would change its buffers
    with axes_of(model).at(arch), torch.enable_grad(), _parametrizations_in_eval(model):
        require_class_forwards(model)
        require_consistent_sharing(model)
        memo = {} if memo is None else memo
        memo[EXTRACTING] = True
        copy_parameter_containers(model, memo)
        plain = copy.deepcopy(model, memo)
    register_parameters(plain)
    return plain


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


def compare(model: nn.Module, plain: nn.Module, arch: Any, example: object) -> None:
    """Compare a plain network with the supernet in the scope of its architecture.

    Args:
        model: The supernet.
        plain: The plain network.
        arch: Its architecture.
        example: Input of the model, as for :func:`extract`; None to compare the elastic modules only.

    Raises:
        ExtractionError: They differ, or cannot be compared.
    """
    axes = axes_of(model)
    with torch.no_grad(), in_eval(model), in_eval(plain):
        _compare_parts(model, plain, lambda: axes.at(arch), example is not None)
        if example is not None:
            _compare_whole(model, plain, arch, lambda: axes.at(arch), example)


def _compare_parts(model: nn.Module, plain: nn.Module, scope: Callable[[], Scope], whole: bool) -> None:
    """Compare every elastic module by itself; one without an example needs that of the whole network.

    The plain modules run outside of the scope, on which they must not depend.
    """
    extracted = dict(plain.named_modules(remove_duplicate=False))
    parameters = dict(plain.named_parameters(remove_duplicate=False))
    for name, module in model.named_modules():
        plain_module = extracted.get(name, parameters.get(name))
        if plain_module is None or not isinstance(module, ElasticModule) or not _has_values(module):
            continue  # a layer or branch that the architecture does not have
        with scope():
            _compare_tensors(module, plain_module, name)
            example = module.example(torch.Generator().manual_seed(0))
            state = None if example is None else random_state()
            expected = None if example is None else module(*example)
        if example is not None and state is not None:
            restore_random_state(state)
            computed = plain_module(*example) if isinstance(plain_module, nn.Module) else plain_module
            _require_equal(expected, computed, name, type(module).__name__)
        elif module.tensor_sizes() and not whole:
            raise ExtractionError(
                f"{name or 'the model'} ({type(module).__name__}) has no example() of its input, so that its "
                "extraction cannot be checked: give extract an example of the model's input, or add this method"
            )


def _has_values(module: nn.Module) -> bool:
    return not any(isinstance(p, nn.parameter.UninitializedParameter) or p.is_meta for p in module.parameters())


def _compare_tensors(module: ElasticModule, plain_module: "nn.Module | Tensor", name: str) -> None:
    """Compare the tensors that keep their names in the plain module with the active parts of the supernet's."""
    for own, sizes in module.tensor_sizes().items():
        tensor = getattr(plain_module, own, None)
        if isinstance(plain_module, nn.Module) and isinstance(tensor, Tensor):
            _require_equal(
                select(getattr(module, own), sizes), tensor, f"{name}.{own}".lstrip("."), type(module).__name__
            )


def _compare_whole(model: nn.Module, plain: nn.Module, arch: Any, scope: Callable[[], Scope], example: Any) -> None:
    state = random_state()  # both draw the same numbers, and the caller's generators are left as they were
    try:
        with scope():
            expected = _outputs(model, example)
        restore_random_state(state)
        computed = _outputs(plain, example)
        restore_random_state(state)
        try:
            _compare_outputs(model, expected, computed)
        except ExtractionError:
            with scope():
                _require_repeatable(model, expected, _outputs(model, example))
            raise
        if isinstance(model, ElasticModel):
            require_bypass(model, arch, lambda network: _run(network, example))
    finally:
        restore_random_state(state)


def _require_repeatable(model: nn.Module, expected: dict[str, Any], again: dict[str, Any]) -> None:
    try:
        _compare_outputs(model, expected, again)
    except ExtractionError:
        raise ExtractionError(
            f"{type(model).__name__} gives another output for the same example, weights and random seed: its forward "
            "pass draws from a generator of its own, or depends on earlier calls; without that, or without an example, "
            "extract can compare"
        ) from None


def _compare_outputs(model: nn.Module, expected: dict[str, Any], computed: dict[str, Any]) -> None:
    for name, value in expected.items():  # in order of completion, so that the innermost difference is found first
        if name and name in computed:
            _require_equal(value, computed[name], name, type(model.get_submodule(name)).__name__)
    _require_equal(expected[""], computed[""], "the whole network", type(model).__name__)


def _outputs(model: nn.Module, example: Any) -> dict[str, Any]:
    """Return the output of every module by name, in order of completion."""
    found: dict[str, Any] = {}

    def keep(name: str) -> Any:
        return lambda module, args, output: found.__setitem__(name, output)

    hooks = [module.register_forward_hook(keep(name)) for name, module in model.named_modules()]
    try:
        _run(model, example)
    except ElasticNASError:
        raise
    except Exception as error:  # whatever a forward raises
        held = next(model.parameters(), None)
        kind = "" if held is None else f" (its weights are {held.dtype} on {held.device})"
        raise ExtractionError(
            f"{type(model).__name__} cannot run on the example ({describe_error(error)}): give an input of the "
            f"model{kind}, a tensor, a tuple of arguments, or a mapping of keyword arguments"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _run(model: nn.Module, example: Any) -> Any:
    if isinstance(example, Mapping):
        return model(**example)
    return model(*(example if isinstance(example, tuple) else (example,)))


def _require_equal(expected: Any, computed: Any, name: str, kind: str) -> None:
    for one, other in _pairs(expected, computed, f"{name} ({kind})"):
        _require_equal(one, other, name, kind)
    if isinstance(expected, (bool, int, float, complex)):
        expected, computed = torch.as_tensor(expected), torch.as_tensor(computed)
    if isinstance(expected, Tensor):
        _require_equal_tensors(expected, computed, f"{name} ({kind})")


def _pairs(expected: Any, computed: Any, where: str) -> list[tuple[Any, Any]]:
    """Return the pairs of corresponding items of two outputs; none for tensors and numbers."""
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


def _require_equal_tensors(expected: Tensor, computed: Any, where: str) -> None:
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
            "does its forward use a full size, or reduce over an elastic dimension without an operation of "
            "elasticnas.nn?"
        )
