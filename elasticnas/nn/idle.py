"""idle_parameters: weights that the architecture in scope does not run."""

from collections.abc import Iterator

from torch import nn

from elasticnas.nn.module import ElasticModule

__all__ = ["idle_parameters"]


def idle_parameters(model: nn.Module) -> set[nn.Parameter]:
    """Parameters of layers and candidates that the architecture of the open slice scope does not have.

    Sliced, they get no gradient (None), and an optimizer leaves them alone; masked, they get zeros, and momentum
    moves them. Setting their gradients to None makes both train the same weights.
    """
    running = {parameter for module in _running(model) for parameter in module._parameters.values()}
    return {parameter for parameter in model.parameters() if parameter not in running}


def _running(module: nn.Module) -> Iterator[nn.Module]:
    """The module and those below it, without what is idle."""
    yield module
    idle = {id(child) for child in module.idle()} if isinstance(module, ElasticModule) else set()
    pending = list(module._modules.values())
    while pending:
        child = pending.pop()
        if child is None or id(child) in idle:
            continue
        if type(child) in (nn.ModuleList, nn.ModuleDict):
            yield child
            pending += child._modules.values()  # Stack and Mixture hold their parts in one of these
        else:
            yield from _running(child)
