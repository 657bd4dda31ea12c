"""require_unchanged: the supernet's network has the modules and parameters that build made."""

from torch import nn

from elasticnas.errors import ConfigError

__all__ = ["require_unchanged"]


def require_unchanged(network: nn.Module, built: nn.Module) -> None:
    """Check that modules of a network were not replaced, and that it got no further parameters.

    Sub-networks are built by ``build``, so they would run without such changes.

    Args:
        network: The network with weights.
        built: The largest model as built.

    Raises:
        ConfigError: A tensor is missing, a parameter was added, or a module is of another class or has another forward.
    """
    held, known = (dict(model.named_parameters(remove_duplicate=False)) for model in (network, built))
    buffers = dict(network.named_buffers(remove_duplicate=False))
    expected = [*known, *(name for name, _ in built.named_buffers(remove_duplicate=False))]
    missing = next((name for name in expected if name not in held and name not in buffers), None)
    added = next((name for name in held if name not in known), None)
    lost = [f"has no {missing} any more"] if missing else []
    new = [f"has {added}, which build did not make"] if added else []
    if lost or new:
        raise _changed_error(" and ".join(lost + new))
    modules = dict(network.named_modules(remove_duplicate=False))
    for path, module in built.named_modules(remove_duplicate=False):
        now = modules.get(path)
        where = path or type(module).__name__
        if now is None or _name(type(module)) not in map(_name, type(now).__mro__):
            raise _changed_error(f"has {type(now).__name__} for the {type(module).__name__} {where}")
        if "forward" in vars(now) and "forward" not in vars(module):
            raise _changed_error(f"has another forward in {where}")


def _name(kind: type) -> tuple[str, str]:
    return kind.__module__, kind.__qualname__  # build may define a class anew in each call


def _changed_error(what: str) -> ConfigError:
    return ConfigError(
        f"model.network {what}, so that sub-networks, which build makes, would lack it: change modules, such as by "
        "adapters, inside build, or in a network that elasticnas.extract gives"
    )
