"""Kept kinds: layers that a sub-network keeps are those of the full stack, not those that their new position makes."""

import copy
from collections.abc import Container, Iterator, Sequence
from typing import Any

from torch import nn

from elasticnas.elastic.depth import ChosenLayers
from elasticnas.elastic.kinds import Kind, differences, is_settings, kind_of, position_keys
from elasticnas.elastic.layer_lists import counterparts, select_lists
from elasticnas.errors import AxisError, ConfigError

__all__ = [
    "KEPT",
    "has_every_layer",
    "keep_kinds",
    "kind_changes",
    "prefix_differences",
    "require_alike",
    "same_outside",
]

KEPT = "_kept_layers"
"""Attribute of a model whose layers ``build`` does not make like this: numbers of its layers by path of the stack."""

_STRUCTURES = (("class",), ("function",), ("partial",))


def keep_kinds(made: nn.Module, whole: nn.Module, layers: ChosenLayers, arch: Any, call: str) -> None:
    """Give a model with chosen layers the kinds of these layers, in place.

    Where the layers that ``build`` makes by position differ from the kept ones, copies of the kept ones replace them:
    attributes that count layers are renumbered, lists with an entry for each layer are selected.

    Args:
        made: The model of ``arch``, with one layer for each kept one.
        whole: The model with every layer and the same other sizes; it is not changed.
        layers: The stacks with chosen layers.
        arch: The architecture.
        call: The call that made it, as text.

    Raises:
        ConfigError: ``build`` makes another number of layers, or the kinds cannot be kept.
        AxisError: Something outside of the stacks also follows the choice of layers.
    """
    for path, count in layers.counts.items():
        stack = _submodule(made, path)
        kept = layers.kept_in(made, path, arch)
        if len(stack._modules) != len(kept):
            raise ConfigError(
                f"{call} makes {len(stack._modules)} layers in {path}, but the architecture keeps {len(kept)} of "
                f"{count}: let build make as many layers as are kept"
            )
    _require_nothing_else(made, whole, layers)
    shared = counterparts(made, whole, tuple(layers.counts))
    selected: dict[tuple[int, str], Sequence[int]] = {}
    for path, count in layers.counts.items():
        kept = layers.kept_in(made, path, arch)
        select_lists(shared, count, kept, selected)
        _keep_stack(made, whole, path, kept, shared, call)


def has_every_layer(model: nn.Module, layers: ChosenLayers) -> bool:
    """Return whether every stack has all layers."""
    return all(len(_submodule(model, path)._modules) == count for path, count in layers.counts.items())


def same_outside(made: nn.Module, whole: nn.Module, layers: ChosenLayers) -> bool:
    """Return whether two models have the same shapes outside of the stacks."""
    inside = tuple(f"{path}." for path in layers.counts)
    ours, theirs = (
        {name: value.shape for name, value in model.state_dict().items() if not name.startswith(inside)}
        for model in (made, whole)
    )
    return ours == theirs


def require_alike(made: nn.Module, largest: nn.Module, layers: ChosenLayers, arch: Any, call: str) -> None:
    """Check layers against those of the largest model, where no model has every layer and the same other sizes.

    Raises:
        ConfigError: A kept layer is of another kind than the layer that ``build`` makes in its place.
    """
    for path in layers.counts:
        full = list(_submodule(largest, path)._modules.values())
        ours = list(_submodule(made, path)._modules.values())
        for mine, number in zip(ours, layers.kept(path, arch), strict=False):
            if found := prefix_differences(_kind(mine), _kind(full[number])):
                raise ConfigError(
                    f"{call}: {path}.{number} would run as another kind of layer ({found[0]}), and the rules of "
                    f"{type(arch).__name__} allow no architecture with every layer and these sizes to copy it from: "
                    "let the depth follow from the kept layers by a property"
                )


def prefix_differences(mine: Kind, theirs: Kind) -> list[str]:
    """Return differences in what sizes and rates do not change: classes, texts, flags, functions and parts."""
    ours, others = ({k: v for k, v in kind.items() if _is_structure(v)} for kind in (mine, theirs))
    return differences(ours, others)


def kind_changes(made: nn.Module, full: nn.Module, chosen: Container[str]) -> Iterator[tuple[str, str]]:
    """Yield the path of every layer that is of another kind in a shorter stack, and the difference.

    Args:
        made: The model with shorter stacks.
        full: The largest model.
        chosen: Paths of stacks whose layers are chosen.
    """
    ours = dict(made.named_modules())
    for path, stack in full.named_modules():
        short = ours.get(path)
        if not isinstance(stack, (nn.ModuleList, nn.Sequential)) or short is None or path in chosen:
            continue
        if 0 < len(short._modules) < len(stack._modules):
            for name in short._modules:
                mine, theirs = short._modules[name], stack._modules.get(name)
                if theirs is not None and (found := prefix_differences(_kind(mine), _kind(theirs))):
                    yield f"{path}.{name}".lstrip("."), found[0]


