"""Layer importance: the change of the output when one layer of a stack is skipped."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from elasticnas.elastic.eval_mode import in_eval
from elasticnas.elastic.model import ElasticModel
from elasticnas.elastic.trial import call, tensors_of
from elasticnas.errors import ConfigError, short_repr

__all__ = ["LayerImportance", "layer_importance"]

Loss = Callable[[Any, Any], Tensor | float]


@dataclass(frozen=True)
class LayerImportance:
    """The layers of a stack, ranked by what is lost without them.

    Attributes:
        stack: Path of the stack.
        scores: Increase of the loss, or one minus the similarity, when each layer is skipped by itself.
        removal: Positions of the layers in the order in which to remove them.
    """

    stack: str
    scores: tuple[float, ...]
    removal: tuple[int, ...]

    def keep(self, count: int) -> tuple[bool, ...]:
        """Return which layers to keep: the value of a per-layer field of bools for a given number of layers.

        Raises:
            ConfigError: The stack does not have that many layers, or none would be kept.
        """
        if not 1 <= count <= len(self.scores):
            raise ConfigError(
                f"keep({count}): {self.stack} has {len(self.scores)} layers, keep 1 to {len(self.scores)}"
            )
        kept = self.removal[len(self.scores) - count :]
        return tuple(position in kept for position in range(len(self.scores)))

    def __str__(self) -> str:
        rows = [f"{self.stack}.{position}: {score:.4g}" for position, score in enumerate(self.scores)]
        return "\n".join([*rows, f"remove in this order: {', '.join(map(str, self.removal))}"])


@torch.no_grad()
def layer_importance(
    model: nn.Module,
    batches: Iterable[object],
    stack: str | None = None,
    loss: Loss | None = None,
    greedy: bool = False,
) -> LayerImportance:
    """Rank the layers of a stack by the change of the output when a layer is skipped.

    A skipped layer runs, but its first output is replaced by its input; other outputs, such as a position bias for the
    layers after it, stay. The weights do not change. For a space with a bool for each layer, ``keep`` of the result is
    the value for a number of layers. With a ``depth`` that keeps the first layers the ranking cannot be used: unlike
    units, layers cannot be put into another order without changing the output.

    Args:
        model: An elastified model, whose largest network is measured, or any other model.
        batches: Inputs: tensors, tuples of arguments, or mappings of keyword arguments.
        stack: Path of the ``ModuleList`` or ``Sequential`` with the layers, in an elastified model without
            ``network.``. None takes the only stack of layers of the same class.
        loss: ``loss(output, batch)``, a number, of which the mean over the batches is compared. None compares the
            outputs by one minus the cosine over their last dimension; of several outputs the first.
        greedy: Rank the remaining layers anew after each removal: L (L + 1) / 2 passes over the batches instead of L.

    Raises:
        ConfigError: There is no such stack, or several; a layer changes the shape of its input; there are no batches.
    """
    network = model.network if isinstance(model, ElasticModel) else model
    path, layers = _stack(network, stack)
    held = list(batches)
    if not held:
        raise ConfigError("batches is empty: give inputs on which to compare the outputs")
    with in_eval(network):
        measure = _Measure(network, held, layers, path, loss)
        scores = [measure.change({position}) for position in range(len(layers))]
        removal = sorted(range(len(layers)), key=lambda position: scores[position])
        if greedy:
            removal = _removed_greedily(measure, len(layers), removal[0])
    return LayerImportance(path, tuple(scores), tuple(removal))


def _removed_greedily(measure: "_Measure", count: int, first: int) -> list[int]:
    removed = [first]
    while len(removed) < count - 1:
        left = [position for position in range(count) if position not in removed]
        changes = {position: measure.change({*removed, position}) for position in left}
        removed.append(min(left, key=lambda position: changes[position]))
    return [*removed, *(position for position in range(count) if position not in removed)]


class _Measure:
    """The change of the output without some layers."""

    def __init__(
        self, network: nn.Module, batches: list[object], layers: list[nn.Module], path: str, loss: Loss | None
    ) -> None:
        self._network, self._batches, self._layers, self._path, self._loss = network, batches, layers, path, loss
        self._whole = [self._result(batch) for batch in batches]

    def change(self, skipped: set[int]) -> float:
        skips = {position: _Skip(f"{self._path}.{position}".lstrip(".")) for position in skipped}
        hooks = [self._layers[n].register_forward_hook(skip, with_kwargs=True) for n, skip in skips.items()]
        try:
            results = [self._result(batch) for batch in self._batches]
        finally:
            for hook in hooks:
                hook.remove()
        for skip in skips.values():
            if not skip.called:
                raise ConfigError(
                    f"{skip.path} is never called, as where the model runs the parts of a layer by itself, "
                    "so that it cannot be skipped: give a stack whose layers are called, or compare sub-networks "
                    "without a layer"
                )
        changes = [self._compare(a, b) for a, b in zip(self._whole, results, strict=True)]
        return sum(changes) / len(changes)

    def _result(self, batch: object) -> Tensor:
        output = call(self._network, batch)
        if self._loss is not None:
            return torch.as_tensor(self._loss(output, batch)).double().cpu()
        return next(x for _, x in tensors_of(output) if x.is_floating_point())

    def _compare(self, whole: Tensor, found: Tensor) -> float:
        if self._loss is not None:
            return float(found - whole)
        return 1 - float(nn.functional.cosine_similarity(whole.double(), found.double(), dim=-1).mean())


class _Skip:
    """Forward hook: replaces the first tensor of a layer's output by its input."""

    def __init__(self, path: str) -> None:
        self.path, self.called = path, False

    def __call__(self, layer: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> Any:
        self.called = True
        x = next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)
        first = next((value for _, value in tensors_of(output)), None)
        if x is None or first is None or x.shape != first.shape:
            shapes = [None if value is None else tuple(value.shape) for value in (x, first)]
            raise ConfigError(
                f"{self.path} turns {shapes[0]} into {shapes[1]}, so that it cannot be skipped: give a stack whose "
                "layers keep the shape of their input"
            )
        return _with_first(output, x)


def _with_first(output: Any, x: Tensor) -> Any:
    if isinstance(output, Tensor):
        return x
    if isinstance(output, Mapping):
        key = next(key for key, value in output.items() if value is not None)
        changed = dict(output) | {key: _with_first(output[key], x)}
        return type(output)(**changed)
    rest = [_with_first(output[0], x), *output[1:]]
    return type(output)(*rest) if hasattr(output, "_fields") else type(output)(rest)


def _stack(network: nn.Module, path: str | None) -> tuple[str, list[nn.Module]]:
    stacks = {
        name: list(module)
        for name, module in network.named_modules()
        if isinstance(module, (nn.ModuleList, nn.Sequential)) and len(module) > 1
    }
    if path is not None:
        if path not in stacks:
            raise ConfigError(
                f"stack={short_repr(path)} is no stack of layers of the model: choose from {list(stacks)}"
            )
        return path, stacks[path]
    alike = {name: layers for name, layers in stacks.items() if len({type(layer) for layer in layers}) == 1}
    outer = {name: layers for name, layers in alike.items() if not any(_inside(name, other) for other in alike)}
    if len(outer) != 1:
        found = f"{len(outer)} stacks of layers, {list(outer)}" if outer else "no stack of layers of the same class"
        raise ConfigError(f"{type(network).__name__} has {found}: give stack, the path of a ModuleList or Sequential")
    return next(iter(outer.items()))


def _inside(name: str, other: str) -> bool:
    return name != other and (not other or name.startswith(f"{other}."))
