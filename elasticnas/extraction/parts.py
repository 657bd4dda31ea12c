"""Cases in which a deep copy alone is not an extraction: shared tensors, and parameters in containers."""

import copy
from collections.abc import Iterator
from math import prod
from typing import Any

from torch import Tensor, nn

from elasticnas.axes import SizeLike, active_size, factors_of, full_size, terms_of
from elasticnas.errors import ExtractionError
from elasticnas.nn import ElasticModule, ElasticParameter
from elasticnas.nn.idle import running_modules

__all__ = ["copy_parameter_containers", "register_parameters", "require_class_forwards", "require_consistent_sharing"]

Cut = tuple[tuple[tuple[int, int], ...], ...]


def require_class_forwards(model: nn.Module) -> None:
    """Check that no module has a forward set on the instance: its copy would call the supernet's module.

    Raises:
        ExtractionError: A module has one.
    """
    for name, module in running_modules(model):
        if "forward" in vars(module):
            raise ExtractionError(
                f"{name or 'the model'} ({type(module).__name__}) has a forward set on the instance, which cannot be "
                "copied: put it into a subclass, or use a hook"
            )


def require_consistent_sharing(model: nn.Module) -> None:
    """Check that the architecture in scope narrows every shared tensor in the same way in all modules that hold it.

    Raises:
        ExtractionError: Two modules narrow a tensor in different ways.
    """
    seen: dict[int, tuple[str, list[Cut]]] = {}
    for name, tensor, sizes in _tensors_with_sizes(model):
        cuts = [_normalised_cut(size) for size in sizes]
        first, first_cuts = seen.setdefault(id(tensor), (name, cuts))
        if cuts != first_cuts:
            shapes = [tuple(_active_units(cut) for cut in each) for each in (first_cuts, cuts)]
            raise ExtractionError(
                f"{first} and {name} are one tensor, of which this architecture takes {shapes[0]} for the one and "
                f"{shapes[1]} for the other: give both modules the same sizes, or separate tensors"
            )


def _tensors_with_sizes(model: nn.Module) -> Iterator[tuple[str, Tensor, list[SizeLike]]]:
    for path, module in running_modules(model):
        named = module.tensor_sizes() if isinstance(module, ElasticModule) else {}
        for held in (module._parameters, module._buffers):
            for name, tensor in held.items():
                if tensor is not None and not nn.parameter.is_lazy(tensor):
                    yield f"{path}.{name}".lstrip("."), tensor, list(named.get(name, tensor.shape))


def _normalised_cut(size: SizeLike) -> Cut:
    """Return full and active sizes of the factors of every term, in a form that is the same for equal cuts."""
    cut = tuple(_merge_full([(full_size(f), active_size(f)) for f in factors_of(term)]) for term in terms_of(size))
    if all(full == active for term in cut for full, active in term):
        return (((full_size(size), full_size(size)),),)
    return cut


def _merge_full(factors: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Merge each full factor into the one before it: two of four heads of three units each are six of twelve units."""
    merged: list[tuple[int, int]] = []
    for full, active in factors:
        if merged and full == active:
            outer = merged.pop()
            merged.append((outer[0] * full, outer[1] * full))
        else:
            merged.append((full, active))
    return tuple(merged)


def _active_units(cut: Cut) -> int:
    return sum(prod([active for _, active in term]) for term in cut)


def copy_parameter_containers(model: nn.Module, memo: dict[Any, Any]) -> None:
    """Copy each ModuleList of elastic parameters to a ParameterList, and each such ModuleDict to a ParameterDict.

    Args:
        model: The supernet.
        memo: The memo of the extraction, to which the copies are added.

    Raises:
        ExtractionError: Such a container also holds modules, or is of another class, or has attributes.
    """
    for path, module in model.named_modules():
        held = list(module._modules.values()) if isinstance(module, _CONTAINERS) else []
        if not any(isinstance(each, ElasticParameter) for each in held):
            continue
        mixed = not all(isinstance(each, ElasticParameter) for each in held)
        if mixed or type(module) not in _CONTAINERS or vars(module).keys() != _STANDARD_ATTRIBUTES:
            what = "modules besides parameters" if mixed else "parameters, but is a subclass or has attributes"
            raise ExtractionError(
                f"{path} ({type(module).__name__}) holds {what}, and torch has no such container: keep parameters in "
                "a separate list or dictionary"
            )
        parameters = {name: copy.deepcopy(each, memo) for name, each in module._modules.items()}
        if isinstance(module, nn.ModuleDict):
            made: nn.Module = nn.ParameterDict(parameters)
        else:
            made = nn.ParameterList(parameters.values())
        made.train(module.training)
        memo[id(module)] = made


_CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.Sequential)
_STANDARD_ATTRIBUTES = vars(nn.ModuleList()).keys()


def register_parameters(plain: nn.Module) -> None:
    """Register parameters that have replaced modules as parameters instead of submodules."""
    pending, seen = [plain], set()
    while pending:
        module = pending.pop()
        if id(module) in seen or not isinstance(module, nn.Module):
            continue
        seen.add(id(module))
        for name in [name for name, child in module._modules.items() if isinstance(child, nn.Parameter)]:
            module._parameters[name] = module._modules.pop(name)  # type: ignore[assignment]
        pending += [child for child in module._modules.values() if child is not None]
