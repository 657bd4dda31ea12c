"""to_torch_export: write a plain network as a .pt2 file."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.utils._pytree import tree_leaves

from elasticnas.export.checked import Exported, Runner, export_checked
from elasticnas.export.signature import Dynamic, Inputs, Signature

__all__ = ["to_torch_export"]


def to_torch_export(module: nn.Module, example: object, path: str | Path, dynamic: Dynamic | None = None) -> Exported:
    """Write a plain network with ``torch.export``, for the CPU and in eval mode, and check the file.

    Call ``torch.export.load(path).module()`` with the arguments of the example, by position or by name as in it.

    Args:
        module: A plain network, such as :func:`elasticnas.extract` returns.
        example: A tensor, a tuple of arguments, or a mapping of keyword arguments of its forward.
        path: The file to write, .pt2.
        dynamic: Dimensions whose size may vary, ``{"x": {0: "batch", 1: Dim("length", max=50)}}`` with ``Dim`` of
            torch.export; all others have the example's size.

    Returns:
        Path and size of the file, and the largest difference found.

    Raises:
        ExtractionError: The network cannot be exported, or the outputs of the file differ from the network's on the
            example, or at the smallest or a large size of the dynamic dimensions.
        ConfigError: The example does not match forward, or the module is elastic.
        ElasticNASError: The file cannot be written.
    """
    return export_checked(module, example, path, dynamic, _write, _load)


def _write(program: ExportedProgram, signature: Signature, file: Path) -> None:
    with file.open("wb") as buffer:
        torch.export.save(program, buffer)


def _load(file: Path, signature: Signature) -> Runner:
    with file.open("rb") as buffer:
        loaded = torch.export.load(buffer).module()

    def run(inputs: Inputs) -> list[Tensor]:
        return [leaf for leaf in tree_leaves(loaded(*inputs.args, **inputs.kwargs)) if isinstance(leaf, Tensor)]

    return run
