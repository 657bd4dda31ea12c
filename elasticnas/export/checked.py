"""Tracing a plain network, and comparing what was written with it."""

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

__all__ = ["Exported", "Runner", "export_checked"]

Runner = Callable[[Inputs], list[Tensor]]
"""The loaded file: inputs to the flat list of outputs."""

_TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-4}


@dataclass(frozen=True)
class Exported:
    """A file that was written and checked.

    Attributes:
        path: Where it is.
        size_bytes: Its size.
        largest_difference: Of its outputs from the network's, over all inputs it was checked on.
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
    """Trace a copy of the network on the CPU in eval mode, write it, load it, compare, and put the file in place.

    A forward that takes ``use_cache``, as in Hugging Face, is traced with False unless the example gives it.

    Args:
        module: A plain network.
        example: As for :class:`Signature`.
        path: The file; nothing is there, or what was there stays, unless the comparison holds.
        dynamic: As for :class:`Signature`.
        write: Writes a traced network to a file.
        load: Reads that file.

    Raises:
        ExtractionError: The network cannot be exported, or the file computes something else.
        ConfigError: The example does not fit, or the network is still elastic.
        ElasticNASError: The file cannot be written.
    """
    path = Path(path)
    size = next(sizes_of(module), None)
    if size is not None:
        raise ConfigError(
            f"{type(module).__name__} is elastic ({size[0]} is {size[1]!r}); "
            "export what elasticnas.extract(model, arch) gives"
        )
    module = copy.deepcopy(module).cpu().eval()
    signature = Signature(module, tree_map(_on_cpu, example), dynamic)
    if signature.lacks("use_cache"):  # a cache of keys and values is no tensor that a file could give
        setattr(module, "forward", partial(module.forward, use_cache=False))  # noqa: B010 (a method, to the checker)
    with TemporaryDirectory() as folder, torch.no_grad():
        file = Path(folder) / f"network{path.suffix}"
        hint = "; a dimension left out of dynamic keeps its size" if signature.dims else ""
        with _step(f"{path}: {type(module).__name__} cannot be exported{hint}"):
            write(_program(module, signature), signature, file)
        with _step(f"{path}: the exported file cannot be loaded"):
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
    for node in program.graph.nodes:  # the paths of source files on this machine are nobody's business
        node.meta.pop("stack_trace", None)
    return program


def _difference(module: nn.Module, run: Runner, inputs: Inputs, signature: Signature, path: Path) -> float:
    shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in signature.tensors(inputs).items())
    expected = [leaf for leaf in tree_leaves(module(*inputs.args, **inputs.kwargs)) if isinstance(leaf, Tensor)]
    with _step(f"{path}: the exported file fails on {shapes}"):
        computed = run(inputs)
    if [value.shape for value in expected] != [value.shape for value in computed]:
        raise ExtractionError(
            f"{path}: on {shapes} the exported file gives the shapes {[tuple(value.shape) for value in computed]}, "
            f"the network {[tuple(value.shape) for value in expected]}; no file was written"
        )
    largest = 0.0
    for one, other in zip(expected, computed, strict=True):
        tolerance = _TOLERANCE.get(one.dtype, 3e-2 if one.is_floating_point() else 0.0)
        # infinities of one sign are equal, as are two NaN; anything else beside a NaN is infinitely far
        same = (one == other) | (one.isnan() & other.isnan())
        apart = torch.where(same, 0.0, (one.double() - other.double()).abs()).nan_to_num(float("inf"))
        largest = max(largest, apart.max().item() if apart.numel() else 0.0)
        if not torch.allclose(one.double(), other.double(), rtol=tolerance, atol=tolerance, equal_nan=True):
            raise ExtractionError(
                f"{path}: on {shapes} the exported file differs from the network by up to {largest:.3g} "
                f"(allowed {tolerance:g}): does its forward branch on values, or draw random numbers? "
                "No file was written"
            )
    return largest


@contextmanager
def _step(failure: str) -> Iterator[None]:
    """Without the talk of exporters and runtimes; what they raise becomes one line."""
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