def _is_structure(value: Any) -> bool:
    return isinstance(value, (bool, str)) or (isinstance(value, tuple) and value[:1] in _STRUCTURES)


def _keep_stack(
    made: nn.Module, whole: nn.Module, path: str, kept: Sequence[int], shared: list[tuple[Any, Any]], call: str
) -> None:
    stack, full = _submodule(made, path), list(_submodule(whole, path)._modules.values())
    ours, theirs = [[_kind(layer) for layer in each] for each in (stack._modules.values(), full)]
    positions = position_keys(theirs)
    if list(kept) != list(range(len(kept))):
        _require_no_position(whole, path, call)
    if not any(differences(mine, theirs[number], positions) for mine, number in zip(ours, kept, strict=True)):
        return
    _require_movable(ours, [theirs[number] for number in kept], theirs, f"{call}: {path}")
    replaced = {id(module) for module in stack.modules()} - {id(stack)}
    # one copy for all layers, so that what they share stays shared among them
    memo = {id(original): counterpart for original, counterpart in shared}
    copies: list[Any] = copy.deepcopy([full[number] for number in kept], memo)
    renumbered: set[int] = set()
    for index, (layer, number) in enumerate(zip(copies, kept, strict=True)):
        parts = dict(layer.named_modules())
        for part, name in positions:
            module = parts.get(part)
            if module is not None and name in vars(module) and id(module) not in renumbered:
                module.__dict__[name] += index - number
        renumbered |= {id(module) for module in layer.modules()}
    for key, layer in zip(list(stack._modules), copies, strict=True):
        stack._modules[key] = layer
    setattr(made, KEPT, {**vars(made).get(KEPT, {}), path: tuple(kept)})
    if any(id(module) in replaced for module in made.modules()):
        raise ConfigError(
            f"{call}: a layer of {path} also has a name outside of it, and chosen layers are of other kinds there: "
            "hold each layer once"
        )


def _kind(layer: nn.Module | None) -> Kind:
    return {} if layer is None else kind_of(layer)


def _require_movable(ours: Sequence[Kind], kept: Sequence[Kind], full: Sequence[Kind], where: str) -> None:
    """Refuse to drop a layer that alone has something, such as the position bias of T5, which all others use."""
    for key in {key for kind in ours for key in kind} - {key for kind in kept for key in kind}:
        owners = [number for number, kind in enumerate(full) if key in kind]
        if len(owners) == 1:
            raise ConfigError(
                f"{where}.{owners[0]} alone has {'.'.join(filter(None, key))}, which build makes at every depth: keep "
                f"this layer always, by a rule of the space"
            )


def _require_no_position(model: nn.Module, path: str, call: str) -> None:
    """Refuse settings by which a layer computes with its own number, such as GPT-2's ``scale_attn_by_inverse_...``."""
    for module in model.modules():
        for value in vars(module).values():
            for name, flag in vars(value).items() if is_settings(value) else ():
                if flag is True and ("layer_idx" in name or "layer_id" in name):
                    raise ConfigError(
                        f"{call}: with {name}=True a layer of {path} depends on its number, which changes when others "
                        f"are left out: set {name}=False, or keep the first layers by depth"
                    )


def _require_nothing_else(made: nn.Module, whole: nn.Module, layers: ChosenLayers) -> None:
    """Refuse parts outside of the chosen stacks that get shorter with them: they would keep their first entries."""
    inside = tuple(f"{path}." for path in layers.counts)
    ours, theirs = dict(made.named_modules()), dict(whole.named_modules())
    for path, module in theirs.items():
        stack = isinstance(module, (nn.ModuleList, nn.Sequential)) and path not in layers.counts
        if stack and path in ours and not path.startswith(inside) and len(ours[path]._modules) != len(module._modules):
            raise AxisError(
                f"{path} has {len(ours[path]._modules)} of {len(module._modules)} entries when layers of "
                f"{next(iter(layers.counts))} are left out, and would keep the first: add it to the rules, such as "
                f"rules={{{path!r}: 'keep'}}"
            )
    shapes = {name: tuple(value.shape) for name, value in made.state_dict().items()}
    for name, value in whole.state_dict().items():
        if name in shapes and not name.startswith(inside) and shapes[name] != tuple(value.shape):
            raise AxisError(
                f"{name} has the shape {shapes[name]}, not {tuple(value.shape)}, when layers of "
                f"{next(iter(layers.counts))} are left out, and would keep its first units: move what belongs to a "
                "layer into the layer"
            )


def _submodule(model: nn.Module, path: str) -> nn.Module:
    try:
        return model.get_submodule(path)
    except AttributeError:
        raise ConfigError(f"the model of an architecture has no {path}: build it at every size") from None
