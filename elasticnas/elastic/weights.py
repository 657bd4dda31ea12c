"""load_weights: fill a supernet with the weights of the largest model."""

from collections.abc import Mapping

from torch import Tensor, nn

from elasticnas.errors import CheckpointError

__all__ = ["load_weights"]


def load_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load a state dict; a tied tensor may be there under one of its names only.

    Args:
        network: The largest model.
        weights: The state dict.

    Raises:
        CheckpointError: A tensor is missing or of another shape; the message names the module.
    """
    held = network.state_dict(keep_vars=True)
    names: dict[int, list[str]] = {}
    for name, tensor in held.items():
        names.setdefault(id(tensor), []).append(name)
    filled = {**weights}
    for tied in names.values():
        if given := next((name for name in tied if name in weights), None):
            filled |= {name: weights[given] for name in tied if name not in weights}
    expected = {name: tuple(value.shape) for name, value in held.items()}
    found = {name: tuple(value.shape) for name, value in filled.items()}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        name = wrong[0]
        more = f"; {len(wrong) - 1} more differ" if len(wrong) > 1 else ""
        raise CheckpointError(
            f"weights: {name} has the shape {found.get(name, 'none')}, the largest model "
            f"{expected.get(name, 'none')}{_module(network, name)}{more}: give the state dict of the largest "
            "architecture, the first option of every size"
        )
    network.load_state_dict(filled)


def _module(network: nn.Module, name: str) -> str:
    """Return the module of a tensor as text; empty if the network does not have it."""
    path = name.rpartition(".")[0]
    module = dict(network.named_modules()).get(path)
    return "" if module is None or not path else f" in {path}, {type(module).__name__}({module.extra_repr()})"
