"""to_onnx: a plain network as an ONNX file."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from elasticnas.export.checked import Exported, Runner, export_checked
from elasticnas.export.signature import Dynamic, Inputs, Signature
from elasticnas.packages import require_package

__all__ = ["to_onnx"]

_OPSET = 18  # what torch's exporter is written for; every runtime since 2023 reads it
_SILENT = 4


def to_onnx(
    module: nn.Module,
    example: object,
    path: str | Path,
    dynamic: Dynamic | None = None,
    outputs: Sequence[str] | None = None,
) -> Exported:
    """Write a plain network as ONNX, opset 18, and check the file by onnxruntime.

    The inputs of the file are named like the arguments of forward, dynamic dimensions as in ``dynamic``.

    Args:
        module: A plain network, such as :func:`elasticnas.extract` gives.
        example: A tensor, a tuple of arguments, or a mapping of keyword arguments of its forward.
        path: The file to write, .onnx; weights are inside, so that it ends at 2 GB.
        dynamic: Which dimensions may change, ``{"x": {0: "batch", 1: Dim("length", max=50)}}`` with ``Dim`` of
            torch.export; all others keep the example's size.
        outputs: Names of the outputs; None leaves them to the exporter.

    Raises:
        ExtractionError: The network cannot be exported, or the file computes something else than the network on the
            example, or at the smallest or a large size of the dynamic dimensions.
        ConfigError: The example does not fit forward, or the module is elastic.
        PluginError: The packages of the extra ``export`` are missing.
        ElasticNASError: The file cannot be written.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        require_package(package, "export")
    return export_checked(module, example, path, dynamic, partial(_write, outputs=outputs), _load)


def _write(program: ExportedProgram, signature: Signature, file: Path, outputs: Sequence[str] | None) -> None:
    torch.onnx.export(
        program,
        f=str(file),
        dynamo=True,
        verbose=False,
        external_data=False,
        opset_version=_OPSET,
        input_names=signature.names,
        output_names=outputs,
        dynamic_shapes=signature.shapes if signature.dims else None,
    )


def _load(file: Path, signature: Signature) -> Runner:
    onnxruntime: Any = require_package("onnxruntime", "export")  # has no types
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _SILENT
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def run(inputs: Inputs) -> list[Tensor]:
        feed = {name: value.numpy() for name, value in signature.tensors(inputs).items()}
        return [torch.as_tensor(value) for value in session.run(None, feed)]

    return run
