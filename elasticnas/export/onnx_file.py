"""to_onnx: write a plain network as an ONNX file."""

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

_OPSET = 18  # the opset that torch's exporter targets; runtimes since 2023 support it
_LOG_FATAL_ONLY = 4


def to_onnx(
    module: nn.Module,
    example: object,
    path: str | Path,
    dynamic: Dynamic | None = None,
    outputs: Sequence[str] | None = None,
) -> Exported:
    """Write a plain network as ONNX, opset 18, and check the file with onnxruntime.

    Inputs of the file are named after the arguments of forward, dynamic dimensions as in ``dynamic``.

    Args:
        module: A plain network, such as :func:`elasticnas.extract` returns.
        example: A tensor, a tuple of arguments, or a mapping of keyword arguments of its forward.
        path: The file to write, .onnx; it includes the weights, which limits it to 2 GB.
        dynamic: Dimensions whose size may vary, ``{"x": {0: "batch", 1: Dim("length", max=50)}}`` with ``Dim`` of
            torch.export; all others have the example's size.
        outputs: Names of the outputs; None lets the exporter choose them.

    Returns:
        Path and size of the file, and the largest difference found.

    Raises:
        ExtractionError: The network cannot be exported, or the outputs of the file differ from the network's on the
            example, or at the smallest or a large size of the dynamic dimensions.
        ConfigError: The example does not match forward, or the module is elastic.
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
    options.log_severity_level = _LOG_FATAL_ONLY
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def run(inputs: Inputs) -> list[Tensor]:
        feed = {name: value.numpy() for name, value in signature.tensors(inputs).items()}
        return [torch.as_tensor(value) for value in session.run(None, feed)]

    return run
