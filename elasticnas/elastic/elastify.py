"""elastify: a factory of plain models becomes a supernet."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from elasticnas.elastic.model import ElasticModel, wrap
from elasticnas.errors import CheckpointError
from elasticnas.space import Space

__all__ = ["elastify"]


def elastify(
    build: Callable[..., nn.Module],
    space: type[Space],
    rules: Mapping[str, str] | None = None,
    weights: Mapping[str, Tensor] | nn.Module | None = None,
) -> ElasticModel:
    """A supernet from a model as it is: its axes are found by building it with each size changed in turn.

    Args:
        build: ``build(**sizes) -> nn.Module``. Its arguments are fields or properties of the space; with a single
            argument of another name it gets the architecture. Each call must give an independent model.
        space: The search space.
        rules: Layouts by patterns of tensor names, such as ``{"*.qkv.weight": "(3 heads head_dim) hidden"}``: for
            each dimension a name, a number, a composite with the outermost factor first, or ``_`` as found. A name is
            an axis of the space, or an integer attribute of the tensor's module or of one above; one unknown name
            takes what the others leave. And kept layers by patterns of paths of layer stacks: ``{"encoder.layers":
            "keep"}`` for a field ``keep: PerLayer[bool, 12]``. Attention of ``nn.TransformerEncoder`` and of Hugging
            Face's GPT-2, BERT, Llama, ViT and T5 needs none.
        weights: Of the largest model: a state dict, or a model. None leaves what ``build`` starts with.

    Returns:
        The supernet. Sizes without a rule take contiguous first units; see :meth:`ElasticModel.coverage`.

    Raises:
        ConfigError: ``build`` fails or gives no module.
        InactiveChoiceError: A choice reaches nothing in the model.
        AxisError: Two axes move one dimension, heads would be cut, or a rule does not fit; it names the rule to write.
        CheckpointError: The weights are not those of the largest model.
    """
    model = wrap(None, build, space, rules or {})
    if weights is not None:
        _fill(model.network, weights.state_dict() if isinstance(weights, nn.Module) else weights)
    return model


def _fill(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in weights.items()}
    for name in sorted(wanted.keys() | given.keys()):
        if wanted.get(name) != given.get(name):
            raise CheckpointError(
                f"weights: {name} has the shape {given.get(name, 'none')}, the largest model "
                f"{wanted.get(name, 'none')}: give the state dict of the largest architecture"
            )
    network.load_state_dict(weights)
