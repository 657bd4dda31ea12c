"""export_checked: trace a plain network, write a file, and compare the file's outputs with the network's."""

import copy
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.utils._pytree import tree_leaves, tree_map

from elasticnas.errors import ConfigError, ElasticNASError, ExtractionError
from elasticnas.export.signature import Dynamic, Inputs, Signature
from elasticnas.extraction.inspect import sizes_of
from elasticnas.files import write_bytes
from elasticnas.parallel import unsharded, unwrapped

__all__ = ["Exported", "Runner", "export_checked"]

Runner = Callable[[Inputs], list[Tensor]]
"""A loaded file: maps inputs to the flat list of output tensors."""

_TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-4}


@dataclass(frozen=True)
class Exported:
    """A file that was written and checked.

    Attributes:
        path: Its path.
        size_bytes: Its size.
        largest_difference: Largest absolute difference between its outputs and the network's, over all checked inputs.
    """

    path: Path
    size_bytes: int
    largest_difference: float


def export_checked(
    module: nn.Module,
    example: object,
    path: str | Path,
    dynamic: Dynamic | None,
    write: Callable[[ExportedProgram, Signature, Path], None],
    load: Callable[[Path, Signature], Runner],
) -> Exported:
    """Trace a copy of the network on the CPU in eval mode, write and load it, compare the outputs, and save the file.

    A forward with an argument ``use_cache``, as in Hugging Face, is traced with False unless the example has it.

    Args:
        module: A plain network.
        example: As for :class:`Signature`.
        path: The file; it is created or replaced only if the comparison succeeds.
        dynamic: As for :class:`Signature`.
        write: Writes a traced network to a file.
        load: Loads that file.

    Raises:
        ExtractionError: The network cannot be exported, or the outputs of the file differ.
        ConfigError: The example does not match forward, or the network is elastic.
        ElasticNASError: The file cannot be written.
    """
    path = Path(path)
    size = next(sizes_of(module), None)
    if size is not None:
        raise ConfigError(
            f"{type(module).__name__} is elastic ({size[0]} is {size[1]!r}); "
            "export the network that elasticnas.extract(model, arch) returns"
        )
    module = copy.deepcopy(unsharded(unwrapped(module))).cpu().eval()
    signature = Signature(module, tree_map(_on_cpu, example), dynamic)
    if signature.lacks("use_cache"):  # a key-value cache is not a tensor, and cannot be an output
        setattr(module, "forward", partial(module.forward, use_cache=False))  # noqa: B010 (a method, to the checker)
    with TemporaryDirectory() as folder, torch.no_grad():
        file = Path(folder) / f"network{path.suffix}"
        hint = "; a dimension left out of dynamic keeps its size" if signature.dims else ""
        with _errors_in_one_line(f"{path}: {type(module).__name__} cannot be exported{hint}"):
            write(_program(module, signature), signature, file)
        with _errors_in_one_line(f"{path}: the exported file cannot be loaded"):
            run = load(file, signature)
        largest = max(_difference(module, run, inputs, signature, path) for inputs in signature.samples())
        content = file.read_bytes()
    write_bytes(path, content)
    return Exported(path, len(content), largest)


def _on_cpu(value: Any) -> Any:
    return value.detach().cpu() if isinstance(value, Tensor) else value


def _program(module: nn.Module, signature: Signature) -> ExportedProgram:
    inputs = signature.traced()
    program = torch.export.export(
        module, inputs.args, inputs.kwargs, dynamic_shapes=signature.shapes if signature.dims else None, strict=False
    )
    for node in program.graph.nodes:  # contains the paths of source files on this machine
        node.meta.pop("stack_trace", None)
    return program


def _difference(module: nn.Module, run: Runner, inputs: Inputs, signature: Signature, path: Path) -> float:
    shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in signature.tensors(inputs).items())
    expected = [leaf for leaf in tree_leaves(module(*inputs.args, **inputs.kwargs)) if isinstance(leaf, Tensor)]
    with _errors_in_one_line(f"{path}: the exported file fails on {shapes}"):
        computed = run(inputs)
    if [value.shape for value in expected] != [value.shape for value in computed]:
        raise ExtractionError(
            f"{path}: on {shapes} the exported file gives the shapes {[tuple(value.shape) for value in computed]}, "
            f"the network {[tuple(value.shape) for value in expected]}; no file was written"
        )
    largest = 0.0
    for one, other in zip(expected, computed, strict=True):
        tolerance = _TOLERANCE.get(one.dtype, 3e-2 if one.is_floating_point() else 0.0)
        # equal infinities and two NaN have difference 0; NaN and any other value have an infinite one
        same = (one == other) | (one.isnan() & other.isnan())
        difference = torch.where(same, 0.0, (one.double() - other.double()).abs()).nan_to_num(float("inf"))
        largest = max(largest, difference.max().item() if difference.numel() else 0.0)
        if not torch.allclose(one.double(), other.double(), rtol=tolerance, atol=tolerance, equal_nan=True):
            raise ExtractionError(
                f"{path}: on {shapes} the exported file differs from the network by up to {largest:.3g} "
                f"(allowed {tolerance:g}): does its forward branch on values, or draw random numbers? "
                "No file was written"
            )
    return largest


@contextmanager
def _errors_in_one_line(failure: str) -> Iterator[None]:
    """Silence the logs and warnings of exporters and runtimes, and convert their exceptions to one-line errors."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ElasticNASError:
        raise
    except Exception as error:  # each exporter and runtime has its own errors
        reason = " ".join(str(error).split())[:300]
        raise ExtractionError(f"{failure} ({type(error).__name__}: {reason})") from error
    finally:
        logging.disable(disabled)
