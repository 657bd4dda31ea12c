"""save and load: an extracted network as ``model.safetensors`` and ``architecture.json``."""

import inspect
import json
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import nn

from elasticnas.errors import CheckpointError
from elasticnas.extraction.atomic import write_bytes, write_text
from elasticnas.space import Space, one_line

__all__ = ["ARCHITECTURE", "WEIGHTS", "load", "save"]

ARCHITECTURE, WEIGHTS = "architecture.json", "model.safetensors"
_FORMAT = 1


class _Description(BaseModel):
    """What ``architecture.json`` holds."""

    format: int
    space: str
    architecture: dict[str, Any]
    sizes: dict[str, Any]
    shared: dict[str, str]
    sha256: str
    torch: str


def save(module: nn.Module, arch: Space, folder: str | Path) -> None:
    """Save a plain network and its architecture; each file is written whole or not at all.

    Args:
        module: An extracted network.
        arch: Its architecture.
        folder: Made where it is missing.

    Raises:
        CheckpointError: A tensor is on the meta device.
        ElasticNASError: The folder cannot be written.
    """
    folder = Path(folder)
    tensors: dict[str, torch.Tensor] = {}
    shared: dict[str, str] = {}
    owners: dict[int, str] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if tensor.is_meta:
            raise CheckpointError(f"{name} is on the meta device: there are no weights to save")
        if id(tensor) in owners:
            shared[name] = owners[id(tensor)]
            continue
        owners[id(tensor)] = name
        tensors[name] = tensor.detach().cpu().contiguous().clone()
    write_bytes(folder / WEIGHTS, to_bytes(tensors))
    space = type(arch)
    description = {
        "format": _FORMAT,
        "space": f"{space.__module__}:{space.__qualname__}",
        "architecture": arch.model_dump(mode="json"),
        "sizes": {axis.name: axis.quantity.getter(arch) for axis in space.axes().all()},
        "shared": shared,
        "sha256": _digest(folder / WEIGHTS),
        "torch": torch.__version__,
    }
    write_text(folder / ARCHITECTURE, json.dumps(description, indent=2) + "\n")


def load(folder: str | Path, build: Callable[..., nn.Module]) -> nn.Module:
    """A saved network, built anew and filled with its weights.

    Args:
        folder: What :func:`save` wrote.
        build: Makes the plain network: either from the architecture, which has the attributes that the axes had
            when the supernet was built, or from keyword arguments named like its fields.

    Raises:
        CheckpointError: Files are missing or damaged, or ``build`` makes a network of other shapes.
    """
    folder = Path(folder)
    description = _description(folder)
    tensors = _weights(folder, description)
    module = _call(build, _architecture(description), description)
    wanted = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in tensors.items()}
    for name in sorted(wanted.keys() | given.keys()):
        if wanted.get(name) != given.get(name):
            raise CheckpointError(
                f"{folder / WEIGHTS}: {name} has the shape {given.get(name, 'none')}, but the network built for "
                f"{description['architecture']} has {wanted.get(name, 'none')}: is build the one it was saved with?"
            )
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if name in tensors:
            tensor.data = tensor.data.to(tensors[name].dtype)
    module.load_state_dict(tensors)
    return module


def _description(folder: Path) -> dict[str, Any]:
    path = folder / ARCHITECTURE
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: not found; give the folder that elasticnas.save wrote") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); save the network again") from None
    if not isinstance(description, dict) or description.get("format") != _FORMAT:
        found = description.get("format") if isinstance(description, dict) else type(description).__name__
        raise CheckpointError(f"{path}: expected format {_FORMAT}, found {found!r}")
    try:
        return _Description.model_validate(description).model_dump()
    except ValidationError as error:
        raise CheckpointError(f"{path}: damaged ({one_line(_Description, error)}); save the network again") from None


def _weights(folder: Path, description: dict[str, Any]) -> dict[str, torch.Tensor]:
    path = folder / WEIGHTS
    try:
        if _digest(path) != description["sha256"]:
            raise CheckpointError(f"{path}: its checksum is not the one in {ARCHITECTURE}; save the network again")
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); save the network again") from None
    missing = set(description["shared"].values()) - tensors.keys()
    if missing:
        raise CheckpointError(f"{folder / ARCHITECTURE}: shares {sorted(missing)[0]!r}, which {WEIGHTS} does not have")
    return tensors | {name: tensors[owner] for name, owner in description["shared"].items()}


def _architecture(description: dict[str, Any]) -> Any:
    module, _, name = description["space"].partition(":")
    # only what is imported already: a file must not choose what runs
    space: Any = sys.modules.get(module)
    for part in name.split("."):
        space = getattr(space, part, None)
    if not (isinstance(space, type) and issubclass(space, Space)):
        # a space made inside a function, or not imported: its values are enough to build the plain network
        return SimpleNamespace(**_nested(description["sizes"]))
    try:
        return space.model_validate(description["architecture"])
    except ValidationError as error:
        raise CheckpointError(f"{ARCHITECTURE}: {one_line(space, error)}; has the space changed?") from None


def _call(build: Callable[..., nn.Module], arch: Any, description: dict[str, Any]) -> nn.Module:
    fields = set(description["architecture"])
    parameters = inspect.signature(build).parameters.values()
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.default is p.empty]
    keywords = any(p.kind is p.VAR_KEYWORD for p in parameters)
    if (keywords and not named) or (named and fields.issuperset(named)):
        return build(
            **{k: v for k, v in description["architecture"].items() if keywords or k in {p.name for p in parameters}}
        )
    return build(arch)


def _nested(sizes: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in sizes.items():
        *path, last = name.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value

    def close(node: Any) -> Any:
        if not isinstance(node, dict):
            return node
        if node and all(key.isdigit() for key in node):
            return tuple(close(node[key]) for key in sorted(node, key=int))
        return SimpleNamespace(**{key: close(value) for key, value in node.items()})

    return {key: close(value) for key, value in tree.items()}


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
