"""What a deep copy alone would get wrong in an extraction: shared tensors, and parameters in containers."""

import copy
from collections.abc import Iterator
from math import prod
from typing import Any

from torch import Tensor, nn

from elasticnas.axes import SizeLike, active_size, factors_of, full_size, terms_of
from elasticnas.errors import ExtractionError
from elasticnas.nn import ElasticModule, ElasticParameter
from elasticnas.nn.idle import running_modules

__all__ = ["hold_parameters", "lists_of_parameters", "refuse_replaced_forwards", "refuse_torn"]

Cut = tuple[tuple[tuple[int, int], ...], ...]


def refuse_replaced_forwards(model: nn.Module) -> None:
    """Refuse a forward that was set on a module itself: it belongs to the supernet's, and a copy would call that.

    Raises:
        ExtractionError: Names the module.
    """
    for name, module in running_modules(model):
        if "forward" in vars(module):
            raise ExtractionError(
                f"{name or 'the model'} ({type(module).__name__}) has a forward of its own set on it, which a copy "
                "cannot take over: put it into a subclass, or use a hook"
            )


def refuse_torn(model: nn.Module) -> None:
    """Refuse a tensor that two parts hold and that the architecture in scope cuts in two ways.

    Raises:
        ExtractionError: Names both.
    """
    seen: dict[int, tuple[str, list[Cut]]] = {}
    for name, tensor, sizes in _held(model):
        cuts = [_cut(size) for size in sizes]
        first, wanted = seen.setdefault(id(tensor), (name, cuts))
        if cuts != wanted:
            shapes = [tuple(_active(cut) for cut in each) for each in (wanted, cuts)]
            raise ExtractionError(
                f"{first} and {name} are one tensor, of which this architecture takes {shapes[0]} for the one and "
                f"{shapes[1]} for the other: give both parts the same sizes, or a tensor of their own"
            )


def _held(model: nn.Module) -> Iterator[tuple[str, Tensor, list[SizeLike]]]:
    for path, module in running_modules(model):
        named = module.tensor_sizes() if isinstance(module, ElasticModule) else {}
        for held in (module._parameters, module._buffers):
            for name, tensor in held.items():
                if tensor is not None and not nn.parameter.is_lazy(tensor):
                    yield f"{path}.{name}".lstrip("."), tensor, list(named.get(name, tensor.shape))


def _cut(size: SizeLike) -> Cut:
    """Full and active sizes of the factors of every term, in the form that equal cuts share."""
    cut = tuple(_term([(full_size(f), active_size(f)) for f in factors_of(term)]) for term in terms_of(size))
    if all(full == active for term in cut for full, active in term):
        return (((full_size(size), full_size(size)),),)
    return cut


def _term(factors: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """A factor that is whole joins the one around it: two of four heads of three units are six of twelve."""
    joined: list[tuple[int, int]] = []
    for full, active in factors:
        if joined and full == active:
            outer = joined.pop()
            joined.append((outer[0] * full, outer[1] * full))
        else:
            joined.append((full, active))
    return tuple(joined)


def _active(cut: Cut) -> int:
    return sum(prod([active for _, active in term]) for term in cut)


def lists_of_parameters(model: nn.Module, memo: dict[Any, Any]) -> None:
    """Put a ParameterList in the place of each ModuleList that holds elastic parameters, and the same for ModuleDict.

    Args:
        model: The supernet.
        memo: Of the extraction, which finds them there.

    Raises:
        ExtractionError: One holds modules beside parameters, or is of a class of its own.
    """
    for path, module in model.named_modules():
        held = list(module._modules.values()) if isinstance(module, _CONTAINERS) else []
        if not any(isinstance(each, ElasticParameter) for each in held):
            continue
        mixed = not all(isinstance(each, ElasticParameter) for each in held)
        if mixed or type(module) not in _CONTAINERS or vars(module).keys() != _PLAIN:
            what = "modules beside parameters" if mixed else "parameters in a class or with attributes of its own"
            raise ExtractionError(
                f"{path} ({type(module).__name__}) holds {what}, and torch has no container for them: hold "
                "parameters in a list or dictionary by themselves"
            )
        parameters = {name: copy.deepcopy(each, memo) for name, each in module._modules.items()}
        if isinstance(module, nn.ModuleDict):
            made: nn.Module = nn.ParameterDict(parameters)
        else:
            made = nn.ParameterList(parameters.values())
        made.train(module.training)
        memo[id(module)] = made


_CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.Sequential)
_PLAIN = vars(nn.ModuleList()).keys()


def hold_parameters(plain: nn.Module) -> None:
    """Move parameters that stand where a module stood to where torch looks for parameters."""
    pending, seen = [plain], set()
    while pending:
        module = pending.pop()
        if id(module) in seen or not isinstance(module, nn.Module):
            continue
        seen.add(id(module))
        for name in [name for name, child in module._modules.items() if isinstance(child, nn.Parameter)]:
            module._parameters[name] = module._modules.pop(name)  # type: ignore[assignment]
        pending += [child for child in module._modules.values() if child is not None]
