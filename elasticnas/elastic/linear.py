"""input_dim: the dimension of a linear layer's weight that belongs to the input features."""

from torch import Tensor, nn

from elasticnas.nn import ElasticModule

__all__ = ["input_dim"]


def input_dim(module: nn.Module) -> int | None:
    """Return the input dimension, 0 or 1, of the weight of a linear layer; None for other modules.

    Linear layers are those of torch, elastic ones, and Hugging Face's Conv1D.
    """
    if isinstance(module, ElasticModule):
        return module.reads.get("weight")
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim != 2 or isinstance(module, nn.Embedding):
        return None
    if isinstance(module, nn.Linear):
        return 1
    return 0 if type(module).__name__ == "Conv1D" else None
