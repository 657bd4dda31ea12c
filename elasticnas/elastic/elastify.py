"""elastify: turn a factory of plain models into a supernet."""

import warnings
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from elasticnas.elastic.layouts import Layout, starred
from elasticnas.elastic.model import ElasticModel, M, wrap
from elasticnas.errors import CheckpointError
from elasticnas.space.space import S

__all__ = ["elastify"]

_MAX_NAMED = 4  # tensors named in a warning


def elastify(
    build: Callable[..., M],
    space: type[S],
    rules: Mapping[str, str] | None = None,
    weights: Mapping[str, Tensor] | nn.Module | None = None,
) -> ElasticModel[S, M]:
    """Make a supernet of an unchanged model; its axes are found by building the model with each size changed in turn.

    Args:
        build: ``build(**sizes) -> nn.Module``. Its arguments are fields or properties of the space; a single argument
            of another name gets the architecture. Each call must return an independent model.
        space: The search space.
        rules: Layouts by patterns of tensor names, such as ``{"*.qkv.weight": "(3 heads head_dim) hidden"}``: for
            each dimension a name, a number, a composite with the outermost factor first, or ``_`` for the layout that
            was found. A name is an axis of the space, or an integer attribute of the tensor's module or of a module
            around it; the size of one unknown name is inferred from the others. Also chosen layers, by patterns of
            paths of layer stacks: ``{"encoder.layers": "keep"}`` for a field ``keep: Annotated[tuple[bool, ...],
            PerLayer(12)]``. The attention of ``nn.TransformerEncoder`` and of Hugging Face's GPT-2, BERT, Llama, ViT
            and T5 needs no rules.
        weights: Weights of the largest model: a state dict, or a model. None keeps the initial weights of ``build``.

    Returns:
        The supernet. Without a rule, a sub-network takes the first units of a dimension; a warning names the
        dimensions for which this is only assumed. See :meth:`ElasticModel.coverage`.

    Raises:
        ConfigError: ``build`` fails, does not return an independent module, or its model does not fit into memory.
        InactiveChoiceError: A choice has no effect on the model.
        AxisError: Two axes change one dimension, heads would be split, or a rule does not match; the message has the
            rule to write.
        CheckpointError: The weights are not those of the largest model.
    """
    model = wrap(None, build, space, rules or {})
    if any(dimension.how == "assumed" for layout in model.probing.layouts.values() for dimension in layout.dimensions):
        _warn(model.coverage().assumed)
    if weights is not None:
        _load_weights(model.network, weights.state_dict() if isinstance(weights, nn.Module) else weights)
    return model


def _warn(assumed: Sequence[Layout]) -> None:
    found = dict.fromkeys((starred(layout.name), _assumed_labels(layout)) for layout in assumed)
    names = [f"{name} ({label})" for name, label in found]
    if names:
        more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
        warnings.warn(
            f"{', '.join(names[:_MAX_NAMED])}{more} keep their first units, which is wrong if several projections are "
            "fused: give a rule for each, a layout such as '(2 inner) _', or '_' if the first units are right",
            stacklevel=3,
        )


def _assumed_labels(layout: Layout) -> str:
    return ", ".join(dimension.label for dimension in layout.dimensions if dimension.how == "assumed")


def _load_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    held = network.state_dict(keep_vars=True)
    names: dict[int, list[str]] = {}
    for name, tensor in held.items():
        names.setdefault(id(tensor), []).append(name)
    # a file may hold a tied tensor under only one of its names
    filled = {**weights}
    for tied in names.values():
        if given := next((name for name in tied if name in weights), None):
            filled |= {name: weights[given] for name in tied if name not in weights}
    expected_shapes = {name: tuple(value.shape) for name, value in held.items()}
    given_shapes = {name: tuple(value.shape) for name, value in filled.items()}
    for name in sorted(expected_shapes.keys() | given_shapes.keys()):
        if expected_shapes.get(name) != given_shapes.get(name):
            raise CheckpointError(
                f"weights: {name} has the shape {given_shapes.get(name, 'none')}, the largest model "
                f"{expected_shapes.get(name, 'none')}: give the state dict of the largest architecture"
            )
    network.load_state_dict(filled)
