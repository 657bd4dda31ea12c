"""require_own_names: modules after a stack of elastic depth have names that do not depend on the depth."""

from torch import nn

from elasticnas.elastic.kept import prefix_differences
from elasticnas.elastic.kinds import Kind, differences, kind_of
from elasticnas.errors import ConfigError

__all__ = ["require_own_names"]


def require_own_names(made: nn.Module, full: nn.Module, call: str) -> None:
    """Refuse a module that moves to another number when layers before it are left out, as a head in ``nn.Sequential``.

    A sub-network takes the weights of the same name, so it would take those of a layer for the head.

    Args:
        made: A model with fewer layers.
        full: The largest model.
        call: The call that made the smaller one, as text.

    Raises:
        ConfigError: There is such a module.
    """
    ours = dict(made.named_modules())
    for path, stack in full.named_modules():
        short = ours.get(path)
        if not isinstance(stack, (nn.ModuleList, nn.Sequential)) or short is None:
            continue
        mine, theirs = (list(each.named_children()) for each in (short, stack))
        if not 0 < len(mine) < len(theirs) or mine[-1][0] == theirs[-1][0]:
            continue
        name, last = mine[-1]
        at_this_name = stack._modules.get(name)
        if at_this_name is None or differences(_without_rates(last), _without_rates(theirs[-1][1])):
            continue
        layer = type(last) is type(at_this_name) and prefix_differences(kind_of(last), kind_of(at_this_name))
        # but a last layer of another kind
        if differences(_without_rates(last), _without_rates(at_this_name)) and not layer:
            before, after = (f"{path}.{each}".lstrip(".") for each in (theirs[-1][0], name))
            raise ConfigError(
                f"{call} has the {type(last).__name__} {before} of the largest model as {after}, the name of a layer "
                "there, whose weights it would take: give the layers a module of their own, such as nn.Sequential("
                "nn.Sequential(*layers), head)"
            )


def _without_rates(module: nn.Module) -> Kind:
    """Return the kind of a layer without rates, such as those of dropout, which may rise with the depth."""
    return {key: value for key, value in kind_of(module).items() if not isinstance(value, float)}
