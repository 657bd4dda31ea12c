"""idle_parameters: weights that the architecture in scope does not run."""

from collections.abc import Iterator

from torch import nn

from elasticnas.nn.module import ElasticModule

__all__ = ["idle_parameters", "running_modules"]


def idle_parameters(model: nn.Module) -> set[nn.Parameter]:
    """Parameters of layers and candidates that the architecture of the open slice scope does not have.

    Sliced, they get no gradient (None), and an optimizer leaves them alone; masked, they get zeros, and momentum
    moves them. Setting their gradients to None makes both train the same weights.
    """
    running = {parameter for _, module in running_modules(model) for parameter in module._parameters.values()}
    return {parameter for parameter in model.parameters() if parameter not in running}


def running_modules(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """A module and those below it, by dotted name, without what is idle in the open slice scope."""
    yield name, module
    idle = {id(child) for child in module.idle()} if isinstance(module, ElasticModule) else set()
    pending = [(f"{name}.{key}".lstrip("."), child) for key, child in module._modules.items()]
    while pending:
        path, child = pending.pop(0)
        if child is None or id(child) in idle:
            continue
        if type(child) in (nn.ModuleList, nn.ModuleDict):
            yield path, child
            # Stack and Mixture hold their parts in one of these
            pending += [(f"{path}.{key}", below) for key, below in child._modules.items()]
        else:
            yield from running_modules(child, path)
