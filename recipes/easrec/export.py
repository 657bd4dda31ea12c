"""Export of a saved recommender as one file that scores the next item."""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.export import Dim

from easrec.artifact import Recommender
from easrec.model import EASRecModel
from elasticnas.errors import ConfigError
from elasticnas.export import Exported, to_onnx, to_torch_export

__all__ = ["NextItem", "export", "fixed_length"]


class NextItem(nn.Module):
    """Scores the next item of each sequence: ``items`` (B, N) ids, right padded with 0, to (B, V + 1).

    Args:
        network: A plain network.
    """

    def __init__(self, network: EASRecModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, items: Tensor) -> Tensor:
        """Return scores; column n is the score of item id n, and column 0 (padding) is minus infinity."""
        return self.network.next_item(items, (items > 0).sum(1))


def fixed_length(recommender: Recommender) -> bool:
    """Return whether the exported length is fixed, as for causal LinRec, whose chunks depend on the traced length."""
    chosen = getattr(recommender.arch, "attention", recommender.config.model.attention)
    return "linrec" in (chosen if isinstance(chosen, tuple) else (chosen,)) and recommender.network.causal


def export(recommender: Recommender, format: Literal["onnx", "torch"], path: Path) -> Exported:
    """Write the scorer with input ``items`` and output ``scores``, and check the file.

    The batch size is dynamic. The length is dynamic up to the model's N, or exactly N if :func:`fixed_length` is True.

    Raises:
        ConfigError: The network has a bias by time, whose times the file has no input for.
        ElasticNASError: See :func:`elasticnas.export.to_onnx` and :func:`elasticnas.export.to_torch_export`.
    """
    if recommender.network.time_bias != "none":
        raise ConfigError(
            f"an exported scorer has no input for times, which this network uses "
            f"(model.time_bias={recommender.config.model.time_bias}): recommend with it, or train with "
            "model.time_bias=none"
        )
    length, items = recommender.config.model.length, len(recommender.item_ids) - 1
    example = torch.randint(1, items + 1, (2, length), generator=torch.Generator().manual_seed(0))
    example[1, (length + 1) // 2 :] = 0
    dims = {0: Dim("batch", min=1)}
    if length > 1 and not fixed_length(recommender):
        dims[1] = Dim("length", min=1, max=length)
    scorer = NextItem(recommender.network)
    if format == "torch":
        return to_torch_export(scorer, example, path, {"items": dims})
    return to_onnx(scorer, example, path, {"items": dims}, outputs=["scores"])
