"""Import torchvision also where its compiled operators do not load."""

import contextlib
import importlib
import sys
from importlib.util import find_spec

import torch


def importable() -> None:
    """Import torchvision, if installed; define the operators that it names at import where they are missing.

    No model of the zoo runs these operators. transformers, timm and vit-pytorch import torchvision by themselves.
    """
    if find_spec("torchvision") is None:
        return
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in ("nms", "qnms"):
            with contextlib.suppress(RuntimeError):  # defined before
                torch.library.define(
                    f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                )
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        importlib.import_module("torchvision")
