"""save and load: an extracted network as ``model.safetensors`` and ``architecture.json``."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import nn

from elasticnas.calls import usage
from elasticnas.elastic.kept import KEPT
from elasticnas.errors import CheckpointError, ConfigError, ElasticNASError, describe_error, one_line, short_repr
from elasticnas.extraction.inspect import sizes_of
from elasticnas.files import read_bytes, read_json, write_bytes, write_text
from elasticnas.parallel import is_sharded, on_first, unsharded, unwrapped
from elasticnas.space import Factory, Space

__all__ = ["ARCHITECTURE", "WEIGHTS", "load", "save"]

ARCHITECTURE, WEIGHTS = "architecture.json", "model.safetensors"
_FORMAT = 1

M = TypeVar("M", bound=nn.Module)


class _Description(BaseModel):
    """The content of ``architecture.json``."""

    format: int
    space: str
    architecture: dict[str, Any]
    sizes: dict[str, Any]
    shared: dict[str, str]
    sha256: str
    torch: str
    kept: dict[str, list[int]] = {}
    checksum: str | None = None
    """Of all other entries; files of older versions have none."""


@usage("elasticnas.save(network, architecture, folder)", CheckpointError)
def save(module: nn.Module, arch: Space, folder: str | Path) -> None:
    """Save a plain network and its architecture; each file is written completely or not at all.

    Args:
        module: An extracted network.
        arch: Its architecture.
        folder: The folder; it is created if missing.

    Raises:
        CheckpointError: A tensor is on the meta device, or an argument is something else; a supernet is none either.
        ElasticNASError: The folder cannot be written.
    """
    if isinstance(module, nn.Module) and is_sharded(module):
        copied = unsharded(module)
        on_first(lambda: save(copied, arch, folder))
        return
    module = unwrapped(module) if isinstance(module, nn.Module) else module
    _require_saved(module, arch, folder)
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
        "architecture": arch.model_dump(mode="json", round_trip=True),
        "sizes": _sizes(arch),
        "shared": shared,
        "sha256": _digest(folder / WEIGHTS),
        "torch": torch.__version__,
    }
    if kept := _kept(module):
        description["kept"] = kept
    description["checksum"] = _checksum(description)
    write_text(folder / ARCHITECTURE, json.dumps(description, indent=2) + "\n")


@usage("elasticnas.load(folder, build), with what builds the network from its sizes, such as its class")
def load(folder: str | Path, build: Callable[..., M]) -> M:
    """Build a saved network again and load its weights.

    Args:
        folder: Folder written by :func:`save`.
        build: Makes the plain network; it is called as described for :class:`~elasticnas.space.Factory`, with fields
            and properties or with the architecture. If the space has not been imported, an object with the saved
            fields and properties replaces the architecture; lists in it become tuples.

    Raises:
        CheckpointError: Files are missing or damaged, or ``build`` makes a network with other shapes.
        ConfigError: ``build`` accepts neither sizes of the space nor its architecture, or makes no network.
    """
    if not isinstance(folder, (str, Path)):
        raise CheckpointError(
            f"load got {short_repr(folder)} in place of a folder: write elasticnas.load(folder, build)"
        )
    if not callable(build) or isinstance(build, nn.Module):
        raise ConfigError(
            f"load got {type(build).__name__} in place of build: give what makes the network from its sizes, a class "
            "or a function"
        )
    folder = Path(folder)
    description = _description(folder)
    tensors = _weights(folder, description)
    _require_sizes(folder, description)
    _compare_before_allocating(folder, build, description, tensors)
    module = _build(build, description)
    if description["kept"] != _kept(module):
        raise CheckpointError(
            f"{folder}: its layers are {description['kept']} of a supernet, and build makes layers of other kinds: "
            "load it by the supernet's build, elasticnas.load(folder, elasticnas.elastify(build, Space, rules).build)"
        )
    _require_shapes(folder, module, description, tensors)
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if name in tensors:
            _require_kind(folder, name, tensor.dtype, tensors[name].dtype)
            tensor.data = tensor.data.to(tensors[name].dtype)
    module.load_state_dict(tensors)
    return module


def _require_sizes(folder: Path, description: dict[str, Any]) -> None:
    """Check that the sizes of choices equal the architecture, as both may be used to build."""
    for name, value in description["sizes"].items():
        chosen = _chosen(description["architecture"], name)
        if chosen is not None and _tuples(chosen) != _tuples(value):
            raise CheckpointError(
                f"{folder / ARCHITECTURE}: {name} is {short_repr(value)} in sizes and {short_repr(chosen)} in "
                "architecture; save the network again"
            )


def _chosen(fields: Any, name: str) -> Any:
    """Return the choice of this dotted name; None if there is none, as for a layer beyond the depth."""
    for part in name.split("."):
        if isinstance(fields, list):
            fields = fields[int(part)] if part.isdigit() and int(part) < len(fields) else None
        else:
            fields = fields.get(part) if isinstance(fields, dict) else None
    return fields


def _require_shapes(
    folder: Path, module: nn.Module, description: dict[str, Any], tensors: dict[str, torch.Tensor]
) -> None:
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in tensors.items()}
    for name in sorted(expected.keys() | given.keys()):
        if expected.get(name) != given.get(name):
            raise CheckpointError(
                f"{folder / WEIGHTS}: {name} has the shape {given.get(name, 'none')}, but the network built for "
                f"{description['architecture']} has {expected.get(name, 'none')}: is build the one it was saved with?"
            )


def _require_kind(folder: Path, name: str, own: torch.dtype, given: torch.dtype) -> None:
    """Check that a tensor is stored as the kind of number that it is in the network; the precision may differ."""
    kinds = [(each.is_floating_point, each.is_complex, each is torch.bool) for each in (own, given)]
    if kinds[0] != kinds[1]:
        raise CheckpointError(f"{folder / WEIGHTS}: {name} is of {given}, in the network of {own}; save it again")


def _compare_before_allocating(
    folder: Path, build: Callable[..., nn.Module], description: dict[str, Any], tensors: dict[str, torch.Tensor]
) -> None:
    """Compare shapes without memory first, where a size exceeds every dimension of the weights."""
    largest = max((size for tensor in tensors.values() for size in tensor.shape), default=0)
    if max(_integers([description["architecture"], description["sizes"]]), default=0) <= largest:
        return
    try:
        with torch.device("meta"):
            module = _build(build, description)
    except Exception:  # a build that needs values cannot run on the meta device
        return
    _require_shapes(folder, module, description, tensors)


def _integers(value: Any) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ():
        yield from _integers(item)


def _checksum(description: dict[str, Any]) -> str:
    text = json.dumps({name: value for name, value in description.items() if name != "checksum"}, sort_keys=True)
    return sha256(text.encode()).hexdigest()


def _kept(module: nn.Module) -> dict[str, list[int]]:
    """Return the numbers of chosen layers, by stack, that have other kinds than ``build`` gives them."""
    return {path: list(numbers) for path, numbers in vars(module).get(KEPT, {}).items()}


def _require_saved(module: Any, arch: Any, folder: Any) -> None:
    order = "write elasticnas.save(network, architecture, folder)"
    if not isinstance(module, nn.Module):
        raise CheckpointError(f"save got {short_repr(module)} in place of a network: {order}")
    if not isinstance(arch, Space):
        raise CheckpointError(f"save got {short_repr(arch)} in place of an architecture: {order}")
    if not isinstance(folder, (str, Path)):
        raise CheckpointError(f"save got {short_repr(folder)} in place of a folder: {order}")
    if next(sizes_of(module), None) is not None:
        raise CheckpointError(
            f"{type(module).__name__} is a supernet: save the network that elasticnas.extract(model, "
            "architecture) gives"
        )


def _description(folder: Path) -> dict[str, Any]:
    path = folder / ARCHITECTURE
    try:
        description = read_json(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: not found; give the folder that elasticnas.save wrote") from None
    except NotADirectoryError:
        raise CheckpointError(f"{folder} is a file; give the folder that elasticnas.save wrote") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); save the network again") from None
    if not isinstance(description, dict) or description.get("format") != _FORMAT:
        found = description.get("format") if isinstance(description, dict) else type(description).__name__
        raise CheckpointError(f"{path}: expected format {_FORMAT}, found {found!r}")
    try:
        valid = _Description.model_validate(description).model_dump()
    except ValidationError as error:
        raise CheckpointError(f"{path}: damaged ({one_line(_Description, error)}); save the network again") from None
    if valid["checksum"] not in (None, _checksum(description)):
        raise CheckpointError(f"{path}: edited or damaged (its checksum is wrong); save the network again")
    return valid


def _weights(folder: Path, description: dict[str, Any]) -> dict[str, torch.Tensor]:
    path = folder / WEIGHTS
    try:
        data = read_bytes(path)
        if sha256(data).hexdigest() != description["sha256"]:
            raise CheckpointError(f"{path}: its checksum is not the one in {ARCHITECTURE}; save the network again")
        tensors = from_bytes(data)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); save the network again") from None
    missing = set(description["shared"].values()) - tensors.keys()
    if missing:
        raise CheckpointError(f"{folder / ARCHITECTURE}: shares {sorted(missing)[0]!r}, which {WEIGHTS} does not have")
    return tensors | {name: tensors[owner] for name, owner in description["shared"].items()}


def _build(build: Callable[..., M], description: dict[str, Any]) -> M:
    name, fields = description["space"], description["architecture"]
    space = _imported_space(name)
    arch: Any
    if space is None:
        # a space defined in a function, or not imported: the saved values suffice to build the plain network
        arch, properties = _architecture_from_file(fields, description["sizes"])
        factory = Factory.of_names(build, name.rpartition(":")[2], list(fields), properties)
    else:
        try:
            valid = space.model_validate(fields)
        except ValidationError as error:
            raise CheckpointError(f"{ARCHITECTURE}: {one_line(space, error)}; has the space changed?") from None
        arch, factory = valid, Factory(build, space)
    try:
        made = factory(arch)
    except ElasticNASError:
        raise
    except Exception as error:  # whatever the caller's factory raises
        reason = describe_error(error)
        raise ConfigError(f"{factory.call(arch)} fails ({reason}): is build the one it was saved with?") from error
    if not isinstance(made, nn.Module):
        raise ConfigError(f"{factory.call(arch)} gives {short_repr(made)}: expected a torch.nn.Module")
    return made


def _imported_space(name: str) -> type[Space] | None:
    """Return the space with this name if it is already imported; never import, since a file must not run code."""
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) and issubclass(found, Space) else None


def _sizes(arch: Space) -> dict[str, Any]:
    """Return every choice, and every property that JSON can represent, by dotted name."""
    info = type(arch).info()
    sizes = {name: quantity.getter(arch) for name, quantity in info.quantities.items()}
    for name in info.properties:
        with suppress(Exception):  # undefined for this architecture, or not representable in JSON
            value = attrgetter(name)(arch)
            if _tuples(json.loads(json.dumps(value, allow_nan=False))) == _tuples(value):
                sizes[name] = value
    return sizes


def _architecture_from_file(fields: dict[str, Any], sizes: dict[str, Any]) -> tuple[SimpleNamespace, list[str]]:
    """Return an object with the saved fields and properties, and the names of its top-level properties."""
    arch = _namespace(fields)
    properties: dict[str, Any] = {}
    for name, value in sizes.items():
        owner, _, last = name.rpartition(".")
        if _is_choice(name, fields):
            continue
        if last.isdigit():  # an item of a tuple, the format of version 0.1
            properties[owner] = (*properties.get(owner, ()), value)
        else:
            properties[name] = _tuples(value)
    for name, value in properties.items():
        owner, _, last = name.rpartition(".")
        try:
            setattr(attrgetter(owner)(arch) if owner else arch, last, value)
        except AttributeError:
            raise CheckpointError(
                f"{ARCHITECTURE}: sizes has {short_repr(name)}, but the architecture has no {owner}; save the network "
                "again"
            ) from None
    return arch, [name for name in properties if "." not in name]


def _is_choice(name: str, fields: Any) -> bool:
    for part in name.split("."):
        if isinstance(fields, list):
            return True
        if part not in fields:
            return False
        fields = fields[part]
    return True


def _namespace(fields: dict[str, Any]) -> SimpleNamespace:
    nested = {name: _namespace(value) if isinstance(value, dict) else value for name, value in fields.items()}
    return SimpleNamespace(**{name: _tuples(value) for name, value in nested.items()})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, (list, tuple)) else value


def _digest(path: Path) -> str:
    return sha256(read_bytes(path)).hexdigest()
