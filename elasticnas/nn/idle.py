"""idle_parameters: weights that the architecture in scope does not use."""

from collections.abc import Iterator

from torch import nn

from elasticnas.nn.module import ElasticModule

__all__ = ["idle_parameters", "running_modules"]


def idle_parameters(model: nn.Module) -> set[nn.Parameter]:
    """Return the parameters of layers and candidates that the architecture of the open slice scope does not have.

    In a slice scope their gradients are None, and an optimizer skips them; in a mask scope their gradients are zeros,
    and momentum still changes them. Setting these gradients to None makes both kinds of training equal.
    """
    running = {parameter for _, module in running_modules(model) for parameter in module._parameters.values()}
    return {parameter for parameter in model.parameters() if parameter not in running}


def running_modules(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield a module and its submodules with dotted names, without those that are idle in the open slice scope."""
    yield name, module
    idle = {id(child) for child in module.idle()} if isinstance(module, ElasticModule) else set()
    pending = [(f"{name}.{key}".lstrip("."), child) for key, child in module._modules.items()]
    while pending:
        path, child = pending.pop(0)
        if child is None or id(child) in idle:
            continue
        if type(child) in (nn.ModuleList, nn.ModuleDict):
            yield path, child
            # Stack and Mixture hold their layers and candidates in one of these
            pending += [(f"{path}.{key}", grandchild) for key, grandchild in child._modules.items()]
        else:
            yield from running_modules(child, path)
