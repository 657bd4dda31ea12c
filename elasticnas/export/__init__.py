"""Export of plain networks to torch.export and ONNX files, which are checked after writing."""

from elasticnas.export.checked import Exported
from elasticnas.export.onnx_file import to_onnx
from elasticnas.export.torch_file import to_torch_export

__all__ = ["Exported", "to_onnx", "to_torch_export"]
